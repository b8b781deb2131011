-- preflight: whether this user may do what the scripts do, before the first lock depends on it.
--
-- KEYS[1]  a key of its own below the prefix
-- ARGV[1]  the Client's wake channel
--
-- Reply    the refusals, as the server words them; empty when all is well
local refused = {}
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err and string.find(reply.err, 'NOPERM', 1, true) then
    refused[#refused + 1] = select(1, ...) .. ': ' .. reply.err
  elseif type(reply) == 'table' and reply.err and string.find(reply.err, 'ermission', 1, true) then
    refused[#refused + 1] = select(1, ...) .. ': ' .. reply.err
  end
end
local key = KEYS[1]
try('TIME')
try('HSET', key, 'f', '0')
try('EXPIRE', key, '1')
try('EXPIREAT', key, '1')
try('HLEN', key)
try('HGET', key, 'f')
try('HMGET', key, 'f')
try('HGETALL', key)
try('HDEL', key, 'f')
try('SET', key, '', 'PX', '1')
try('GET', key)
try('PTTL', key)
try('DEL', key)
try('PUBLISH', ARGV[1], 'p')
return refused
