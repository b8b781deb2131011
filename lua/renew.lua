-- renew: the whole lease again, counted from now. It also makes a claim into a full hold.
--
-- KEYS[1]  the lock
-- ARGV[1]  token
-- ARGV[2]  fence of the hold, or the one it had before it changed its mode
-- ARGV[3]  none or ''; 'bury': an acquire of this token had no answer, and nobody will release the token, so leave a
--          tombstone against the late copy; 'last': likewise, and renew nothing
-- ARGV[4]  none, or lease8 keep8: the last renewal, of this length. The owner is gone then, and the hold stays until its
--          deadline: a renewal that was under way does not change that, nor does a copy of this one
--
-- Reply    now: renewed | {'revoked', now, note}: stolen, or broken with a note; give it up | {'gone', now, last fence or ''}
--@ begin.lua
--@ again.lua
--@ shared.lua
--@ bury.lua
local token = ARGV[1]

load(token)
local searching = expire()
local hold = live(token)
if not hold or hold.fence < ARGV[2] then
  local last = fence              -- before this script grants
  hand_over(searching)
  store()
  local stone = get('t' .. token)
  if stone and #stone > TOMBSTONE_WIDTH then return {'revoked', now, sub(stone, TOMBSTONE_NOTE)} end
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
if ARGV[3] and ARGV[3] ~= '' then bury(token, '') end
if ARGV[3] ~= 'last' then
  hold.at, hold.lease = now, sub(length, REQUEST_LEASE)
  mark(hold)
end
if ARGV[4] then hold.state = 'k' end
raise(sub(length, REQUEST_KEEP))
store()
return now
