-- Fields of the hash, read once and written back once, and lists of them.

local NONE = '----------------------'

local sub, format, find, match, gmatch = string.sub, string.format, string.find, string.match, string.gmatch
local unpack = table.unpack or unpack
local function time16(us) return format(TIME_FORMAT, us) end

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

-- HDEL and EXPIREAT are never refused for want of memory, and once a script has written, nothing it writes is: so
-- releases and renewals pass.
local expire_at                   -- when the key is to end, if that changes
local function flush()
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
  if expire_at and #gone >= fields then call('EXPIREAT', key, expire_at) end -- of a key that is new, or was emptied
  expire_at, fields = nil, fields + #kept
end

-- Doubly linked lists: join, leave from the middle and pop are O(1) whatever happened before. A node begins with the
-- previous and the next one's id; the first node's `previous` is never read.

local function open(name, node)
  local header = get(name)
  if not header then return {name = name, node = node, length = 0} end
  return {name = name, node = node, head = sub(header, LIST_HEAD), tail = sub(header, LIST_TAIL), length = sub(header, LIST_LENGTH) + 0}
end

local function following(list, id)
  local next_id = sub(get(list.node .. id), LINKS_NEXT)
  return next_id ~= NONE and next_id or nil
end

local touched                     -- who holds, who waits, or until when has changed
local function resize(list, change)
  touched = touched or list.name ~= 't'
  list.length = list.length + change
  put(list.name, list.head and list.head .. list.tail .. list.length)
end

local function append(list, id, body)
  local tail = list.tail
  if tail then
    local last = get(list.node .. tail)
    put(list.node .. tail, sub(last, LINKS_PREVIOUS) .. id .. sub(last, NODE_BODY))
  end
  put(list.node .. id, (tail or NONE) .. NONE .. body)
  list.head, list.tail = list.head or id, id
  resize(list, 1)
end

local function insert(list, id, before, body)
  local place = get(list.node .. before)
  local previous = NONE
  if before == list.head then
    list.head = id
  else
    previous = sub(place, LINKS_PREVIOUS)
    local neighbour = get(list.node .. previous)
    put(list.node .. previous, sub(neighbour, LINKS_PREVIOUS) .. id .. sub(neighbour, NODE_BODY))
  end
  put(list.node .. before, id .. sub(place, LINKS_NEXT_ON))
  put(list.node .. id, previous .. before .. body)
  resize(list, 1)
end

local function remove(list, id)
  local node = get(list.node .. id)
  local previous, next_id = sub(node, LINKS_PREVIOUS), sub(node, LINKS_NEXT)
  put(list.node .. id, false)
  if id == list.head then
    list.head = next_id ~= NONE and next_id or nil
    if not list.head then list.tail = nil end
  else
    local neighbour = get(list.node .. previous)
    put(list.node .. previous, sub(neighbour, LINKS_PREVIOUS) .. next_id .. sub(neighbour, NODE_BODY))
    if id == list.tail then
      list.tail = previous
    else
      neighbour = get(list.node .. next_id)
      put(list.node .. next_id, previous .. sub(neighbour, LINKS_NEXT_ON))
    end
  end
  resize(list, -1)
end
