-- The layout of a lock's hash, and the rules by which it changes. Every script but the idle path works like this:
-- read fields through `get`, change them in memory, write everything back once with `store`.
--
--   f           the last fence, 16 digits
--   e           the second the key expires at; only where that is not KEEP after the fence's 100 s (see `raise`)
--   <token>     the hold of a lock whose hash holds nothing else: ['@' at16 lease8] request
--   h           any other hold: token22 since16 fence16 at16 lease8 state1 request
--   q           the queue: head22 tail22 length           w<token>  a place: previous22 next22 ticket16 request
--   t           the tombstones: likewise                  t<token>  a tombstone: previous22 next22 until16 note
--   c<channel>  a Client that has places here: seen16 countable1 places
--
--   request     lease8 keep8 nonce16 wait1 channel '\n' info: what a caller asks for, carried from its acquire to its
--               hold. Lease in ms; keep in s, how long the key outlives a grant; the nonce of a message that takes the
--               hold away; 'c' join the queue, 'u' likewise for a Client whose receivers cannot be counted, '-' do
--               not wait; the Client's wake channel; and who it is, which no script looks into.
--   at, lease   a hold ends at `at` + lease. A renewal moves `at`; `since` stays, it says how old the hold is.
--   state       '-' held, 'r' revoked: renewals are refused
--
-- Times are 16 digits of server µs. Leases and claims are in ms, 8 characters with blanks in front: not zeros, for
-- some servers read those as octal. Only digits are ever compared as text, for the locale orders the rest.
-- The first form of a hold is for speed: the release of a lock that nobody waits for is one HDEL of the token, and it
-- finds nothing as soon as there is more to do.

local KEEP = 4600                 -- s that a key outlives its last grant, unless a Client asks for another retention
local CLAIM = 5000                -- ms: how long a hold granted by message waits for its owner
local UNSEEN = 7000000            -- µs: three checks; a Client silent for longer has lost its places
local HAND_OVER = 32              -- candidates tried in one script
local TRIM = 8                    -- leftovers cleared away in passing
local NONE = '----------------------'

local sub, format, find = string.sub, string.format, string.find
local unpack = table.unpack or unpack
local function time16(us) return format('%016.0f', us) end

-- Fields, read once and written once.

local cache, dirty = {}, {}

local function get(field)
  local value = cache[field]
  if value == nil then
    value = fields > 0 and call('HGET', key, field)
    cache[field] = value
  end
  return value
end

local function fetch(...)
  local names = {...}
  local values = fields > 0 and call('HMGET', key, ...) or {}
  for i, field in ipairs(names) do cache[field] = values[i] or false end
end

local function put(field, value)  -- false removes it
  cache[field] = value
  dirty[field] = true
end

-- Doubly linked lists in the hash: join, leave from the middle and pop are O(1) whatever happened before.
-- The first node's `previous` is never read.

local function open(name, node)
  local header = get(name)
  if not header then return {name = name, node = node, length = 0} end
  return {name = name, node = node, head = sub(header, 1, 22), tail = sub(header, 23, 44), length = sub(header, 45) + 0}
end

local function resize(list, change)
  list.length = list.length + change
  put(list.name, list.head and list.head .. list.tail .. list.length)
end

local function append(list, id, body)
  local tail = list.tail
  if tail then
    local last = get(list.node .. tail)
    put(list.node .. tail, sub(last, 1, 22) .. id .. sub(last, 45))
  end
  put(list.node .. id, (tail or NONE) .. NONE .. body)
  list.head, list.tail = list.head or id, id
  resize(list, 1)
end

local function remove(list, id)
  local node = get(list.node .. id)
  local previous, following = sub(node, 1, 22), sub(node, 23, 44)
  put(list.node .. id, false)
  if id == list.head then
    list.head = following ~= NONE and following or nil
    if not list.head then list.tail = nil end
  else
    local neighbour = get(list.node .. previous)
    put(list.node .. previous, sub(neighbour, 1, 22) .. following .. sub(neighbour, 45))
    if id == list.tail then
      list.tail = previous
    else
      neighbour = get(list.node .. following)
      put(list.node .. following, previous .. sub(neighbour, 23))
    end
  end
  resize(list, -1)
end

-- The lock as this script sees it.

local fence, queue, tombs         -- the last fence ('' before the first); the two lists
local hold, stored                -- the hold or nil; the field it is stored in or nil

local function channel_of(record, from) -- of a request that begins at `from` in a record
  return sub(record, from + 33, find(record, '\n', from + 33, true) - 1)
end

local function simple_hold(token, value)
  hold = {token = token, since = fence, fence = fence, state = '-'}
  if sub(value, 1, 1) == '@' then
    hold.at, hold.lease, hold.request = sub(value, 2, 17), sub(value, 18, 25), sub(value, 26)
  else
    hold.at, hold.lease, hold.request = fence, sub(value, 1, 8), value
  end
  stored = token
end

local function load(token)        -- `token`: whose hold, place and tombstone this script is about
  fetch('f', 'e', 'h', 'q', 't', token, 'w' .. token, 't' .. token)
  fence, queue, tombs = get('f') or '', open('q', 'w'), open('t', 't')
  local long = get('h')
  if long then
    hold = {token = sub(long, 1, 22), since = sub(long, 23, 38), fence = sub(long, 39, 54), at = sub(long, 55, 70),
      lease = sub(long, 71, 78), state = sub(long, 79, 79), request = sub(long, 80)}
    stored = 'h'
  elseif get(token) then
    simple_hold(token, get(token))
  elseif not queue.head and not tombs.head and fields > (get('e') and 2 or 1) then
    local all = call('HGETALL', key)
    for i = 1, #all, 2 do
      if #all[i] == 22 then simple_hold(all[i], all[i + 1]) end
    end
  end
  for _ = 1, TRIM do              -- tombstones are laid in the order in which they crumble
    local oldest = tombs.head and get('t' .. tombs.head)
    if not oldest or sub(oldest, 45, 60) > now then break end
    remove(tombs, tombs.head)
  end
end

-- The key's expiry. The idle path sets it to KEEP from now when the last grant was in another 100 s than this one, so
-- that it is known without a look. A Client with another retention, or a lease that needs more, says so by `e`,
-- which also takes the hash off the idle path. It is only ever raised: nobody shortens another's fence memory.
local expire_at
local function raise(keep)
  local known = get('e')
  local standard = keep + 0 == KEEP or keep + 0 < KEEP and fields > 0 and not known
  local wanted = sub(now > fence and now or fence, 1, 10) + (standard and KEEP or keep)
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
    entry = value and {seen = sub(value, 1, 16), mode = sub(value, 17, 17), places = sub(value, 18) + 0}
      or {seen = '0', mode = 'u', places = 0}
    clients[channel] = entry
    entry.channel = channel
    if entry.seen > now then      -- the clock went back: as with a hold (see `expire`)
      entry.seen = now
      save_client(entry)
    end
  end
  return entry
end

local function seen(entry) return now - entry.seen <= UNSEEN end

-- Everything back into the hash. HDEL and EXPIREAT are never refused for want of memory, and once a script has
-- written, nothing it writes is: so releases and renewals pass. The hold takes the first form that it fits.
local function store()
  local field
  if hold then
    local plain = hold.state == '-' and hold.since == hold.fence and not queue.head and not tombs.head
    field = plain and hold.token or 'h'
    if hold.changed or field ~= stored then
      local value = hold.request
      if field == 'h' then
        value = hold.token .. hold.since .. hold.fence .. hold.at .. hold.lease .. hold.state .. value
      elseif hold.at ~= hold.fence or hold.lease ~= sub(value, 1, 8) then
        value = '@' .. hold.at .. hold.lease .. value
      end
      put(field, value)
      hold.changed = nil
    end
  end
  if stored and stored ~= field then put(stored, false) end
  stored = field

  local gone, kept = {}, {}
  for name in pairs(dirty) do
    local value = cache[name]
    if value then
      kept[#kept + 1] = name
      kept[#kept + 1] = value
    elseif fields > 0 then
      gone[#gone + 1] = name
    end
  end
  dirty = {}
  if #gone > 0 then call('HDEL', key, unpack(gone)) end
  if expire_at and fields > 0 then call('EXPIREAT', key, expire_at) end
  if #kept > 0 then call('HSET', key, unpack(kept)) end
  if expire_at and fields == 0 then call('EXPIREAT', key, expire_at) end
  expire_at, fields = nil, fields + #kept
end

-- The rules.

-- I2: greater than every fence before it, also after the clock went back or the data was lost.
local function next_fence() return fence < now and now or time16(fence + 1) end

local function grant(token, request, lease)
  local keep = sub(request, 9, 16)
  if keep + 0 ~= KEEP or get('e') or sub(fence, 1, 8) ~= sub(now, 1, 8) then raise(keep) end
  fence = next_fence()
  put('f', fence)
  hold = {token = token, since = now, fence = fence, at = now, lease = lease, state = '-', request = request, changed = true}
end

local function deadline() return hold.at + hold.lease * 1000 end

-- A hold ends by its deadline. One that begins in the future was granted before the clock went back: it is
-- anchored anew, or it would live longer by as much.
local function expire()
  if not hold then return end
  if now < hold.at then
    hold.at, hold.changed = now, true
    if now < hold.since then hold.since = now end
  elseif deadline() <= now + 0 then
    hold = nil
  end
end

local function leave(token)
  local entry = client(channel_of(get('w' .. token), 61))
  remove(queue, token)
  entry.places = entry.places - 1
  save_client(entry)
  return entry
end

-- I5: the lock goes to the first in the queue that can take it. The message is all it needs to begin; the claim is
-- how long the hold waits for it. Answers true if the candidates of this script ended before the queue did.
--
-- The message goes out before the grant is written, so that a waiter that is gone costs no write: nobody can act on
-- it before the script ends, and after the HDEL nothing that follows can be refused.
local function hand_over()
  local tries = HAND_OVER
  while queue.head and not hold do
    if tries == 0 then return true end
    tries = tries - 1
    local token = queue.head
    local place = get('w' .. token)
    local entry = leave(token)
    if not entry.gone and seen(entry) then
      local lease = sub(place, 61, 68)
      if lease + 0 > CLAIM then lease = format('%8d', CLAIM) end
      call('HDEL', key, 'w' .. token)
      local receivers = redis.pcall('PUBLISH', entry.channel, 'g' .. token .. next_fence() .. now .. lease)
      if receivers == 0 and entry.mode == 'c' then -- an error is not a zero: it says nothing about the waiter
        entry.gone = true
      else
        grant(token, sub(place, 61), lease)
      end
    end
  end
  return false
end
