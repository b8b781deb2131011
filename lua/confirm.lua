-- confirm: the owner of a new grant sends this before it relies on the grant. The full lease counts from now. If data was
-- lost and the clock is behind, the fence is raised above those that the Client has seen of this name. It is also a write on
-- this connection, for which a WAIT on the same connection counts replicas. It grants nothing, so a late copy does no harm.
--
-- KEYS[1]  the lock
-- ARGV[1]  token of the hold
-- ARGV[2]  the fence that the caller has named as seen, 16 digits; '' none
-- ARGV[3]  the greatest fence that its Client has seen; '' none
--
-- Reply    {'granted', now, fence, at, lease} | {'gone', now}: the hold is over, or was revoked
--          {'ahead', now}: the caller's fence is farther ahead of the clock than SKEW; nothing has changed
--@ preamble.lua
--@ rules.lua

-- A clock that is set to local time instead of UTC is wrong by up to 14 hours. A day covers that and the time since. A fence
-- that is farther ahead is a mistake or an attack: as a floor it would keep the fences of this name ahead of the clock for
-- ever. If the Client itself remembers such a fence, it is ignored.
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
