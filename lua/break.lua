-- break: an operator ends holds at once. Their owners are told. Until then only the fence protects the guarded resource.
--
-- KEYS[1]  the lock
-- ARGV[1]  reason, for the owners
-- ARGV[2…] token and fence of each hold to end; with the fence, a resend breaks no other hold
--
-- Reply    {how many were ended, more, the greatest of their fences or '',
--           how many of them had been ended before for the same reason, the greatest of their fences or ''}
--@ preamble.lua
--@ rules.lua
--@ tombstone.lua
load(NONE)
local searching = expire()
local ended, greatest, before, last = {}, '', 0, ''
for i = 2, #ARGV, 2 do
  local hold, of = hold_of(ARGV[i]), ARGV[i + 1]
  if hold and hold.fence == of then
    ended[#ended + 1] = hold
    if of > greatest then greatest = of end
    drop(hold)
    lay_tombstone(hold.token, ARGV[1])     -- for an owner whom the message does not reach, and for a copy of this request
  elseif not hold and sub(get('t' .. ARGV[i]) or '', TOMBSTONE_NOTE) == ARGV[1] then
    before = before + 1
    if of > last then last = of end
  end
end
if #ended > 0 then
  fence = next_fence()            -- so a fence that is still the last one says, to its owner, that this did not happen
  put('f', fence)
  store()
end
for _, hold in ipairs(ended) do
  redis.pcall('PUBLISH', channel_of(hold.request, 1), 's' .. hold.token .. sub(hold.request, REQUEST_NONCE) .. ARGV[1])
end
local more = hand_over(searching)
store()
return {#ended, more and 1 or 0, greatest, before, last}
