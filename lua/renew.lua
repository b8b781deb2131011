-- renew: the whole lease again, counted from now. It also makes a claim into a full hold.
--
-- KEYS[1]  the lock
-- ARGV[1]  token
-- ARGV[2]  fence
--
-- Reply    now: renewed | {'revoked', now, note}: stolen, or broken with a note; give it up | {'gone', now}
--@ begin.lua
--@ shared.lua
local token = ARGV[1]

load(token)
expire()
if not (hold and hold.token == token and hold.fence == ARGV[2]) then
  hand_over()
  store()
  local stone = get('t' .. token)
  if stone and #stone > 60 then return {'revoked', now, sub(stone, 61)} end
  return {'gone', now}
end
if hold.state == 'r' then
  store()
  return {'revoked', now, ''}
end
hold.at, hold.lease, hold.changed = now, sub(hold.request, 1, 8), true
raise(sub(hold.request, 9, 16))
store()
return now
