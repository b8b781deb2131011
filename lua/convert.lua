-- convert: change the mode of a hold. It changes at once if the holds beside it allow that. If not, it waits until they do,
-- before all other waiters, because these wait for this hold too.
--
-- KEYS[1]  the lock
-- ARGV[1]  token of the hold
-- ARGV[2]  request, as in acquire; its mode names the hold's token if this is a new grant, with a new fence
-- ARGV[3]  token of this change: it names the place in the queue, and the hold keeps it afterwards. It begins with 10 digits
--          that rise with every change that the owner asks for, so a change that comes after a later one is known to be late
--
-- Reply    {'granted', now, fence, at, lease, more} | {'waiting', now, ticket, holder…} | {'held', now, holder…}
--          {'conflict', now}: another hold waits to change its mode, and each would wait for the other
--          {'gone', now}: the hold is over | {'more', now}: as in acquire | {'over', now}: it is late
--@ preamble.lua
--@ rules.lua
--@ contention.lua
local token, request, place, wait = ARGV[1], ARGV[2], ARGV[3], sub(ARGV[2], REQUEST_WAIT)
local number = sub(place, CHANGE_NUMBER)

load(place)
local searching = expire()
local waits = queue.head and mode_of(get('w' .. queue.head), PLACE_REQUEST).of == token and queue.head
if waits and sub(waits, CHANGE_NUMBER) < number then leave(waits) end -- its owner has given that one up
local more = hand_over(searching)
local hold, mode = live(token), mode_of(request, 1)
if not hold or hold.state ~= '-' then
  store()
  return {'gone', now}
end
local own, first = mode_of(hold.request, 1), queue.head
local other = first and first ~= place and mode_of(get('w' .. first), PLACE_REQUEST).of
if own.of and number < sub(own.of, CHANGE_NUMBER) or other == token then
  store()
  return {'over', now}
end
if own.of ~= place and fits(mode, holds.length, own) then
  if get('w' .. place) then leave(place) end
  change(hold, mode, place, mode.of)
  more, own = hand_over(searching), mode_of(hold.request, 1)
end
if own.of == place then
  store()
  return {'granted', now, hold.fence, hold.at, hold.lease, more and 1 or 0}
end
if more or searching then
  store()
  return {'more', now}
end

if other then
  store()
  return {'conflict', now}
end
local told
if wait ~= '-' and first ~= place then
  told = in_turns(token)
  local entry = client(channel_of(request, 1))
  entry.places = entry.places + 1
  refresh_client(entry, wait)
  count(mode, 1, 0)
  if first then
    insert(queue, place, first, EPOCH .. request)
  else
    append(queue, place, EPOCH .. request)
  end
end
store()
recall(told, get('w' .. place))
if wait == '-' then return answer({'held', now}) end
return answer({'waiting', now, EPOCH})
