-- The fast path of a check, under what is nearly always so: all of these wait as before, and the rest is as fast_join.lua
-- expects it. It shortens check.lua, with `refresh_client` and `answer` of contention.lua and `store` of state.lua.
if fields > 4 and ARGV[3] == '' then
  local sub, find, channel, names = string.sub, string.find, ARGV[1], {'s', 'q', 'm', 't', 'e', 'f', 'c' .. ARGV[1]}
  for i = 4, #ARGV do names[i + 4] = 'w' .. ARGV[i] end
  local got = call('HMGET', key, (table.unpack or unpack)(names))
  local holds, queue, fence, mine = got[1], got[2], got[6], got[7]
  local plain = holds and queue and mine and sub(holds, LIST_LENGTH) == '1' and not (got[3] or got[4] or got[5])
  for i = 8, #names do plain = plain and got[i] end
  if plain then
    local nodes = call('HMGET', key, 'h' .. sub(holds, LIST_HEAD), 'w' .. sub(queue, LIST_HEAD), 'w' .. sub(queue, LIST_TAIL))
    for i = 2, 3 do
      local other = sub(nodes[i], PLACE_REQUEST_CHANNEL, find(nodes[i], '\n', PLACE_REQUEST_CHANNEL, true) - 1)
      local client = other ~= channel and call('HGET', key, 'c' .. other)
      local seen = client and sub(client, CLIENT_SEEN) or now
      plain = plain and seen <= now and now - seen <= UNSEEN
    end
    local hold = nodes[1]
    local at, due = sub(hold, HOLD_AT), sub(hold, HOLD_AT) + sub(hold, HOLD_LEASE) * 1000
    if plain and at <= now and due > now + 0 then
      call('EXPIREAT', key, string.format('%d', sub(now > fence and now or fence, TIME_SECONDS) + KEEP))
      call('HSET', key, 'c' .. channel, now .. ARGV[2] .. sub(mine, CLIENT_PLACES))
      local info = find(hold, '\n', find(hold, '\n', HOLD_REQUEST_CHANNEL, true) + 1, true)
      local reply = {now, 0, sub(hold, HOLD_SINCE), string.format(TIME_FORMAT, due), sub(queue, LIST_LENGTH) + 0, sub(hold, info + 1), 1}
      for i = 4, #ARGV do reply[i + 4] = 'waiting' end
      return reply
    end
  end
end
