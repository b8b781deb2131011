-- convert: change the mode of a hold, at once where the holds beside it allow that, or else when they do, before all
-- who wait: they wait for this very hold.
--
-- KEYS[1]  the lock
-- ARGV[1]  token of the hold
-- ARGV[2]  request, as in acquire; its mode names the hold's token if this is a new grant, with a new fence
-- ARGV[3]  token of this change, for its place in the queue
-- ARGV[4]  none, or 'bury': that place is given up, and a late copy of what asked for it
--
-- Reply    {'granted', now, fence, at, lease, more} | {'waiting', now, ticket, holder…} | {'held', now, holder…}
--          {'conflict', now}: another hold waits to be changed, and each would wait for the other
--          {'gone', now}: the hold is over | {'more', now}, {'over', now}: as in acquire
--@ begin.lua
--@ shared.lua
--@ bury.lua
--@ waiting.lua
local token, request, place, wait = ARGV[1], ARGV[2], ARGV[3], sub(ARGV[2], 33, 33)

load(place)
local searching = expire()
if ARGV[4] then
  if get('w' .. place) then leave(place) end
  bury(place, '')
elseif get('t' .. place) then
  return {'over', now}
end

local more = hand_over(searching)
local hold, mode = live(token), mode_of(request, 1)
if not hold or hold.state == 'r' then
  store()
  return {'gone', now}
end
local own = mode_of(hold.request, 1)
if own.class ~= mode.class and fits(mode, holds.length, own) then
  if get('w' .. place) then leave(place) end
  change(hold, mode, mode.of)
  more = hand_over(searching)
  own = mode
end
if own.class == mode.class then
  store()
  return {'granted', now, hold.fence, hold.at, hold.lease, more and 1 or 0}
end
if more or searching then
  store()
  return {'more', now}
end

local first = queue.head
if first and first ~= place and mode_of(get('w' .. first), 61).of then
  store()
  return {'conflict', now}
end
if wait ~= '-' and first ~= place then
  local entry = client(channel_of(request, 1))
  entry.places = entry.places + 1
  tell(entry, wait)
  count(mode, 1, 0)
  if first then
    insert(queue, place, first, CHANGE .. request)
  else
    append(queue, place, CHANGE .. request)
  end
end
store()
if wait == '-' then return answer({'held', now}) end
return answer({'waiting', now, CHANGE})
