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

-- How much is in the way of a mode: 0 if it fits beside the holds that are left, given by class. What ends makes it less only if that
-- was in the way. The second result is the part that is more than the limit allows.
local function in_the_way(mode, left, limit)
  local present, held, total = {[mode.class] = mode.weight}, {}, 0
  for class, weight in pairs(left) do
    present[class], total = (present[class] or 0) + weight, total + weight
  end
  if present[''] then return total, 0 end
  for class, weight in pairs(present) do
    local name = meaning(class).name
    held[name] = (held[name] or 0) + weight
  end
  local limited, over = limit and beyond(limit, held) or 0, 0
  for class, weight in pairs(total > 0 and present or {}) do
    local means = meaning(class)
    local more = beyond(means, held, class == mode.class)
    if means.capacity > 0 and held[means.name] > means.capacity then more = more + held[means.name] - means.capacity end
    over = over + more * weight
  end
  return over + limited, limited
end

-- Who is to be let in by a steal, in order: the places up to the last of the caller, HAND_OVER at the most; and the caller itself if
-- it has none and gives its mode. The second result is the limit, or nil if one of them is more than it allows even alone: then
-- the end of a hold helps nobody.
local function before(tokens, mode)
  local waiters, last, id, limit = {}, nil, queue.head, false
  for _ = 1, HAND_OVER do
    if not id then break end
    waiters[#waiters + 1] = mode_of(get('w' .. id), PLACE_REQUEST)
    if tokens[id] then last = #waiters end
    id = following(queue, id)
  end
  if not last and not id then waiters[#waiters + 1] = mode end
  for i = #waiters, (last or #waiters) + 1, -1 do waiters[i] = nil end
  for _, each in ipairs(waiters) do
    if each ~= EXCLUSIVE and not each.of then
      limit = limited()
      if limit and beyond(limit, {[meaning(each.class).name] = each.weight}) > 0 then return waiters, nil end
    end
  end
  return waiters, limit
end

-- Holds that are older than a waiter tolerates are revoked, and their owners are told: the oldest first, and no more than are in the
-- way of the caller and of those before it. They stay until the owner gives them up, or until their deadline, so no hold ever
-- stands beside one that it does not fit. If the end of those that are stale does not make room under the limit of the lock,
-- none is revoked: a holder keeps its lock when the limit falls. The first result is true if there may be more of them; the
-- second, if a hold is on its way out.
local function revoke(after, tokens, mode)
  if not after or after == '' then return false end
  local hold, more = oldest()
  if not hold or now - hold.since < after + 0 then return more, not hold and holds.head and hold_of(holds.head).state == 'r' end
  local waiters, limit = before(tokens, mode)
  if limit == nil then return false end
  local left, leaving = {}, false   -- the weight of what is not revoked, by class
  local function take(from, sign)
    local of = mode_of(from.request, 1)
    left[of.class] = (left[of.class] or 0) + sign * of.weight
    if left[of.class] <= 0 then left[of.class] = nil end
  end
  for _, entry in ipairs(holds.length > 1 and summary.classes or {}) do
    if entry.held > 0 then left[entry.class] = entry.held end
  end
  if holds.length == 1 then take(hold, 1) end
  local id = holds.head
  for _ = 1, SCAN do
    if not id then break end
    if hold_of(id).state == 'r' then
      take(hold_of(id), -1)
      leaving = true
    end
    id = following(holds, id)
  end
  local told, chosen, looks, over, barred, skipped = {}, {}, 0, 0, 0, nil
  id = hold.token
  for _, each in ipairs(waiters) do
    local own, some = each.of and hold_of(each.of), #told
    if own then take(own, -1) end
    local limit = not each.of and limit
    id, skipped = skipped or id, nil -- what was not in the way of the one before may be in the way of this one
    over, barred = in_the_way(each, left, limit)
    while over > 0 and id and looks < SCAN do
      local stale = hold_of(id)
      looks = looks + 1
      if stale.state == '-' and now - stale.since < after + 0 then
        id = nil
        break
      end
      if stale.state == '-' and id ~= each.of and not chosen[id] then
        take(stale, -1)
        local rest, rest_barred = in_the_way(each, left, limit)
        if rest < over then
          told[#told + 1], chosen[id], over, barred = stale, true, rest, rest_barred
        else
          take(stale, 1)
          skipped = skipped or id
        end
      end
      id = following(holds, id)
    end
    if barred > 0 then
      for i = #told, some + 1, -1 do told[i] = nil end
    end
    if over > 0 or each.of then break end
    left[each.class] = (left[each.class] or 0) + each.weight
  end
  if #told == 0 then return false, leaving end
  for _, stale in ipairs(told) do
    stale.state, stale.changed, touched = 'r', true, true
  end
  raise_expiry(KEEP)              -- an EXPIREAT first: memory may be short
  store()
  for _, stale in ipairs(told) do
    redis.pcall('PUBLISH', channel_of(stale.request, 1), 's' .. stale.token .. sub(stale.request, REQUEST_NONCE))
  end
  return over > 0 and id ~= nil and barred == 0, true
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

-- The elements `holder…` of a reply: the `since` of the oldest hold, and when the first hold ends (both '' if nobody holds the
-- lock); how many wait; who the oldest holder is; how many hold; and the end and the rules of the limit if the first to wait, or
-- the caller, is more than it allows now, else ''.
local function answer(reply)
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4], reply[n + 5] = '', '', queue.length, '', holds.length
  reply[n + 6] = barred and sub(get('l'), LIMIT_UNTIL) .. sub(get('l'), LIMIT_RULES) or ''
  if holds.head then
    local hold = oldest() or hold_of(holds.head)
    reply[n + 1], reply[n + 4] = hold.since, info_of(hold.request, 1)
    reply[n + 2] = time16(first_end())
  end
  return reply
end
