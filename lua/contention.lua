-- What acquire, check and convert do under contention: another caller holds the lock.

-- The oldest hold that is neither revoked nor kept. If many are, the search goes on where the last script left it, because
-- such a hold is never held again. The second result is true if the search has not come to an end.
local function oldest()
  local id = summary and summary.fresh or holds.head
  for _ = 1, SCAN do
    local hold = id and hold_of(id)
    if not hold or hold.state == '-' then break end
    id = following(holds, id)
    if summary and id then summary.fresh, summary.changed = id, true end
  end
  local hold = id and hold_of(id)
  if hold and hold.state == '-' then return hold, false end
  return nil, id ~= nil
end

-- Holds that are older than a waiter tolerates are revoked, and their owners are told. They stay until the owner gives them
-- up, or until their deadline, so no hold ever stands beside one that it does not fit. The result is true if there may be
-- more of them.
local function revoke(after)
  if not after or after == '' then return false end
  local told, hold, more = {}, oldest()
  while hold and now - hold.since >= after + 0 do
    if #told == SCAN then
      more = true
      break
    end
    hold.state, hold.changed, touched = 'r', true, true
    told[#told + 1] = hold
    hold, more = oldest()
  end
  if #told == 0 then return more end
  raise_expiry(KEEP)              -- an EXPIREAT first: memory may be short
  store()
  for _, hold in ipairs(told) do
    redis.pcall('PUBLISH', channel_of(hold.request, 1), 's' .. hold.token .. sub(hold.request, REQUEST_NONCE))
  end
  return more
end

-- Places of dead Clients would pile up behind a long hold. The result is true if there may be more of them at this end.
local function trim(last)
  for _ = 1, TRIM do
    local id = queue[last]
    if not id or seen(client(channel_of(get('w' .. id), PLACE_REQUEST))) then return false end
    leave(id)
  end
  return true
end

local function refresh_client(entry, mode) -- a Client is alive, and may be countable or not
  entry.seen, entry.mode = now, mode
  save_client(entry)
end

-- The first waiter tells the owners that take turns, so that they keep the lock no longer than their turns: SCAN owners at
-- the most, and none behind a hold whose owner takes no turns. So if many hold the lock without turns, only one of them is
-- looked at.
local function in_turns(own)
  local told, id = {}, not queue.head and holds.head
  for _ = 1, SCAN do
    local hold = id and hold_of(id)
    if not hold then break end
    if id ~= own then
      if hold.state ~= '-' or sub(hold.request, REQUEST_NONCE_ON, REQUEST_NONCE_ON) ~= TURNS then break end
      told[#told + 1] = hold
    end
    id = following(holds, id)
  end
  return told
end

local function recall(told, place)
  for _, hold in ipairs(told or {}) do
    redis.pcall('PUBLISH', channel_of(hold.request, 1), 'l' .. hold.token .. sub(hold.request, REQUEST_NONCE) .. sub(place, PLACE_TICKET))
  end
end

-- The last five elements of a reply: the `since` of the oldest hold, and when the first hold ends (both '' if nobody holds
-- the lock); how many wait; who the oldest holder is; how many hold.
local function answer(reply)
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4], reply[n + 5] = '', '', queue.length, '', holds.length
  if holds.head then
    local hold = oldest() or hold_of(holds.head)
    reply[n + 1], reply[n + 4] = hold.since, info_of(hold.request, 1)
    reply[n + 2] = time16(first_end())
  end
  return reply
end
