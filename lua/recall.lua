-- recall: what the record of a lock says. It is a script so that it is answered by the master: a replica may be behind.
--
-- KEYS[1]  the record
--
-- Reply    {} | {the record, ms until it is forgotten}
local value = redis.call('GET', KEYS[1])
if not value then return {} end
return {value, redis.call('PTTL', KEYS[1])}
