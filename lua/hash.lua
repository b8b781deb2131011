-- Fields of the hash, read once and written back once.

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

local function fetch(...)         -- a field that is known stays as it is: it may have been changed, or be in another form than in the hash
  local names = {...}
  local values = fields > 0 and call('HMGET', key, ...) or {}
  for i, field in ipairs(names) do
    if cache[field] == nil then cache[field] = values[i] or false end
  end
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
