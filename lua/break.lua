-- break: the operator ends holds, at once. Their owners are told; the fence protects what they guarded.
--
-- KEYS[1]  the lock
-- ARGV[1]  reason, for the owners
-- ARGV[2…] token and fence of each hold that is meant, so that a resend breaks no other
--
-- Reply    {how many were ended, more, the greatest of their fences or ''}
--@ begin.lua
--@ shared.lua
--@ bury.lua
load(NONE)
local searching = expire()
local ended, greatest = {}, ''
for i = 2, #ARGV, 2 do
  local hold = hold_of(ARGV[i])
  if hold and hold.fence == ARGV[i + 1] then
    ended[#ended + 1] = hold
    if hold.fence > greatest then greatest = hold.fence end
    drop(hold)
    bury(hold.token, ARGV[1])     -- for an owner whom the message does not reach
  end
end
if #ended > 0 then store() end
for _, hold in ipairs(ended) do
  redis.pcall('PUBLISH', channel_of(hold.request, 1), 's' .. hold.token .. sub(hold.request, 17, 32) .. ARGV[1])
end
local more = hand_over(searching)
store()
return {#ended, more and 1 or 0, greatest}
