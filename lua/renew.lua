-- renew: the whole lease again, counted from now. It also makes a claim into a full hold.
--
-- KEYS[1]  the lock
-- ARGV[1]  token
-- ARGV[2]  fence of the hold, or the one it had before it changed its mode
-- ARGV[3]  none or ''; 'tombstone': an acquire of this token had no answer, and nobody will release the token, so leave a
--          tombstone against the late copy; 'last': likewise, and renew nothing
-- ARGV[4]  none, or lease8 keep8: the last renewal, of this length. The owner is gone then, and the hold stays until its
--          deadline: a renewal that was under way does not change that, nor does a copy of this one
--
-- Reply    now: renewed | {'revoked', now, note}: stolen, or broken with a note; give it up | {'gone', now, last fence or ''}
--@ preamble.lua
--@ fast_renew.lua
--@ rules.lua
--@ tombstone.lua
local token = ARGV[1]

load(token)
local searching = expire()
local hold = live(token)
if not hold or hold.fence < ARGV[2] then
  local last = fence              -- before this script grants
  hand_over(searching)
  store()
  local tombstone = get('t' .. token)
  if tombstone and #tombstone > TOMBSTONE_WIDTH then return {'revoked', now, sub(tombstone, TOMBSTONE_NOTE)} end
  return {'gone', now, last}
end
if hold.state == 'r' then
  store()
  return {'revoked', now, ''}
end
if hold.state == 'k' then
  store()
  return ARGV[4] and now or {'gone', now, fence}
end
local length = ARGV[4] or hold.request
if ARGV[3] and ARGV[3] ~= '' then lay_tombstone(token, '') end
if ARGV[3] ~= 'last' then
  hold.at, hold.lease = now, sub(length, REQUEST_LEASE)
  mark(hold)
end
if ARGV[4] then hold.state = 'k' end
raise_expiry(sub(length, REQUEST_KEEP))
store()
return now
