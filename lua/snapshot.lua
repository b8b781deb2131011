-- The reply of inspect and of watch, as inspect.lua describes it. A hold that has lapsed is not shown, and not removed.
local limit, rest = ARGV[1] + 0, {'', ''}
local reply = {now, fence, queue.length, holds.length, 0}
local function mode_text(record, from) return match(record, '\n([^\n]*)\n', from + REQUEST_WIDTH) end

-- Shows the nodes of a list behind one of them, or from the head on if that node has gone. If there are others behind the
-- last one shown, its token is noted in `more`.
local function page(list, behind, more, show)
  if behind == '-' then return end
  local id, last = list.head, nil
  if behind and behind ~= '' and get(list.node .. behind) then id = following(list, behind) end
  for _ = 1, limit do
    if not id then return end
    local next_id = following(list, id)
    show(id)
    last = id
    id = next_id
  end
  if id and last then rest[more] = last end
end

page(holds, ARGV[2], 1, function(id)
  local hold = hold_of(id)
  if lapsed(hold) then
    reply[4] = reply[4] - 1
    return
  end
  local n, request = #reply, hold.request
  reply[5] = reply[5] + 1
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = hold.since, time16(deadline(hold)), hold.fence, hold.token
  reply[n + 5], reply[n + 6], reply[n + 7], reply[n + 8] = hold.state, mode_text(request, 1), info_of(request, 1), hold.lease + 0
end)
page(queue, ARGV[3], 2, function(id)
  local n, place = #reply, get('w' .. id)
  reply[n + 1], reply[n + 2] = sub(place, PLACE_TICKET), id
  reply[n + 3], reply[n + 4] = mode_text(place, PLACE_REQUEST), info_of(place, PLACE_REQUEST)
end)
local limited = get('l')
if limited then
  local longest = time16(now + tonumber(sub(limited, LIMIT_LONG), 10)) -- as `limited` of modes.lua has it
  local till = sub(limited, LIMIT_UNTIL) < longest and sub(limited, LIMIT_UNTIL) or longest
  limited = till > now and till .. sub(limited, LIMIT_RULES)
end
if rest[1] ~= '' or rest[2] ~= '' or limited then
  reply[#reply + 1] = rest[1]
  reply[#reply + 1] = rest[2]
  reply[#reply + 1] = limited or nil
end
return reply
