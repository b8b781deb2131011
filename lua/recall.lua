-- recall: read the record of a lock, and the time. It is a script so that the master answers it: a replica may be behind.
--
-- KEYS[1]  the record
--
-- Reply    the server's clock in s and µs, as texts; then the record, if there is one, and the ms until it expires
local call = redis.call
local time = call('TIME')
local value = call('GET', KEYS[1])
if not value then return time end
return {time[1], time[2], value, call('PTTL', KEYS[1])}
