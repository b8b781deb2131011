-- fence: accept a fence of a resource, alone or with a value.
--
-- KEYS[1]  the register, a hash: f, the greatest fence; v, the value; o, the order of the write that v is from
-- ARGV[1]  fence, as 19 digits, so that fences compare as text: Lua's numbers lose the last ones
-- ARGV[2]  retention, s
-- ARGV[3]  order of a write: 16 characters for the process, 19 digits that rise with its writes; none: no value
-- ARGV[4]  value
--
-- Reply    the greatest fence seen; if it is above ARGV[1], the request was refused and changed nothing
local call, key = redis.call, KEYS[1]
local fence, retention, order, value = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]

local seen = call('HGET', key, 'f')
if seen and seen > fence then return seen end

-- A copy of an earlier write can be executed after a later one of the same holder, when its sender had given up on it
-- and sent it again. It must not undo the later one.
local function overtaken()
  local last = seen == fence and call('HGET', key, 'o')
  return last and string.sub(last, 1, 16) == string.sub(order, 1, 16) and last > order
end

-- HSET first: out of memory it is refused, and then nothing has changed.
if order then
  if not overtaken() then call('HSET', key, 'f', fence, 'o', order, 'v', value) end
elseif seen ~= fence then
  call('HSET', key, 'f', fence)
end
if call('PTTL', key) < 1000 * retention then call('EXPIRE', key, retention) end -- only ever raised
return fence
