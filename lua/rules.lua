-- The rules by which a lock changes. All scripts that change a lock use them; the fast paths shorten them for the usual
-- cases.
--@ state.lua
--@ layer
-- I2: greater than every fence before it, also after the clock went back or the data was lost.
local function next_fence() return fence < now and now or time16(fence + 1) end

local function grant(token, request, lease, mode, before)
  local keep = sub(request, REQUEST_KEEP)
  if keep + 0 ~= KEEP or get('e') or sub(fence, TIME_HUNDREDS) ~= sub(now, TIME_HUNDREDS) then raise_expiry(keep) end
  fence = next_fence()
  put('f', fence)
  local hold = {token = token, since = now, fence = fence, at = now, lease = lease, state = '-', request = request}
  held[token] = hold
  if before then insert(holds, token, before, '') else append(holds, token, '') end
  if summary and before and summary.fresh == before then summary.fresh = token end
  count(mode, 1, mode.weight)
  mark(hold)
  return hold
end

-- The search for lapsed holds goes on behind the hold at which it stands. Behind the last hold it is over.
local function advance()
  summary.cursor, summary.changed = following(holds, summary.cursor), true
  if summary.next > now then summary.next = now end
  if not summary.cursor then
    summary.bound = summary.least
    summary.next = holds.length > SCAN and time16(now + holds.length * PAUSE) or now
  end
end

-- I2: an owner that takes turns grants the lock again within its lease, with fences between that of the hold and the clock.
-- Its release carries the last of these fences. After any other end, and before a hold begins anew, the fence rises above all
-- that the owner can have given.
local function pass(hold, last)
  if sub(hold.request, REQUEST_NONCE_ON, REQUEST_NONCE_ON) ~= TURNS then return end
  last = last or time16(deadline(hold))
  if last <= fence then return end
  fence = last
  put('f', fence)
  raise_expiry(sub(hold.request, REQUEST_KEEP))
end

local function drop(hold, last)
  pass(hold, last)
  if summary and summary.cursor == hold.token then advance() end
  if summary and summary.fresh == hold.token then summary.fresh, summary.changed = following(holds, hold.token), true end
  remove(holds, hold.token)
  held[hold.token] = false
  if summary then
    local mode = mode_of(hold.request, 1)
    count(mode, -1, -mode.weight)
  end
end

-- A hold ends by its deadline. A hold that begins in the future was granted before the clock went back. It begins anew now,
-- or it would last longer by the step of the clock.
local function lapsed(hold)
  if now < hold.at then
    pass(hold)
    hold.at = now
    if now < hold.since then hold.since = now end
    mark(hold)
  elseif deadline(hold) <= now + 0 then
    drop(hold)
    return true
  end
  return false
end

local function live(token)
  local hold = hold_of(token)
  return hold and not lapsed(hold) and hold
end

-- If there are several holds, the lapsed ones are searched for when the earliest known deadline has passed, SCAN holds in
-- each script. While the search goes on, the result is true: a waiter that does not fit now may fit when it is done. If a
-- search takes several scripts, the next one begins after a pause of about fifty times as long. Without the pause each of
-- 10,000 holds that lapse one by one would begin another search.
--
-- If there are so many holds, and the first in the queue tolerates nobody, the search stops at the first live hold: until
-- that hold ends, it does not matter which others have ended. It goes on no sooner than after REST. After a step back of the
-- clock the search looks at all holds, because each must begin anew.
local function expire()
  if holds.length == 1 then
    lapsed(hold_of(holds.head))
    return false
  end
  if holds.length == 0 or stands() then return false end
  local back = now < summary.latest
  if not (summary.cursor or back or summary.bound <= now and not paused()) then return false end
  if not summary.cursor or back then
    summary.cursor, summary.least, summary.latest, summary.changed = holds.head, FAR, now, true
    summary.next = back and EPOCH or now
  end
  for _ = 1, SCAN do
    local hold = hold_of(summary.cursor)
    if not lapsed(hold) then
      local due = time16(deadline(hold))
      if summary.next ~= EPOCH and enough(hold.token) then
        local rest = time16(now + REST)
        summary.next, summary.changed = due > rest and due or rest, true
        return false
      end
      if due < summary.least then summary.least = due end
      advance()
    end
    if not summary.cursor then return false end
  end
  return true
end

local function leave(token, entry)
  local place = get('w' .. token)
  entry = entry or client(channel_of(place, PLACE_REQUEST))
  remove(queue, token)
  if summary then count(mode_of(place, PLACE_REQUEST), -1, 0) end
  entry.places = entry.places - 1
  save_client(entry)
end

-- A hold changes its mode, by the change with that token, and keeps its position among the holds. If it tolerates less than
-- before, this is a new grant.
local function change(hold, mode, by, granted)
  local was, request = mode_of(hold.request, 1), hold.request
  local from = find(request, '\n', REQUEST_CHANNEL, true)
  count(was, -1, -was.weight)
  count(mode, 1, mode.weight)
  local rest = find(request, '\n', from + 1, true)
  hold.request = sub(request, 1, from) .. format('%d ', mode.weight) .. mode.class .. ' ' .. by .. sub(request, rest)
  if granted then
    fence = next_fence()
    put('f', fence)
    hold.fence = fence
  end
  raise_expiry(sub(request, REQUEST_KEEP)) -- an EXPIREAT first: memory may be short
  mark(hold)
end

-- I5: the lock goes to the first waiters of the queue, as long as the next one fits. The message is all that a waiter needs
-- to begin. The claim is how long the hold waits for its owner. The result is true if HAND_OVER candidates were tried and
-- there may be more.
--
-- A waiter is gone if its channel has no receiver and the last check of its Client is older than CHECKED. Until then its
-- claim lasts. So no waiter loses its place because its Client subscribes anew. A waiter whose process has died delays the
-- next one until its check is overdue.
--
-- The message is sent before the grant is written. Nobody can act on it before the script ends, and after the HDEL no write
-- can be refused. A waiter that is gone is sent no message, and causes no write.
local function hand_over(searching)
  local tries = HAND_OVER
  while queue.head do
    if holds.length > 0 and not summary then return false end -- as nearly always: what is held is exclusive
    if tries <= 0 then return true end
    tries = tries - 1
    local token = queue.head
    local place = get('w' .. token)
    local mode, entry = summary and mode_of(place, PLACE_REQUEST) or EXCLUSIVE, client(channel_of(place, PLACE_REQUEST))
    local own = mode.of and live(mode.of)
    if entry.gone or not seen(entry) or mode.of and (not own or own.state ~= '-') then
      leave(token, entry)         -- the waiter is gone, or the hold that was to change
    elseif not fits(mode, holds.length, own and mode_of(own.request, 1)) then
      return searching
    else
      leave(token, entry)
      tries = tries - 1           -- a grant costs about as much as two that are gone
      local lease, claim = sub(place, PLACE_REQUEST_LEASE), CLAIM
      if not has_receiver(entry) then -- gone, or about to subscribe anew: its next check tells
        claim = math.ceil((entry.seen + CHECKED - now) / 1000)
      end
      if lease + 0 > claim then lease = format(LEASE_FORMAT, claim) end
      if claim <= 0 then
        entry.gone = true
      else
        call('HDEL', key, 'w' .. token)
        publish(entry, 'g' .. token .. next_fence() .. now .. lease)
        if own then
          change(own, mode, token, true)
        else
          grant(token, sub(place, PLACE_REQUEST), lease, mode)
        end
      end
    end
  end
  return false
end
