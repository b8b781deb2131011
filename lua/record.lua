-- record: what became of a thing that is done once, written by who did it. One that was late, and whose lock somebody else
-- has got meanwhile, does not overwrite what that one wrote.
--
-- KEYS[1]  the record
-- ARGV[1]  fence of the writer's lock, 16 digits
-- ARGV[2]  ms after which the record is forgotten
-- ARGV[3]  what is to be kept
--
-- Reply    1 | 0: there is a record with a greater fence, and it stays
local last = redis.call('GETRANGE', KEYS[1], 0, 15)
if last > ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[3], 'PX', ARGV[2])
return 1
