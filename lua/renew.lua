-- renew: the full lease counts from now. A claim becomes a full hold.
--
-- KEYS[1]  the lock
-- ARGV[1]  token
-- ARGV[2]  fence of the hold, or the one it had before it changed its mode
--
-- Reply    now: renewed | {'revoked', now, note}: stolen, or broken with a note; give it up | {'gone', now, last fence or ''}
--@ preamble.lua
--@ fast_renew.lua
--@ rules.lua
--@ own_hold.lua
local hold, over = own_hold(ARGV[1], ARGV[2])
if not hold then return over end
if hold.state == 'k' then
  store()
  return {'gone', now, fence}
end
hold.at, hold.lease = now, sub(hold.request, REQUEST_LEASE)
mark(hold)
raise_expiry(sub(hold.request, REQUEST_KEEP))
store()
return now
