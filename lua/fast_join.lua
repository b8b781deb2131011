-- The fast path of an acquire that joins the queue in the usual case: one exclusive hold that has not ended, exclusive
-- waiters whose Clients live, and nothing else in the hash. It shortens `join` of acquire.lua, `refresh_client` and `answer`
-- of contention.lua, and `store` of state.lua. It costs less because it defines no function. Every other case goes on to the
-- rules.
if fields > 1 and not ARGV[3] then
  local sub, find = string.sub, string.find
  local token, request = ARGV[1], ARGV[2]
  local channel_end = find(request, '\n', REQUEST_CHANNEL, true)
  local channel = sub(request, REQUEST_CHANNEL, channel_end - 1)
  local plain = sub(request, REQUEST_WAIT) ~= '-' and sub(request, channel_end + 1, channel_end + 1) == '\n'
  local short, hold, tail, last, queue, mine, alive
  if fields == 2 then             -- the hold in its short form
    pair = call('HGETALL', key)
    local i = pair[1] == 'f' and 3 or 1
    short, hold = pair[i], pair[i + 1]
    alive = plain and pair[4 - i] == 'f' and #short == TOKEN_WIDTH and short ~= token
    if alive then
      local fence = pair[5 - i]
      local at, lease = fence, sub(hold, REQUEST_LEASE)
      if sub(hold, RENEWED_MARK) == '@' then
        at, lease, hold = sub(hold, RENEWED_AT), sub(hold, RENEWED_LEASE), sub(hold, RENEWED_REQUEST)
      end
      local mode = find(hold, '\n', REQUEST_CHANNEL, true)
      alive = sub(hold, mode + 1, mode + 1) == '\n'
      hold = NONE .. NONE .. fence .. fence .. at .. lease .. '-' .. hold
    end
  else
    got = call('HMGET', key, LOADED, token, 'c' .. channel)
    local holds = got[4]
    queue, mine = got[5], got[12]
    if plain and holds and queue and sub(holds, LIST_LENGTH) == '1' and not (got[3] or got[6] or got[7] or got[8] or got[9]) then
      tail = sub(queue, LIST_TAIL)
      local nodes = call('HMGET', key, 'h' .. sub(holds, LIST_HEAD), 'w' .. tail)
      hold, last = nodes[1], nodes[2]
      local other = sub(last, PLACE_REQUEST_CHANNEL, find(last, '\n', PLACE_REQUEST_CHANNEL, true) - 1)
      local client = other == channel and mine or call('HGET', key, 'c' .. other)
      local seen = client and sub(client, CLIENT_SEEN)
      alive = seen and seen <= now and now - seen <= UNSEEN
    end
  end
  if alive then
    local at = sub(hold, HOLD_AT)
    local due = at + sub(hold, HOLD_LEASE) * 1000
    if at <= now and due > now + 0 then
      local ticket, length = now, 1
      if short then
        call('HDEL', key, short)
        call('HSET', key, 's', short .. short .. '1', 'h' .. short, hold, 'q', token .. token .. '1',
          'w' .. token, NONE .. NONE .. ticket .. request, 'c' .. channel, now .. sub(request, REQUEST_WAIT) .. '1')
        if sub(hold, HOLD_REQUEST_NONCE_ON, HOLD_REQUEST_NONCE_ON) == TURNS then
          redis.pcall('PUBLISH', sub(hold, HOLD_REQUEST_CHANNEL, find(hold, '\n', HOLD_REQUEST_CHANNEL, true) - 1),
            'l' .. short .. sub(hold, HOLD_REQUEST_NONCE) .. ticket)
        end
      else
        if sub(last, PLACE_TICKET) >= now then ticket = string.format(TIME_FORMAT, sub(last, PLACE_TICKET) + 1) end
        length = sub(queue, LIST_LENGTH) + 1
        call('HSET', key, 'q', sub(queue, LIST_HEAD) .. token .. length, 'w' .. tail, sub(last, LINKS_PREVIOUS) .. token .. sub(last, NODE_BODY),
          'w' .. token, tail .. NONE .. ticket .. request, 'c' .. channel, now .. sub(request, REQUEST_WAIT) .. (mine and sub(mine, CLIENT_PLACES) + 1 or '1'))
      end
      local info = find(hold, '\n', find(hold, '\n', HOLD_REQUEST_CHANNEL, true) + 1, true)
      return {'waiting', now, ticket, sub(hold, HOLD_SINCE), string.format(TIME_FORMAT, due), length, sub(hold, info + 1), 1, ''}
    end
  end
end
