-- recall: what the record of a lock says, and what time it is. It is a script so that it is answered by the master: a
-- replica may be behind.
--
-- KEYS[1]  the record
--
-- Reply    the server's clock in s and µs, as texts, and if there is a record: it, and the ms until it is forgotten
local call = redis.call
local time = call('TIME')
local value = call('GET', KEYS[1])
if not value then return time end
return {time[1], time[2], value, call('PTTL', KEYS[1])}
