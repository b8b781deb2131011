-- The fast path of a release in the usual case of other modes than the exclusive one: no other hold can have ended, the
-- Client of the first waiter lives, and it is plain whether that waiter fits. It is plain if there is no other hold, if the
-- waiter or a holder tolerates nobody, or if all holds are of the waiter's own class, which tolerates itself up to its
-- capacity. At most one waiter is granted, and the one behind it does not fit. It shortens the same as fast_hand_over.lua,
-- and `fits` of modes.lua. Every other case goes on to the rules.
local modes = got and got[3]
if modes and got[4] and got[5] and got[8] and not (got[2] or got[6] or got[7]) and got[1] < now and string.sub(got[1], TIME_HUNDREDS) == string.sub(now, TIME_HUNDREDS) then
  local sub, find, match = string.sub, string.find, string.match
  --@ modes_at_rest.lua
  local token, node, others = ARGV[1], got[8], sub(got[4], LIST_LENGTH) - 1
  local oldest, newest, head, last = sub(got[4], LIST_HEAD), sub(got[4], LIST_TAIL), sub(got[5], LIST_HEAD), sub(got[5], LIST_TAIL)
  if rest and sub(node, HOLD_REQUEST_NONCE_ON, HOLD_REQUEST_NONCE_ON) ~= TURNS then
    local from = find(node, '\n', HOLD_REQUEST_CHANNEL, true)
    local heavy, own = match(node, '^(%d+) (%S+ %S+ %S+)', from + 1)
    local previous, next_hold = sub(node, LINKS_PREVIOUS), sub(node, LINKS_NEXT)
    local nodes = call('HMGET', key, 'w' .. head, 'h' .. newest, 'h' .. previous, 'h' .. next_hold, 'l')
    local place, tail, before, behind_it = nodes[1], nodes[2], nodes[3], nodes[4]
    if token == oldest then       -- its neighbours, as they are without it; false where there is none, or nothing to change
      oldest, before, behind_it = next_hold, false, false
    else
      before = sub(before, LINKS_PREVIOUS) .. next_hold .. sub(before, NODE_BODY)
      behind_it = behind_it and previous .. sub(behind_it, LINKS_NEXT_ON)
      if token == newest then newest, tail = previous, before end
      if next_hold == newest then tail = behind_it end
    end
    from = find(place, '\n', PLACE_REQUEST_CHANNEL, true)
    local channel, second = sub(place, PLACE_REQUEST_CHANNEL, from - 1), sub(place, LINKS_NEXT)
    local weight, its, capacity, name, rules = match(place, '^(%d+) ((%d+) (%S+) (%S+))\n', from + 1)
    weight, capacity = (weight or 0) + 0, (capacity or 0) + 0
    local client = call('HGET', key, 'c' .. channel)
    local seen, mode = client and sub(client, CLIENT_SEEN), client and sub(client, CLIENT_WAIT)
    -- The holds that remain when this one is given up, and whether the first waiter fits: nil if that is not plain.
    local held, same, fits, mine = 0, 0, nil, nil
    for i = 1, n do
      if classes[i] == own then
        counts[i] = counts[i] - 1
        weights[i] = weights[i] - heavy
      end
      held = held + weights[i]
      if classes[i] == its then
        same, mine = weights[i], i
      end
      if weights[i] > 0 and sub(classes[i], -2) == ' -' then fits = false end
    end
    if others == 0 then
      fits = true
    elseif not its or rules == '-' or held == 0 then
      fits = false
    elseif fits == nil and held == same and rules == name .. '=*' then
      fits = capacity == 0 or held + weight <= capacity
    end
    local alive = not nodes[5] and seen and seen <= now and now - seen <= UNSEEN and sub(place, PLACE_TICKET) ~= EPOCH
    local sharded = mode == 's'
    local request, lease = sub(place, PLACE_REQUEST), sub(place, PLACE_REQUEST_LEASE)
    local wake = sharded and channel .. ':' .. match(key, '{.*') or channel
    local bound, claim = sub(modes, SUMMARY_BOUND), lease
    if alive and fits then
      if lease + 0 > CLAIM then claim = CLAIM_TEXT end
      local due = string.format(TIME_FORMAT, now + claim * 1000)
      if due < bound then bound = due end
      alive = sub(place, PLACE_REQUEST_KEEP) + 0 == KEEP
      if alive and second ~= NONE then -- the next must not fit beside it, and need not be told of an end (`notify_first`)
        local behind = call('HGET', key, 'w' .. second)
        from = find(behind, '\n', PLACE_REQUEST_CHANNEL, true)
        local much, next_class, most = match(behind, '^(%d+) ((%d+) %S+ %S+)\n', from + 1)
        local waits = sub(behind, PLACE_REQUEST_CHANNEL, from - 1)
        local entry = waits == channel and client or call('HGET', key, 'c' .. waits)
        local heard = sub(entry or FAR, CLIENT_SEEN)
        local ends = others == 0 and due or bound
        alive = heard <= now and now - heard <= UNSEEN and ends - now >= CHECKED
          and (not its or rules == '-' or not next_class or sub(next_class, -2) == ' -' or next_class == its and most ~= '0' and same + weight + much > most + 0)
      end
      alive = alive and (mode == 'u' or redis.pcall('PUBSUB', sharded and 'SHARDNUMSUB' or 'NUMSUB', wake)[2] ~= 0)
    end
    if alive and fits ~= nil then
      local left, latest = sub(client, CLIENT_PLACES) - 1, sub(modes, SUMMARY_LATEST)
      if fits and mine then weights[mine] = weights[mine] + weight end
      if fits then latest = now end
      local text = ''
      for i = 1, n do
        if counts[i] > 0 then text = text .. counts[i] .. ' ' .. weights[i] .. ' ' .. classes[i] .. '\n' end
      end
      local summary = text ~= '' and bound .. latest .. sub(modes, SUMMARY_LEAST_ON, SUMMARY_WIDTH) .. text
      if not fits then
        call('HDEL', key, 'h' .. token)
        if behind_it then
          call('HSET', key, 's', oldest .. newest .. others, 'm', summary, 'h' .. previous, before, 'h' .. next_hold, behind_it)
        elseif before then
          call('HSET', key, 's', oldest .. newest .. others, 'm', summary, 'h' .. previous, before)
        else
          call('HSET', key, 's', oldest .. newest .. others, 'm', summary)
        end
        return {'hold', 0}
      end
      local alone, gone = others == 0 and second == NONE, {'h' .. token, 'w' .. head}
      if left == 0 then gone[#gone + 1] = 'c' .. channel end
      if second == NONE then gone[#gone + 1] = 'q' end
      if alone then gone[#gone + 1] = 's' end
      if alone or not summary then gone[#gone + 1] = 'm' end
      call('HDEL', key, unpack(gone))
      redis.pcall(sharded and 'SPUBLISH' or 'PUBLISH', wake, 'g' .. head .. now .. now .. claim)
      if alone then
        call('HSET', key, 'f', now, head, claim == lease and request or '@' .. now .. claim .. request)
        return {'hold', 0}
      end
      local kept = {'f', now, 'h' .. head, (others > 0 and newest or NONE) .. NONE .. now .. now .. now .. claim .. '-' .. request,
        's', (others > 0 and oldest or head) .. head .. others + 1}
      if second ~= NONE then
        kept[#kept + 1] = 'q'
        kept[#kept + 1] = second .. last .. sub(got[5], LIST_LENGTH) - 1
      end
      if left > 0 then
        kept[#kept + 1] = 'c' .. channel
        kept[#kept + 1] = seen .. mode .. left
      end
      if summary then
        kept[#kept + 1] = 'm'
        kept[#kept + 1] = summary
      end
      if before then
        kept[#kept + 1] = 'h' .. previous
        kept[#kept + 1] = before
      end
      if behind_it then
        kept[#kept + 1] = 'h' .. next_hold
        kept[#kept + 1] = behind_it
      end
      if others > 0 then          -- after the two, for it may be one of them
        kept[#kept + 1] = 'h' .. newest
        kept[#kept + 1] = sub(tail, LINKS_PREVIOUS) .. head .. sub(tail, NODE_BODY)
      end
      call('HSET', key, unpack(kept))
      return {'hold', 0}
    end
  end
end
