-- inspect: what a lock's hash says, read only: a lapsed hold is not shown, and not removed.
--
-- KEYS[1]  the lock
-- ARGV[1]  how many places to show at the most
--
-- Reply    {now, last fence or '', how many wait, number of holds,
--           for each hold: since, deadline, fence, token, state, info,
--           then for each place: ticket, token, info}
--@ begin.lua
--@ shared.lua
load(NONE)
expire()
local reply = {now, fence, queue.length, 0}
if hold then
  local info = sub(hold.request, find(hold.request, '\n', 34, true) + 1)
  reply[4] = 1
  for _, value in ipairs({hold.since, time16(deadline()), hold.fence, hold.token, hold.state, info}) do
    reply[#reply + 1] = value
  end
end
local id = queue.head
for _ = 1, ARGV[1] + 0 do
  if not id or id == NONE then break end
  local place = get('w' .. id)
  local info = sub(place, find(place, '\n', 94, true) + 1)
  reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = sub(place, 45, 60), id, info
  id = sub(place, 23, 44)
end
return reply
