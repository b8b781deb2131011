-- The fast path of an acquire that joins the queue in the usual case of other modes than the exclusive one: no hold can have
-- ended, the Clients of the first and of the last waiter live, and the first waiter plainly does not fit. (Without a queue
-- that is this one.) It is plain if that waiter or a holder tolerates nobody, if the hold is exclusive, or if the capacity of
-- the waiter's class is used up. It shortens the same as fast_join.lua, and `fits` and `clash` of modes.lua. Every other case
-- goes on to the rules.
local modes = got and got[3]
if modes and got[4] and not (got[6] or got[7] or got[8] or got[9]) and string.sub(ARGV[2], REQUEST_WAIT) ~= '-' then
  local sub, find, match = string.sub, string.find, string.match
  --@ modes_at_rest.lua
  local token, request, queue, holders = ARGV[1], ARGV[2], got[5], sub(got[4], LIST_LENGTH) + 0
  local from = find(request, '\n', REQUEST_CHANNEL, true)
  local channel = sub(request, REQUEST_CHANNEL, from - 1)
  local weight, class, capacity, name = match(request, '^(%d+) ((%d+) (%S+) %S+)\n', from + 1)
  local its, plain = class, class or sub(request, from + 1, from + 1) == '\n'
  local head, clash, hold, last, tail = 'h' .. sub(got[4], LIST_HEAD), false, nil, nil, nil
  if rest and plain and not queue then
    local nodes = call('HMGET', key, head, 'l')
    hold = nodes[1]
    clash = nodes[2] or sub(hold, HOLD_REQUEST_NONCE_ON, HOLD_REQUEST_NONCE_ON) == TURNS -- its owner is told
  elseif rest and plain then
    tail = sub(queue, LIST_TAIL)
    local nodes = call('HMGET', key, head, 'w' .. tail, 'w' .. sub(queue, LIST_HEAD), 'l')
    local front = nodes[3]
    hold, last = nodes[1], nodes[2]
    from = find(front, '\n', PLACE_REQUEST_CHANNEL, true)
    weight, its, capacity = match(front, '^(%d+) ((%d+) %S+ %S+)\n', from + 1)
    local clients = call('HMGET', key, 'c' .. sub(front, PLACE_REQUEST_CHANNEL, from - 1),
      'c' .. sub(last, PLACE_REQUEST_CHANNEL, find(last, '\n', PLACE_REQUEST_CHANNEL, true) - 1))
    local one, other = sub(clients[1] or FAR, CLIENT_SEEN), sub(clients[2] or FAR, CLIENT_SEEN)
    clash = nodes[4] or one > now or now - one > UNSEEN or other > now or now - other > UNSEEN or sub(front, PLACE_TICKET) == EPOCH
  end
  if hold and not clash and n < CLASSES and sub(hold, HOLD_STATE) == '-' then
    local held, place, full = 0, nil, not its or sub(its, -2) == ' -'
    for i = 1, n do
      held = held + weights[i]
      if weights[i] > 0 and (sub(classes[i], -2) == ' -' or classes[i] == its and capacity ~= '0' and weights[i] + weight > capacity + 0) then full = true end
      if classes[i] == class then
        place = i
      elseif class and find(classes[i], ' ' .. name .. ' ', 1, true) then
        clash = true              -- perhaps
      end
    end
    if holders == 1 then          -- the bound of the summary is that of several
      local at = sub(hold, HOLD_AT)
      clash = clash or at > now or at + sub(hold, HOLD_LEASE) * 1000 <= now + 0
    end
    if (full or held == 0) and not clash then
      local mine, ticket, waiting = got[12], now, 1
      local due = holders > 1 and sub(modes, SUMMARY_BOUND) or string.format(TIME_FORMAT, sub(hold, HOLD_AT) + sub(hold, HOLD_LEASE) * 1000)
      if class then
        modes = sub(modes, SUMMARY_BOUND_ON, SUMMARY_WIDTH)
        for i = 1, n do
          modes = modes .. (i == place and counts[i] + 1 or counts[i]) .. ' ' .. weights[i] .. ' ' .. classes[i] .. '\n'
        end
        if not place then modes = modes .. '1 0 ' .. class .. '\n' end
      end
      local entry = now .. sub(request, REQUEST_WAIT) .. (mine and sub(mine, CLIENT_PLACES) + 1 or '1')
      if queue then
        if sub(last, PLACE_TICKET) >= now then ticket = string.format(TIME_FORMAT, sub(last, PLACE_TICKET) + 1) end
        waiting = sub(queue, LIST_LENGTH) + 1
        call('HSET', key, 'q', sub(queue, LIST_HEAD) .. token .. waiting, 'w' .. tail, sub(last, LINKS_PREVIOUS) .. token .. sub(last, NODE_BODY),
          'w' .. token, tail .. NONE .. ticket .. request, 'c' .. channel, entry, 'm', modes)
      else
        call('HSET', key, 'q', token .. token .. '1', 'w' .. token, NONE .. NONE .. ticket .. request, 'c' .. channel, entry, 'm', modes)
      end
      local info = find(hold, '\n', find(hold, '\n', HOLD_REQUEST_CHANNEL, true) + 1, true)
      return {'waiting', now, ticket, sub(hold, HOLD_SINCE), due, waiting, sub(hold, info + 1), holders, ''}
    end
  end
end
