-- The fast path of a release that hands over in the usual case: the hold is the only one, the Client of the first waiter
-- lives, and all modes are exclusive. It shortens `drop` and `hand_over` of rules.lua, and `store` of state.lua, and writes
-- in the same order. Every other case goes on to the rules.
if not released and not ARGV[2] then
  local sub, token = string.sub, ARGV[1]
  got = call('HMGET', key, LOADED)
  local fence, queue = got[1], got[5]
  if queue and got[4] == token .. token .. '1' and not (got[2] or got[3] or got[6] or got[7])
    and fence < now and sub(fence, TIME_HUNDREDS) == sub(now, TIME_HUNDREDS) then
    local head, last = sub(queue, LIST_HEAD), sub(queue, LIST_TAIL)
    local place = call('HGET', key, 'w' .. head)
    local channel = sub(place, PLACE_REQUEST_CHANNEL, string.find(place, '\n', PLACE_REQUEST_CHANNEL, true) - 1)
    local client = call('HGET', key, 'c' .. channel)
    local seen, mode = client and sub(client, CLIENT_SEEN), client and sub(client, CLIENT_WAIT)
    local sharded = mode == 's'
    local request, lease = sub(place, PLACE_REQUEST), sub(place, PLACE_REQUEST_LEASE)
    local wake = sharded and channel .. ':' .. string.match(key, '{.*') or channel
    if seen and seen <= now and now - seen <= UNSEEN and sub(place, PLACE_REQUEST_KEEP) + 0 == KEEP
      and (head == last or lease * 1000 >= CHECKED) -- else the next in the queue is told when it ends (`notify_first`)
      and (mode == 'u' or redis.pcall('PUBSUB', sharded and 'SHARDNUMSUB' or 'NUMSUB', wake)[2] ~= 0) then
      local left = sub(client, CLIENT_PLACES) - 1
      local claim = lease + 0 > CLAIM and CLAIM_TEXT or lease
      if head == last then        -- nobody waits any more: the hold in its short form
        if left == 0 then
          call('HDEL', key, 'w' .. head, 'h' .. token, 's', 'q', 'c' .. channel)
        else
          call('HDEL', key, 'w' .. head, 'h' .. token, 's', 'q')
        end
      elseif left == 0 then
        call('HDEL', key, 'w' .. head, 'h' .. token, 'c' .. channel)
      else
        call('HDEL', key, 'w' .. head, 'h' .. token)
      end
      redis.pcall(sharded and 'SPUBLISH' or 'PUBLISH', wake, 'g' .. head .. now .. now .. claim)
      if head == last then
        call('HSET', key, 'f', now, head, claim == lease and request or '@' .. now .. claim .. request)
      else
        local next = sub(place, LINKS_NEXT)
        local hold = NONE .. NONE .. now .. now .. now .. claim .. '-' .. request
        queue = next .. last .. sub(queue, LIST_LENGTH) - 1
        if left == 0 then
          call('HSET', key, 'f', now, 's', head .. head .. '1', 'q', queue, 'h' .. head, hold)
        else
          call('HSET', key, 'f', now, 's', head .. head .. '1', 'q', queue, 'h' .. head, hold, 'c' .. channel, seen .. mode .. left)
        end
      end
      return {'hold', 0}
    end
  end
end
