-- convert: change the mode of a hold, at once where the holds beside it allow that, or else when they do, before all
-- who wait: they wait for this very hold.
--
-- KEYS[1]  the lock
-- ARGV[1]  token of the hold
-- ARGV[2]  request, as in acquire; its mode names the hold's token if this is a new grant, with a new fence
-- ARGV[3]  token of this change: of its place in the queue, and known to the hold afterwards; '-' × 22 without one
-- ARGV[4]  none; a fence: only the hold that still has it; or 'undo': the change is given up, in the queue or if it
--          was made, and a late copy of what asked for it finds a tombstone
--
-- Reply    {'granted', now, fence, at, lease, more} | {'waiting', now, ticket, holder…} | {'held', now, holder…}
--          {'conflict', now}: another hold waits to be changed, and each would wait for the other
--          {'gone', now}: the hold is over | {'more', now}, {'over', now}: as in acquire
--@ begin.lua
--@ shared.lua
--@ bury.lua
--@ waiting.lua
local token, request, place, only, wait = ARGV[1], ARGV[2], ARGV[3], ARGV[4], sub(ARGV[2], 33, 33)

load(place)
local searching = expire()
if only == 'undo' then
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
local done = own.class == mode.class and (only or own.of == place)
  or only and only ~= hold.fence and not (only == 'undo' and own.of == place)
if not done and fits(mode, holds.length, own) then
  if get('w' .. place) then leave(place) end
  change(hold, mode, mode.of and place)
  more, done = hand_over(searching), true
end
if done then
  store()
  return {'granted', now, hold.fence, hold.at, hold.lease, more and 1 or 0}
end
if more or searching then
  store()
  return {'more', now}
end

local first = queue.head
local other = first and first ~= place and mode_of(get('w' .. first), 61).of
if other == token then            -- an earlier change of this hold, which its owner gave up
  leave(first)
  first = queue.head
elseif other then
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
