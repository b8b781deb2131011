-- The rules by which a lock changes. All scripts that change one go by them; the fast paths shorten them for what is
-- nearly always so.
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

-- The search for lapsed holds goes on behind the one it stands at; behind the last it is over.
local function advance()
  summary.cursor, summary.changed = following(holds, summary.cursor), true
  if summary.next > now then summary.next = now end
  if not summary.cursor then
    summary.bound = summary.least
    summary.next = holds.length > SCAN and time16(now + holds.length * PAUSE) or now
  end
end

-- I2: an owner that takes turns grants the lock again within its lease, with fences between that of the hold and the clock. Its
-- release says which was the last one; after any other end, and before a hold is anchored anew, all of them are past.
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

-- A hold ends by its deadline. One that begins in the future was granted before the clock went back: it is
-- anchored anew, or it would live longer by as much.
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

-- Of several holds the lapsed ones are searched for when the first end that is known of is past, some in each script.
-- While that goes on, what does not fit may fit yet: then this is true. Where it takes several scripts, there is a pause
-- before the next search, of about fifty times as long: of 10,000 holds that lapse one by one, each would begin another.
--
-- Where there are so many, and the first in the queue tolerates nobody, the search stands at the first hold that it finds alive:
-- until that one ends, it does not matter which of the others have; and it is looked at no sooner than after REST. After a step back of
-- the clock the search looks at all, for each must be anchored anew.
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

-- A hold changes its mode, by the change of that token, and keeps its place among the holds. To tolerate less than
-- before is a new grant.
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

-- I5: the lock goes to the first in the queue, and to those behind it, as far as their modes stand beside each other.
-- The message is all they need to begin; the claim is how long the hold waits for its owner. True if HAND_OVER
-- candidates were tried and there may be more.
--
-- A waiter is gone if its channel has no receiver and the last check of its Client is older than CHECKED; until then its
-- claim lasts. So a subscription that is made anew costs nobody its place, and one that ended with its process a
-- claim until the check that does not come.
--
-- The message goes out before the grant is written: nobody can act on it before the script ends, and after the HDEL
-- nothing that follows can be refused. A waiter that is gone is sent none, and costs no write.
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
