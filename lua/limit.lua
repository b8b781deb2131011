-- limit: read or set the limit of a lock's holds, which applies whatever the callers' modes say.
--
-- KEYS[1]  the lock
-- ARGV[1]  '' to read; or the version that the caller has read, for the limit that it sets
-- ARGV[2]  the limit: keys and numbers (layout.lua), or '-' to set none
-- ARGV[3]  for how long the limit counts, µs; if two set the same limit at once, the longer time counts
--
-- Reply    {version, until, limit, more}: the limit of the lock now, with '' and '-' for none, and the version that the next limit has;
--          more is 1 if waiters remain to whom the lock may be granted: go on with a release of any token
--          {'over'}: another caller has set a limit meanwhile, or the version is too old: read again
--@ preamble.lua
--@ rules.lua
load(NONE)
local known, version, more = get('l'), ARGV[1], false
local last = known and sub(known, LIMIT_VERSION) or ''
local function reply()
  local stands = limited()
  local text = stands and get('l')
  return {last < now and now or time16(last + 1), stands and sub(text, LIMIT_UNTIL) or '', stands and sub(text, LIMIT_RULES) or '-', more and 1 or 0}
end
if version == '' then return reply() end

local long = ARGV[2] == '-' and 0 or ARGV[3] + 0

-- A version is the time at which it was read, and greater than the version before. So a late copy of a request finds a later
-- version, or is too old to be executed.
local same = last == version and sub(known, LIMIT_RULES) == ARGV[2]
local longer = same and time16(long) > sub(known, LIMIT_LONG) -- two have read the same version, and want the same for different times
local ahead = version > now and not (last >= now and version == time16(last + 1)) -- it was read before the clock went back
if now - version > LATE or (last >= version or ahead) and not same then return {'over'} end
if not same or longer then
  last = version
  put('l', time16(now + long) .. version .. time16(long) .. ARGV[2])
  if fence == '' then
    fence = now
    put('f', fence)
  end
  raise_expiry(math.max(KEEP, math.ceil(long / 1000000) + 1))
  touched = true
end
more = hand_over(expire())
store()
return reply()
