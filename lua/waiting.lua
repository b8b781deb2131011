-- What acquire, check and convert have in common: they meet a lock that is somebody else's.

-- Holds older than a waiter tolerates are revoked, and their owners told. They stay until the owner gives them up, or
-- their deadline: never a hold beside one that it does not fit.
local function revoke(after)
  if not after or after == '' then return end
  local told, id = {}, holds.head
  for _ = 1, LOOK do
    local hold = id and hold_of(id)
    if not hold or now - hold.since < after + 0 then break end
    if hold.state == '-' then
      hold.state, hold.changed, touched = 'r', true, true
      told[#told + 1] = hold
    end
    id = following(holds, id)
  end
  if #told == 0 then return end
  raise(KEEP)                     -- an EXPIREAT first: memory may be short
  store()
  for _, hold in ipairs(told) do
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

local function tell(entry, mode)  -- a Client is alive, and may be countable or not
  entry.seen, entry.mode = now, mode
  save_client(entry)
end

-- The last five of a reply: the oldest hold that is not revoked, its since, and when the first hold ends ('' nobody);
-- how many wait, who the holder is, how many hold.
local function answer(reply)
  local n, id = #reply, holds.head
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4], reply[n + 5] = '', '', queue.length, '', holds.length
  if id then
    local oldest = hold_of(id)
    local hold = oldest
    for _ = 1, LOOK do
      if hold.state ~= 'r' then break end
      id = following(holds, id)
      if not id then break end
      hold = hold_of(id)
    end
    if hold.state == 'r' then hold = oldest end
    reply[n + 1], reply[n + 4] = hold.since, info_of(hold.request, 1)
    reply[n + 2] = holds.length == 1 and time16(deadline(hold)) or summary.bound
  end
  return reply
end
