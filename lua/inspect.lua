-- inspect: what a lock's hash says, read only: a lapsed hold is not shown, and not removed.
--
-- KEYS[1]  the lock
-- ARGV[1]  how many holds and how many places to show at the most
--
-- Reply    {now, last fence or '', how many wait, how many hold, how many holds follow,
--           for each of them: since, deadline, fence, token, state, mode, info,
--           then for each place: ticket, token, mode, info}
--@ begin.lua
--@ shared.lua
load(NONE)
local limit = ARGV[1] + 0
local reply = {now, fence, queue.length, holds.length, 0}
local function show(...)
  for _, value in ipairs({...}) do reply[#reply + 1] = value end
end
local function mode_text(record, from) return match(record, '\n([^\n]*)\n', from + 33) end

local id = holds.head
for _ = 1, limit do
  if not id then break end
  local hold, next_id = hold_of(id), following(holds, id)
  if lapsed(hold) then
    reply[4] = reply[4] - 1
  else
    reply[5] = reply[5] + 1
    show(hold.since, time16(deadline(hold)), hold.fence, hold.token, hold.state, mode_text(hold.request, 1), info_of(hold.request, 1))
  end
  id = next_id
end
id = queue.head
for _ = 1, limit do
  if not id then break end
  local place = get('w' .. id)
  show(sub(place, 45, 60), id, mode_text(place, 61), info_of(place, 61))
  id = following(queue, id)
end
return reply
