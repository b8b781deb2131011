-- ask: tell the holders that a caller wants the lock. It changes nothing.
--
-- KEYS[1]  the lock
-- ARGV[1]  what to tell them
--
-- Reply    how many of the first MOST holders were told
--@ preamble.lua
--@ rules.lua
local MOST = 64
load(NONE)
local told, id = 0, holds.head
for _ = 1, MOST do
  if not id then break end
  local hold, next_id = hold_of(id), following(holds, id)
  if hold.state ~= 'k' and not lapsed(hold) then
    redis.pcall('PUBLISH', channel_of(hold.request, 1), 'a' .. hold.token .. sub(hold.request, REQUEST_NONCE) .. ARGV[1])
    told = told + 1
  end
  id = next_id
end
return told
