-- What acquire and check have in common: they meet a lock that is somebody else's.

-- A hold older than a waiter tolerates is revoked, and its owner told. It stays until the owner gives it up, or its
-- deadline: never two at once.
local function revoke(after)
  if hold and hold.state == '-' and after and after ~= '' and now - hold.since >= after + 0 then
    hold.state, hold.changed = 'r', true
    raise(KEEP)                   -- an EXPIREAT first: memory may be short
    store()
    redis.pcall('PUBLISH', channel_of(hold.request, 1), 's' .. hold.token .. sub(hold.request, 17, 32))
  end
end

-- Places of Clients that are gone would pile up under a long hold.
local function trim(last)
  for _ = 1, TRIM do
    local id = queue[last]
    if not id or seen(client(channel_of(get('w' .. id), 61))) then return end
    leave(id)
  end
end

-- The last four of a reply: the holder's since and deadline ('' nobody), how many wait, who the holder is.
local function answer(reply)
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = '', '', queue.length, ''
  if hold then
    reply[n + 1], reply[n + 2] = hold.since, time16(deadline())
    reply[n + 4] = sub(hold.request, find(hold.request, '\n', 34, true) + 1)
  end
  return reply
end
