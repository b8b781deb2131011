-- confirm: the owner of a new grant says that it has it, before it relies on it. That makes the lease whole, lifts the
-- fence above what its Client has seen of this name, where data was lost and the clock is behind, and is a write on
-- this connection, which a WAIT on the same one counts replicas for. It grants nothing: of a copy that comes late there
-- is nothing to fear.
--
-- KEYS[1]  the lock
-- ARGV[1]  token of the hold
-- ARGV[2]  the fence that the caller has named as seen, 16 digits; '' none
-- ARGV[3]  the greatest that its Client has seen; '' none
--
-- Reply    {'granted', now, fence, at, lease} | {'gone', now}: the hold is over, or was revoked
--          {'ahead', now}: the caller's is farther ahead of the clock than SKEW; nothing has changed
--@ preamble.lua
--@ rules.lua

-- A clock that is set to local time instead of UTC is off by up to 14 hours; a day covers that, with the time since. What
-- is farther ahead is a mistake or an attack: believed, it would keep this name's fences away from the clock for ever.
-- What the Client has by itself is ignored then.
local SKEW = 86400000000          -- µs
local token = ARGV[1]

load(token)
local searching = expire()
local hold = live(token)
if not hold or hold.state ~= '-' then
  hand_over(searching)
  store()
  return {'gone', now}
end
local limit, floor = time16(now + SKEW), ARGV[2]
if hold.fence <= floor and floor > limit then
  store()
  return {'ahead', now}
end
if ARGV[3] > floor and ARGV[3] <= limit then floor = ARGV[3] end
if hold.fence <= floor then       -- I2: and greater than the fence of every other hold
  fence = time16((floor > fence and floor or fence) + 1)
  put('f', fence)
  hold.fence = fence              -- it is as old as it was, so `since` stays
end
hold.at, hold.lease = now, sub(hold.request, REQUEST_LEASE)
mark(hold)
raise_expiry(sub(hold.request, REQUEST_KEEP)) -- an EXPIREAT first: memory may be short
store()
return {'granted', now, hold.fence, hold.at, hold.lease}
