-- The lock as a script sees it. Every script with the rules works like this: `load` reads the fields of its hash
-- (layout.lua), the rules change them in memory, and `store` writes back what has changed, once.
--@ hash.lua
--@ lists.lua
--@ modes.lua
--@ layer
local PAUSE = 250                 -- µs for each hold: how long they are not searched again, where one script cannot look at all
local REST = 20000                -- µs for which a search that stands at a hold stands at least
local fence                       -- the last one, '' before the first
local holds, queue, tombstones         -- the lists
local held = {}                   -- holds by token, as far as this script has read them
local short                       -- the token of a hold that the hash has in its short form
local asking                      -- the mode that this script asks for, where it has no place yet
local first, due                  -- the first waiter at the start, and when the first hold was to end, as far as that waiter knows

local function channel_of(record, from) -- of a request that begins at `from` in a record
  return sub(record, from + REQUEST_WIDTH, find(record, '\n', from + REQUEST_WIDTH, true) - 1)
end

local function info_of(record, from)
  return sub(record, find(record, '\n', find(record, '\n', from + REQUEST_WIDTH, true) + 1, true) + 1)
end

local function deadline(hold) return hold.at + hold.lease * 1000 end

local function hold_of(token)
  local hold = held[token]
  if hold == nil then
    local node = get('h' .. token)
    hold = node and {token = token, since = sub(node, HOLD_SINCE), fence = sub(node, HOLD_FENCE), at = sub(node, HOLD_AT),
      lease = sub(node, HOLD_LEASE), state = sub(node, HOLD_STATE), request = sub(node, HOLD_REQUEST)}
    held[token] = hold
  end
  return hold
end

-- Every change of a hold's end passes here, so that no hold ends before the summary's bound.
local function mark(hold)
  hold.changed, touched = true, true
  if not summary then return end
  local due = time16(deadline(hold))
  if due < summary.bound then summary.bound = due end
  if summary.cursor and due < summary.least then summary.least = due end
  if summary.cursor == hold.token and due < summary.next then summary.next = due end
  summary.latest, summary.changed = now, true
end

-- Whether the holds were searched just now (`expire`), by a clock that has not gone back since.
local function paused() return not summary.cursor and summary.next > now and summary.next - now <= holds.length * PAUSE end

-- Whether this hold alone is enough to keep the first waiter waiting, or without a queue the caller.
local function enough(token)
  if holds.length <= SCAN then return false end
  local mode = queue.head and mode_of(get('w' .. queue.head), PLACE_REQUEST) or asking
  return mode and alone_by_rule(mode) and mode.of ~= token
end

-- Whether the search stands at a hold that lives until `next` (`expire`). Scripts of earlier versions do not know this
-- meaning of `next`: they may have moved the cursor or the end of the hold, and left `next` as it was.
local function stands()
  if not (summary.cursor and summary.next > now and now >= summary.latest and enough(summary.cursor)) then return false end
  local hold = hold_of(summary.cursor)
  return hold and summary.next <= time16(deadline(hold) + REST)
end

local function first_end()        -- when the first hold ends, or is found to have, as far as is known; nil: nobody holds
  if holds.length == 1 then return deadline(hold_of(holds.head)) end
  if holds.length == 0 then return nil end
  return ((paused() or stands()) and summary.next > summary.bound and summary.next or summary.bound) + 0
end

local function load_short(token, value)
  local hold = {token = token, since = fence, fence = fence, at = fence, lease = sub(value, REQUEST_LEASE), state = '-', request = value}
  if sub(value, RENEWED_MARK) == '@' then
    hold.at, hold.lease, hold.request = sub(value, RENEWED_AT), sub(value, RENEWED_LEASE), sub(value, RENEWED_REQUEST)
  end
  cache['h' .. token], held[token], short = NONE .. NONE, hold, token
  holds.head, holds.tail, holds.length = token, token, 1
  local mode = mode_of(hold.request, 1)
  count(mode, 1, mode.weight)
  if summary then summary.bound, summary.latest = time16(deadline(hold)), hold.at end
end

local function load(token)        -- `token`: whose hold, place and tombstone this script is about
  local read = got
  if not read and fields == 2 then -- the whole of it is less
    pair = pair or call('HGETALL', key)
    local all = {[pair[1]] = pair[2], [pair[3]] = pair[4]}
    read = {all.f or false, all.e or false, all.m or false, all.s or false, all.q or false, all.t or false, all.v or false, false, false, false,
      all[token] or false}
  elseif not read then
    read = fields > 0 and call('HMGET', key, LOADED, token) or {}
  end
  dirty = {f = nil, e = nil, m = nil, s = nil, q = nil, t = nil, v = nil, [token] = nil} -- room for so many
  cache = {f = read[1], e = read[2], m = read[3], s = read[4], q = read[5], t = read[6], v = read[7],
    ['h' .. token] = read[8], ['w' .. token] = read[9], ['t' .. token] = read[10], [token] = read[11]}
  fence, holds, queue, tombstones = read[1] or '', open('s', 'h'), open('q', 'w'), open('t', 't')
  if read[3] then load_summary(read[3]) end
  if holds.head then
    -- the hash has holds in their long form
  elseif get(token) then
    load_short(token, get(token))
  elseif not queue.head and not tombstones.head and fields > (get('e') and 2 or 1) then
    local all = pair or call('HGETALL', key)
    for i = 1, #all, 2 do
      if #all[i] == TOKEN_WIDTH then load_short(all[i], all[i + 1]) end
    end
  end
  local longest = tombstones.head and time16(now + TOMBSTONE_LIFE)
  for _ = 1, TRIM do              -- tombstones are laid in the order in which they end
    local id = tombstones.head
    local oldest = id and get('t' .. id)
    if not oldest then break end
    local till = sub(oldest, TOMBSTONE_UNTIL)
    if till <= now then
      remove(tombstones, id)
    elseif till > longest then    -- laid before the clock went back: anchored anew, as a hold is (`lapsed` of rules.lua)
      remove(tombstones, id)
      append(tombstones, id, longest .. sub(oldest, TOMBSTONE_NOTE))
    else
      break
    end
  end
  first, due = queue.head, queue.head and first_end()
end

-- The key's expiry. fast_acquire.lua sets it to KEEP from now if the last grant was in another 100 s than this one, so the
-- expiry is known without being read. If a Client has another retention, or its lease needs more, the expiry stands in `e`.
-- With `e` that fast path is not taken. The expiry is only raised: no Client shortens another's memory of fences.
local function raise_expiry(keep)
  local known = get('e')
  local standard = keep + 0 == KEEP or keep + 0 < KEEP and fields > 0 and not known
  local wanted = sub(now > fence and now or fence, TIME_SECONDS) + (standard and KEEP or keep)
  if known and known + 0 >= wanted then
    expire_at = known
  else
    expire_at = format('%d', wanted)
    if known or not standard then put('e', not standard and expire_at) end
  end
end

local function save_client(entry)
  put('c' .. entry.channel, entry.places > 0 and entry.seen .. entry.mode .. entry.places)
end

local clients = {}
local function client(channel)
  local entry = clients[channel]
  if not entry then
    local value = get('c' .. channel)
    entry = value and {seen = sub(value, CLIENT_SEEN), mode = sub(value, CLIENT_WAIT), places = sub(value, CLIENT_PLACES) + 0}
      or {seen = '0', mode = 'u', places = 0}
    clients[channel] = entry
    entry.channel = channel
    if entry.seen > now then      -- the clock went back: as with a hold (`lapsed` of rules.lua)
      entry.seen = now
      save_client(entry)
    end
  end
  return entry
end

local function seen(entry) return now - entry.seen <= UNSEEN end

-- On a cluster the message goes to the Clients that are subscribed at this shard, on a channel in the slot of the lock.
local function channel_for(entry)
  return entry.mode == 's' and entry.channel .. ':' .. match(key, '{.*') or entry.channel
end

local function publish(entry, message)
  return redis.pcall(entry.mode == 's' and 'SPUBLISH' or 'PUBLISH', channel_for(entry), message)
end

-- Whether a Client is subscribed here. Receivers are counted before anything is sent: PUBLISH counts only those of this
-- server, while a Client that is subscribed at a replica gets the message too, and would take it for a grant of its own. An
-- error does not count as zero: it says nothing about the waiter.
local function has_receiver(entry)
  if entry.mode == 'u' then return true end
  if entry.receiver == nil then
    entry.receiver = redis.pcall('PUBSUB', entry.mode == 's' and 'SHARDNUMSUB' or 'NUMSUB', channel_for(entry))[2] ~= 0
  end
  return entry.receiver
end

-- A waiter checks when the first hold ends, as far as the waiter knows. If a hold ends earlier, or another waiter comes first
-- now, the first waiter that has a receiver is told, unless its next check comes before that anyway. A waiter that has
-- just joined has the time in its answer.
local function notify_first()
  local ends = queue.head and first_end()
  if first and ends and ends < now + CHECKED and (queue.head ~= first or not due or ends < due) then
    local id = queue.head
    for _ = 1, HAND_OVER do
      local entry = id and client(channel_of(get('w' .. id), PLACE_REQUEST))
      if not entry then break end
      if has_receiver(entry) then
        publish(entry, 'd' .. id)
        break
      end
      id = following(queue, id)
    end
  end
  first, due = queue.head, ends
end

-- Writes everything back into the hash. A single hold without a queue is written in the short form.
local function store()
  local watched = touched and get('v')
  if watched then put('v', false) end
  local alone = holds.length == 1 and not queue.head and not tombstones.head and not get('v') and hold_of(holds.head)
  if alone and alone.state == '-' and alone.since == alone.fence and alone.fence == fence then
    if alone.changed or short ~= alone.token then
      local value = alone.request
      if alone.at ~= alone.fence or alone.lease ~= sub(value, REQUEST_LEASE) then value = '@' .. alone.at .. alone.lease .. value end
      put(alone.token, value)
    end
    if short ~= alone.token or dirty.s then
      put('h' .. alone.token, false)
      put('s', false)
    end
    if get('m') then put('m', false) end
    if short and short ~= alone.token then put(short, false) end
    short, alone.changed = alone.token, nil
  else
    if short then
      put(short, false)
      if holds.length > 0 then resize(holds, 0) end
      if hold_of(short) then hold_of(short).changed = true end
      short = nil
    end
    for token, hold in pairs(held) do
      if hold and hold.changed then
        hold.changed = nil
        put('h' .. token, sub(get('h' .. token), HOLD_LINKS) .. hold.since .. hold.fence .. hold.at .. hold.lease .. hold.state .. hold.request)
      end
    end
    if summary and summary.different == 0 then
      if get('m') then put('m', false) end
    elseif summary and summary.changed then
      put('m', summary_text())
      summary.changed = false
    end
  end
  notify_first()
  flush()
  touched = false
  if watched then redis.pcall('PUBLISH', string.gsub(key, '{', 'n:{', 1), 'v') end
end
