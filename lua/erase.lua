-- erase: delete a record, and tell the Clients that remember it.
--
-- KEYS[1]  the record
-- ARGV[1]  none, or the broadcast channel
-- ARGV[2]  the message
--
-- Reply    1
redis.call('DEL', KEYS[1])
if ARGV[1] then redis.pcall('PUBLISH', ARGV[1], ARGV[2]) end -- who does not hear it looks when it is subscribed again
return 1
