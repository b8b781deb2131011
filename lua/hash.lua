-- Fields of the hash, read once and written back once.
--@ layer
local sub, format, find, match, gmatch = string.sub, string.format, string.find, string.match, string.gmatch
local unpack = table.unpack or unpack
local function time16(us) return format(TIME_FORMAT, us) end

local cache, dirty                -- what is known of each field, and which of them have changed

local function get(field)
  local value = cache[field]
  if value == nil then
    value = fields > 0 and call('HGET', key, field)
    cache[field] = value
  end
  return value
end

local function put(field, value)  -- false removes it
  cache[field] = value
  dirty[field] = true
end

-- HDEL and EXPIREAT are never refused for lack of memory, and once a script has written, none of its writes is refused. So
-- releases and renewals succeed.
local expire_at                   -- when the key is to end, if that changes
local function flush()
  local gone, kept, dels, sets = {nil, nil, nil, nil}, {nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil}, 0, 0
  for name in pairs(dirty) do
    local value = cache[name]
    if value then
      kept[sets + 1], kept[sets + 2] = name, value
      sets = sets + 2
    elseif fields > 0 then
      dels = dels + 1
      gone[dels] = name
    end
  end
  dirty = {}
  if dels > 0 then call('HDEL', key, unpack(gone, 1, dels)) end
  if expire_at and fields > 0 then call('EXPIREAT', key, expire_at) end
  if sets > 0 then call('HSET', key, unpack(kept, 1, sets)) end
  if expire_at and dels >= fields then call('EXPIREAT', key, expire_at) end -- of a key that is new, or was emptied
  expire_at, fields = nil, fields + sets
end
