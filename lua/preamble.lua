-- The first lines of every script: the size of the hash; one reading of the server's clock, which serves the whole script, as
-- 16 digits of µs, so that times compare as text; and the lengths of time that the rules and the fast paths share.
local call, key = redis.call, KEYS[1]
local fields = call('HLEN', key)
local time = call('TIME')
local micros = time[2]
if #micros < MICROS_WIDTH then micros = string.sub('00000' .. micros, -MICROS_WIDTH) end
local now = time[1] .. micros
if #now < TIME_WIDTH then now = '0' .. now end -- before September 2001, where fake clocks live
if #now ~= TIME_WIDTH then
  return redis.error_reply("CLOCK the server's clock says " .. time[1] .. ' s since 1970: it must stand between March 1973 and November 2286')
end

local CLAIM = 5000                -- ms: how long a hold granted by message waits for its owner
local UNSEEN = 7000000            -- µs: three checks; a Client silent for longer has lost its places
local CHECKED = 2500000           -- µs: one check, and what it may be late: within that a waiter that lives is heard of
