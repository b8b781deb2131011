-- keep: the owner leaves its hold, and the hold stays. For ReleaseAfter it stays for the given length, and then it is over.
-- For Handoff it stays as it is, for another owner to resume.
--
-- KEYS[1]  the lock
-- ARGV[1]  token
-- ARGV[2]  fence of the hold, or the one it had before it changed its mode
-- ARGV[3]  lease8 keep8: the length, counted from now. A renewal that was under way does not change the end, nor does a copy
--          of this request. '': the end of the hold stays
-- ARGV[4]  none, or 'tombstone': an acquire of this token had no answer, and nobody will release the token, so leave a
--          tombstone against the late copy
--
-- Reply    now: the hold stays | otherwise as that of renew
--@ preamble.lua
--@ rules.lua
--@ own_hold.lua
--@ tombstone.lua
local token, length = ARGV[1], ARGV[3]
local hold, over = own_hold(token, ARGV[2])
if not hold then return over end
if hold.state == 'k' then
  store()
  return length ~= '' and now or {'gone', now, fence}
end
if ARGV[4] then lay_tombstone(token, '') end
if length ~= '' then
  hold.at, hold.lease, hold.state = now, sub(length, REQUEST_LEASE), 'k'
  mark(hold)
  raise_expiry(sub(length, REQUEST_KEEP)) -- an EXPIREAT first: memory may be short
end
store()
return now
