-- preflight: find out before the first lock whether this user has the rights that the scripts need.
--
-- KEYS[1]  a key of its own below the prefix
-- ARGV[1]  the Client's wake channel
-- ARGV[2]  the broadcast channel
-- ARGV[3]  on a cluster, a sharded channel in the slot of the key
--
-- Reply    the refusals, in the server's words; empty if nothing is refused; 'older than Redis 6.0' alone from such a server, which has
--          no redis.setresp
--
-- An ACL refuses a command of a script by its error code; by "ERR The user executing the script can't run this command or
-- subcommand" in Redis 7; by "ERR ACL failure in script: User … has no permissions to run the 'hset' command" in Redis 8 and
-- Valkey 9. Any other error is no refusal. internal/transport/errors.go knows these errors too.
local DENIALS = {'NOPERM', 'user executing the script', 'ACL failure in script', 'has no permissions'}

if not redis.setresp then return {'older than Redis 6.0'} end
local refused = {}
local function try(command, ...)
  local reply = redis.pcall(command, ...)
  if type(reply) ~= 'table' or not reply.err then return end
  for _, denial in ipairs(DENIALS) do
    if string.find(reply.err, denial, 1, true) then
      refused[#refused + 1] = string.lower(command) .. ': ' .. reply.err
      return
    end
  end
end
local key = KEYS[1]
try('PING')
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
try('GETRANGE', key, '0', '0')
try('PTTL', key)
try('DEL', key)
try('PUBSUB', 'NUMSUB', ARGV[1])
try('PUBLISH', ARGV[1], 'p')
try('PUBLISH', ARGV[2], 'p')
try('PUBLISH', ARGV[2] .. string.match(key, ':{.*'), 'p') -- the channel of the changes of a lock
if ARGV[3] then
  try('PUBSUB', 'SHARDNUMSUB', ARGV[3])
  try('SPUBLISH', ARGV[3], 'p')
end
return refused
