-- acquire: take the lock, or a place in its queue, or learn who has it.
--
-- KEYS[1]  the lock
-- ARGV[1]  token: names this one wait, never used again
-- ARGV[2]  request (layout.lua)
-- ARGV[3]  steal after, µs: a hold older than this is revoked; '' or none: never
-- ARGV[4]  ticket of a place that was lost; '' or none: a new one
-- ARGV[5]  the most waiters of a queue that this one may join; '' or none: any number
-- ARGV[6]  the fence that a quorum proposes, a time; '' or none. It is used if the last fence is known and less, so that all nodes
--          give the same fence. Without a last fence, a fence follows the clock. The fence also says since when the lock is held.
--          So a proposed one older than WISH_AGE is not used, or the hold would be stale too soon
--
-- Reply    fence16: granted, and the fence is the time of the grant | fence16 now16: granted with the fence of ARGV[6]
--          {'granted', now, fence, at, lease}
--          {'waiting', now, ticket, holder…}
--          {'held', now, holder…, leaving}: nothing was left behind; leaving is 1 if a hold is revoked, so that it may end soon
--          {'full', now, holder…}: too many wait already; nothing was left behind
--          {'more', now}: ended holds are still being searched; send this again
--          {'over', now}: a tombstone says that this wait was given up
--          {'clash', now, rules}: the mode's name is in use on this lock with these other rules; '': too many modes are in use
--@ preamble.lua
--@ fast_acquire.lua
--@ fast_join.lua
--@ fast_join_mode.lua
--@ rules.lua
--@ contention.lua
local token, request, wait = ARGV[1], ARGV[2], sub(ARGV[2], REQUEST_WAIT)
local WALK = 64                   -- places at each end that a returning waiter looks at for its old one

-- A ticket is the time of joining, later than every earlier ticket. A waiter that lost its place has its old ticket and joins
-- at the position of that ticket. The position is looked for from both ends at once. The search is bounded: in a longer queue
-- the waiter joins before the last WALK places, which all came later.
local function join(ticket)
  local tail = queue.tail and sub(get('w' .. queue.tail), PLACE_TICKET) or ''
  if ticket == '' then ticket = tail < now and now or time16(tail + 1) end
  if ticket >= tail then
    append(queue, token, ticket .. request)
    return
  end
  local early, before = queue.head, queue.tail -- all before `early` came earlier; `before`, and all behind it, later
  for _ = 1, WALK do
    local place = get('w' .. early)
    if ticket < sub(place, PLACE_TICKET) then
      before = early
      break
    end
    early = sub(place, LINKS_NEXT)
    local previous = sub(get('w' .. before), LINKS_PREVIOUS)
    if sub(get('w' .. previous), PLACE_TICKET) <= ticket then break end
    before = previous
  end
  insert(queue, token, before, ticket .. request)
end

load(token)
if get('t' .. token) then return {'over', now} end

local mode = mode_of(request, 1)
if not get('w' .. token) then asking = mode end
local searching = expire()
local hold = live(token)
local more = not hold and hand_over(searching)
if not hold and not get('w' .. token) then
  local rules = not hold_of(token) and clash(mode)
  if rules then
    store()
    return {'clash', now, rules}
  end
  if not queue.head and not more and not hold_of(token) then
    if fits(mode, holds.length) then
      local last, wish = fence, ARGV[6]
      local hold = grant(token, request, sub(request, REQUEST_LEASE), mode)
      if wish and last ~= '' and last < wish and wish < now and now - wish < WISH_AGE then -- `since` goes with it, and the hold keeps its short form
        hold.fence, hold.since = wish, wish
        fence = wish
        put('f', wish)
      end
    else
      more = searching
    end
  end
end
hold = hold_of(token)
if hold then
  store()
  return {'granted', now, hold.fence, hold.at, hold.lease}
end
local stays = wait ~= '-' or not queue.head -- otherwise what ends goes to those before it
local _, leaving = revoke(ARGV[3], {[token] = true}, stays and mode or nil)

local most = ARGV[5] ~= '' and ARGV[5]
if most and not more and not get('w' .. token) and queue.length >= most + 0 then
  more = trim('tail') or trim('head') -- places of Clients that are gone do not count
  if not more and queue.length >= most + 0 then
    store()
    return answer({'full', now})
  end
end
local told
if wait ~= '-' and not more and not get('w' .. token) then
  trim('tail')
  local entry = client(channel_of(request, 1))
  entry.places = entry.places + 1
  refresh_client(entry, wait)
  count(mode, 1, 0)
  told = in_turns()
  join(ARGV[4] or '')
end
store()
recall(told, get('w' .. token))
if more then return {'more', now} end
if wait == '-' then
  local reply = answer({'held', now})
  reply[#reply + 1] = leaving and 1 or 0
  return reply
end
return answer({'waiting', now, sub(get('w' .. token), PLACE_TICKET)})
