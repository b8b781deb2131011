-- check: a Client asks what became of its waits. A check never joins the queue, and grants only to places that are in it. It
-- clears away dead places, confirms a claim whose message was lost, and notes that this Client is alive.
--
-- KEYS[1]  the lock
-- ARGV[1]  wake channel of the Client
-- ARGV[2]  'c', 's' or 'u', as in a request
-- ARGV[3]  steal after, µs, as in acquire
-- ARGV[4…] tokens
--
-- Reply    {now, more, holder…, then for each token 'waiting', 'gone', or fence16 at16 lease8 of its grant}
--@ preamble.lua
--@ rules.lua
--@ contention.lua
load(ARGV[4])
if ARGV[5] then
  local names = {}
  for i = 5, #ARGV do
    names[#names + 1] = 'h' .. ARGV[i]
    names[#names + 1] = 'w' .. ARGV[i]
  end
  local values = call('HMGET', key, unpack(names)) -- at once: there may be 64
  for i, field in ipairs(names) do
    if cache[field] == nil then cache[field] = values[i] end -- what is known may have been changed, or be in another form than in the hash
  end
end
local entry = client(ARGV[1])
if entry.places > 0 then          -- before the queue is looked at: whoever comes back from a pause keeps its place
  refresh_client(entry, ARGV[2])
  raise_expiry(KEEP)
end
local more = hand_over(expire())
if queue.head then
  local own = {}
  for i = 4, #ARGV do own[ARGV[i]] = true end
  more = revoke(ARGV[3], own) or more
end
trim('head')
trim('tail')
local found = {}
for i = 4, #ARGV do
  local token = ARGV[i]
  local hold = live(token)
  if hold then
    if hold.state == '-' then
      hold.at, hold.lease = now, sub(hold.request, REQUEST_LEASE)
      mark(hold)
      raise_expiry(sub(hold.request, REQUEST_KEEP))
    end
    found[#found + 1] = hold.fence .. hold.at .. hold.lease
  else
    found[#found + 1] = get('w' .. token) and 'waiting' or 'gone'
  end
end
store()
local reply = answer({now, more and 1 or 0})
for _, what in ipairs(found) do reply[#reply + 1] = what end
return reply
