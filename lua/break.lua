-- break: the operator ends a hold, at once. Its owner is told; the fence protects what it guarded.
--
-- KEYS[1]  the lock
-- ARGV[1]  reason, for the owner
-- ARGV[2]  fence of the hold that is meant, so that a resend breaks no other; '' whichever there is
--
-- Reply    {fence of the hold that was ended or '', more}
--@ begin.lua
--@ shared.lua
--@ bury.lua
load(NONE)
expire()
local ended = ''
if hold and (ARGV[2] == '' or ARGV[2] == hold.fence) then
  ended = hold.fence
  local channel = channel_of(hold.request, 1)
  local message = 's' .. hold.token .. sub(hold.request, 17, 32) .. ARGV[1]
  bury(hold.token, ARGV[1]) -- for an owner whom the message does not reach
  hold = nil
  store()
  redis.pcall('PUBLISH', channel, message)
end
local more = hand_over()
store()
return {ended, more and 1 or 0}
