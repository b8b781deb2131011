-- The reply of inspect and of watch, as inspect.lua describes it. A hold that has lapsed is not shown, and not removed.
local limit = ARGV[1] + 0
local reply = {now, fence, queue.length, holds.length, 0}
local function show(...)
  for _, value in ipairs({...}) do reply[#reply + 1] = value end
end
local function mode_text(record, from) return match(record, '\n([^\n]*)\n', from + REQUEST_WIDTH) end

local id = holds.head
for _ = 1, limit do
  if not id then break end
  local hold, next_id = hold_of(id), following(holds, id)
  if lapsed(hold) then
    reply[4] = reply[4] - 1
  else
    reply[5] = reply[5] + 1
    show(hold.since, time16(deadline(hold)), hold.fence, hold.token, hold.state, mode_text(hold.request, 1), info_of(hold.request, 1), hold.lease + 0)
  end
  id = next_id
end
id = queue.head
for _ = 1, limit do
  if not id then break end
  local place = get('w' .. id)
  show(sub(place, PLACE_TICKET), id, mode_text(place, PLACE_REQUEST), info_of(place, PLACE_REQUEST))
  id = following(queue, id)
end
return reply
