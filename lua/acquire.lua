-- acquire: take the lock, or a place in its queue, or learn who has it.
--
-- KEYS[1]  the lock
-- ARGV[1]  token: names this one wait, never used again
-- ARGV[2]  request (shared.lua)
-- ARGV[3]  steal after, µs: a hold older than this is revoked; '' or none: never
-- ARGV[4]  ticket of a place that was lost; '' or none: a new one
--
-- Reply    fence16, granted at that very time      | {'granted', now, fence, at, lease}
--          {'waiting', now, ticket, holder…}       | {'held', now, holder…}: nothing was left behind
--          {'more', now}: the queue is being cleaned, send this again
--          {'over', now}: a tombstone says that this wait was given up
--@ begin.lua
--@ idle.lua
--@ shared.lua
local token, request, wait = ARGV[1], ARGV[2], sub(ARGV[2], 33, 33)

load(token)
if get('t' .. token) then return {'over', now} end

expire()
local more = not (hold and hold.token == token) and hand_over()
if not hold and not queue.head then grant(token, request, sub(request, 1, 8)) end
if hold and hold.token == token then
  store()
  return {'granted', now, hold.fence, hold.at, hold.lease}
end
revoke(ARGV[3])

if wait ~= '-' and not get('w' .. token) and not more then
  local entry = client((parse(request)))
  entry.seen, entry.mode, entry.places = now, wait, entry.places + 1
  save_client(entry)

  -- Places of Clients that are gone would pile up under a long hold: a join clears them away at both ends.
  for _, last in ipairs({'head', 'tail'}) do
    for _ = 1, TRIM do
      local id = queue[last]
      if not id or seen(client((parse(sub(get('w' .. id), 61))))) then break end
      leave(id)
    end
  end

  -- A ticket is the time of joining, later than every one before it. A waiter that lost its place has its old
  -- ticket and goes in where that belongs: the walk is bounded, the places near the head are what matters.
  local ticket, before = ARGV[4] or '', nil
  local tail = queue.head and sub(get('w' .. queue.tail), 45, 60) or ''
  if ticket == '' then
    ticket = tail < now and now or time16(tail + 1)
  elseif ticket < tail then
    before = queue.head
    for _ = 1, WALK do
      local place = get('w' .. before)
      if ticket < sub(place, 45, 60) then break end
      before = sub(place, 23, 44)
    end
  end
  if before then insert(queue, before, token, ticket .. request) else append(queue, token, ticket .. request) end
end

store()
if more then return {'more', now} end
if wait == '-' then return answer('held', now) end
return answer('waiting', now, sub(get('w' .. token), 45, 60))
