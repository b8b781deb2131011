-- The first lines of every script: they read the server's clock once, for the whole script. Times are 16 digits of µs, so
-- they compare as text.
local call, key = redis.call, KEYS[1]
local got, pair                   -- what a fast path has read for `load`: LOADED, or the whole of a hash of two fields
local time = call('TIME')
local micros = time[2]
if #micros < MICROS_WIDTH then micros = string.sub('00000' .. micros, -MICROS_WIDTH) end
local now = time[1] .. micros
if #now < TIME_WIDTH then now = '0' .. now end -- before September 2001, where fake clocks live
if #now ~= TIME_WIDTH then
  return redis.error_reply("CLOCK the server's clock says " .. time[1] .. ' s since 1970: it must stand between March 1973 and November 2286')
end
