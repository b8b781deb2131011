-- The layout of a lock's hash, and the rules by which it changes. Every script but the idle path works like this:
-- read fields through `get`, change them in memory, write everything back once with `store`.
--
--   f           the last fence, 16 digits
--   e           the second the key expires at; only where that is not KEEP after the fence's 100 s (see `raise`)
--   <token>     the hold of a lock whose hash holds nothing else: ['@' at16 lease8] request
--   s           any other holds, in the order of their grants: head22 tail22 length
--   h<token>    one of them: previous22 next22 since16 fence16 at16 lease8 state1 request
--   q           the queue: likewise                       w<token>  a place: previous22 next22 ticket16 request
--   t           the tombstones: likewise                  t<token>  a tombstone: previous22 next22 until16 note
--   c<channel>  a Client that has places here: seen16 wait1 places
--   v           somebody watches: the next change removes this, and is told in the channel of the news
--   m           the modes in use, where not all is exclusive: bound16 latest16 least16 cursor22, then for each
--               count ' ' held ' ' class '\n': how many holds and places it has, and the weight of its holds; then fresh22
--
--   request     lease8 keep8 nonce16 wait1 channel '\n' mode '\n' info: what a caller asks for, carried from its
--               acquire to its hold. Lease in ms; keep in s, how long the key outlives a grant; the nonce of a message
--               that takes the hold away; 'c' join the queue, 's' likewise for a Client that hears of a grant by the
--               shard's channel, 'u' for one whose receivers cannot be counted, '-' do not wait; the Client's wake
--               channel; and who it is, which no script looks into.
--   mode        empty: exclusive. Else weight ' ' class [' ' token]; the token is, in a place, that of the hold which
--               is to change into this mode when its turn comes; in a hold, that of the last change of its mode.
--   class       capacity ' ' name ' ' rules: the most weight of that name that may be held beside it, itself included,
--               0 for no such bound; and 'mode=most,…' or '-', where '*' is any number (modes.lua)
--   at, lease   a hold ends at `at` + lease. A renewal moves `at`; `since` stays, it says how old the hold is.
--   state       '-' held, 'r' revoked: renewals are refused, 'k' kept until its deadline by nobody
--   bound       no hold ends before it; `latest`: none begins after it; `least` and `cursor`: how far a search for
--               those that ended has come (see `expire`); `fresh`, or nothing: all holds before it are revoked or kept, so
--               that who looks for the oldest that is held begins there (waiting.lua)
--
-- Times are 16 digits of server µs. Leases and claims are in ms, 8 characters with blanks in front: not zeros, for
-- some servers read those as octal. Only digits are ever compared as text, for the locale orders the rest.
-- The first form of a hold is for speed: the release of a lock that nobody waits for is one HDEL of the token, and it
-- finds nothing as soon as there is more to do.
--@ fields.lua
--@ modes.lua

local HAND_OVER = 32              -- candidates tried in one script, or half as many grants
local LOOK = 32                   -- holds looked at in one script
local TRIM = 8                    -- leftovers cleared away in passing
local CHANGE = '0000000000000000' -- ticket of a hold that waits to change its mode: it goes first
local TOMBSTONE = 60000000        -- µs

-- The lock as this script sees it.

local fence                       -- the last one, '' before the first
local holds, queue, tombs         -- the lists
local held = {}                   -- holds by token, as far as this script looked
local short                       -- the token of a hold that the hash has in its first form
local first, due                  -- who was first in the queue, and when the first hold was to end, as far as that one knows

local function channel_of(record, from) -- of a request that begins at `from` in a record
  return sub(record, from + REQUEST_WIDTH, find(record, '\n', from + REQUEST_WIDTH, true) - 1)
end

local function info_of(record, from)
  return sub(record, find(record, '\n', find(record, '\n', from + REQUEST_WIDTH, true) + 1, true) + 1)
end

local function deadline(hold) return hold.at + hold.lease * 1000 end

local function hold_of(token)
  local hold = held[token]
  if hold == nil then
    local node = get('h' .. token)
    hold = node and {token = token, since = sub(node, HOLD_SINCE), fence = sub(node, HOLD_FENCE), at = sub(node, HOLD_AT),
      lease = sub(node, HOLD_LEASE), state = sub(node, HOLD_STATE), request = sub(node, HOLD_REQUEST)}
    held[token] = hold
  end
  return hold
end

-- Every change of a hold's end passes here, so that the summary's bound stays one.
local function mark(hold)
  hold.changed, touched = true, true
  if not summary then return end
  local due = time16(deadline(hold))
  if due < summary.bound then summary.bound = due end
  if summary.cursor and due < summary.least then summary.least = due end
  summary.latest, summary.changed = now, true
end

local function first_end()        -- when the first hold ends, as far as is known; nil: nobody holds
  if holds.length == 1 then return deadline(hold_of(holds.head)) end
  return holds.length > 1 and summary.bound + 0 or nil
end

local function load_short(token, value)
  local hold = {token = token, since = fence, fence = fence, at = fence, lease = sub(value, REQUEST_LEASE), state = '-', request = value}
  if sub(value, RENEWED_MARK) == '@' then
    hold.at, hold.lease, hold.request = sub(value, RENEWED_AT), sub(value, RENEWED_LEASE), sub(value, RENEWED_REQUEST)
  end
  cache['h' .. token], held[token], short = NONE .. NONE, hold, token
  holds.head, holds.tail, holds.length = token, token, 1
  local mode = mode_of(hold.request, 1)
  count(mode, 1, mode.weight)
  if summary then summary.bound, summary.latest = time16(deadline(hold)), hold.at end
end

local function load(token)        -- `token`: whose hold, place and tombstone this script is about
  fetch('f', 'e', 'm', 's', 'q', 't', 'v', token, 'h' .. token, 'w' .. token, 't' .. token)
  fence, holds, queue, tombs = get('f') or '', open('s', 'h'), open('q', 'w'), open('t', 't')
  if get('m') then load_summary(get('m')) end
  if holds.head then
    -- the hash has holds in their long form
  elseif get(token) then
    load_short(token, get(token))
  elseif not queue.head and not tombs.head and fields > (get('e') and 2 or 1) then
    local all = call('HGETALL', key)
    for i = 1, #all, 2 do
      if #all[i] == TOKEN_WIDTH then load_short(all[i], all[i + 1]) end
    end
  end
  local longest = tombs.head and time16(now + TOMBSTONE)
  for _ = 1, TRIM do              -- tombstones are laid in the order in which they crumble
    local id = tombs.head
    local oldest = id and get('t' .. id)
    if not oldest then break end
    local till = sub(oldest, TOMBSTONE_UNTIL)
    if till <= now then
      remove(tombs, id)
    elseif till > longest then    -- laid before the clock went back: anchored anew, as a hold is (see `lapsed`)
      remove(tombs, id)
      append(tombs, id, longest .. sub(oldest, TOMBSTONE_NOTE))
    else
      break
    end
  end
  first, due = queue.head, queue.head and first_end()
end

-- The key's expiry. The idle path sets it to KEEP from now when the last grant was in another 100 s than this one, so
-- that it is known without a look. A Client with another retention, or a lease that needs more, says so by `e`,
-- which also takes the hash off the idle path. It is only ever raised: nobody shortens another's fence memory.
local function raise(keep)
  local known = get('e')
  local standard = keep + 0 == KEEP or keep + 0 < KEEP and fields > 0 and not known
  local wanted = sub(now > fence and now or fence, TIME_SECONDS) + (standard and KEEP or keep)
  if known and known + 0 >= wanted then
    expire_at = known
  else
    expire_at = format('%d', wanted)
    if known or not standard then put('e', not standard and expire_at) end
  end
end

local function save_client(entry)
  put('c' .. entry.channel, entry.places > 0 and entry.seen .. entry.mode .. entry.places)
end

local clients = {}
local function client(channel)
  local entry = clients[channel]
  if not entry then
    local value = get('c' .. channel)
    entry = value and {seen = sub(value, CLIENT_SEEN), mode = sub(value, CLIENT_WAIT), places = sub(value, CLIENT_PLACES) + 0}
      or {seen = '0', mode = 'u', places = 0}
    clients[channel] = entry
    entry.channel = channel
    if entry.seen > now then      -- the clock went back: as with a hold (see `lapsed`)
      entry.seen = now
      save_client(entry)
    end
  end
  return entry
end

local function seen(entry) return now - entry.seen <= UNSEEN end

-- On a cluster the message goes to who is subscribed on this shard, by a channel in the slot of the lock.
local function channel_for(entry)
  return entry.mode == 's' and entry.channel .. ':' .. match(key, '{.*') or entry.channel
end

local function publish(entry, message)
  return redis.pcall(entry.mode == 's' and 'SPUBLISH' or 'PUBLISH', channel_for(entry), message)
end

-- Whether somebody is subscribed here. It is counted before anything is sent: what PUBLISH counts is who hears of it from
-- this server, and who is subscribed at a replica hears of it too, and would take it for a grant of its own. An error is
-- not a zero: it says nothing about the waiter.
local function heard(entry)
  if entry.mode == 'u' then return true end
  if entry.heard == nil then
    entry.heard = redis.pcall('PUBSUB', entry.mode == 's' and 'SHARDNUMSUB' or 'NUMSUB', channel_for(entry))[2] ~= 0
  end
  return entry.heard
end

-- Who waits looks at the end of the first hold, as far as it knows. If there is an earlier one, or another waiter comes
-- first now, the first that hears is told, unless its next check comes before that anyway. Who has just joined has it in
-- its answer.
local function tell_first()
  local ends = queue.head and first_end()
  if first and ends and ends < now + CHECKED and (queue.head ~= first or not due or ends < due) then
    local id = queue.head
    for _ = 1, HAND_OVER do
      local entry = id and client(channel_of(get('w' .. id), PLACE_REQUEST))
      if not entry then break end
      if heard(entry) then
        publish(entry, 'd' .. id)
        break
      end
      id = following(queue, id)
    end
  end
  first, due = queue.head, ends
end

-- Everything back into the hash, holds in the first form that they fit.
local function store()
  local watched = touched and get('v')
  if watched then put('v', false) end
  local alone = holds.length == 1 and not queue.head and not tombs.head and not get('v') and hold_of(holds.head)
  if alone and alone.state == '-' and alone.since == alone.fence and alone.fence == fence then
    if alone.changed or short ~= alone.token then
      local value = alone.request
      if alone.at ~= alone.fence or alone.lease ~= sub(value, REQUEST_LEASE) then value = '@' .. alone.at .. alone.lease .. value end
      put(alone.token, value)
    end
    if short ~= alone.token or dirty.s then
      put('h' .. alone.token, false)
      put('s', false)
    end
    if get('m') then put('m', false) end
    if short and short ~= alone.token then put(short, false) end
    short, alone.changed = alone.token, nil
  else
    if short then
      put(short, false)
      if holds.length > 0 then resize(holds, 0) end
      if hold_of(short) then hold_of(short).changed = true end
      short = nil
    end
    for token, hold in pairs(held) do
      if hold and hold.changed then
        hold.changed = nil
        put('h' .. token, sub(get('h' .. token), HOLD_LINKS) .. hold.since .. hold.fence .. hold.at .. hold.lease .. hold.state .. hold.request)
      end
    end
    if summary and summary.different == 0 then
      if get('m') then put('m', false) end
    elseif summary and summary.changed then
      put('m', summary_text())
      summary.changed = false
    end
  end
  tell_first()
  flush()
  touched = false
  if watched then redis.pcall('PUBLISH', sub(key, 1, find(key, '{', 1, true) - 1) .. 'n', 'v' .. match(key, '{(.*)}')) end
end

-- The rules.

-- I2: greater than every fence before it, also after the clock went back or the data was lost.
local function next_fence() return fence < now and now or time16(fence + 1) end

local function grant(token, request, lease, mode, before)
  local keep = sub(request, REQUEST_KEEP)
  if keep + 0 ~= KEEP or get('e') or sub(fence, TIME_HUNDREDS) ~= sub(now, TIME_HUNDREDS) then raise(keep) end
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
  if not summary.cursor then summary.bound = summary.least end
end

local function drop(hold)
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
-- While that goes on, what does not fit may fit yet: then this is true.
local function expire()
  if holds.length == 1 then
    lapsed(hold_of(holds.head))
    return false
  end
  if holds.length == 0 or not (summary.cursor or summary.bound <= now or now < summary.latest) then return false end
  if not summary.cursor or now < summary.latest then
    summary.cursor, summary.least, summary.latest, summary.changed = holds.head, FAR, now, true
  end
  for _ = 1, LOOK do
    local hold = hold_of(summary.cursor)
    if not lapsed(hold) then
      local due = time16(deadline(hold))
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
  raise(sub(request, REQUEST_KEEP))      -- an EXPIREAT first: memory may be short
  mark(hold)
end

-- I5: the lock goes to the first in the queue, and to those behind it, as far as their modes stand beside each other.
-- The message is all they need to begin; the claim is how long the hold waits for its owner. Answers true if the
-- candidates of this script ended before that was settled.
--
-- A waiter is gone if nobody hears the message and the last check of its Client is older than CHECKED; until then its
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
      if not heard(entry) then    -- gone, or about to subscribe anew: its next check tells
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
