-- weak_release: delete a weak lock's key if it is still ours.
--
-- KEYS[1]  the weak lock
-- ARGV[1]  token
--
-- Reply    1 deleted | 0 not ours
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
