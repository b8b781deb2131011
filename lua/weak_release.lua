-- weak_release: delete the key of a weak lock if it still has this token.
--
-- KEYS[1]  the weak lock
-- ARGV[1]  token
--
-- Reply    1: deleted | 0: the key does not have this token
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
