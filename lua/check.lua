-- check: what became of the waits of one Client. It never joins and never grants from nothing; it repairs the queue,
-- confirms a claim whose message was lost, and says that this Client is alive.
--
-- KEYS[1]  the lock
-- ARGV[1]  wake channel of the Client
-- ARGV[2]  'c' or 'u', as in a request
-- ARGV[3]  steal after, µs, as in acquire
-- ARGV[4…] tokens
--
-- Reply    {now, more, holder…, then for each token 'waiting', 'gone', or fence16 at16 lease8 of its grant}
--@ begin.lua
--@ shared.lua
--@ waiting.lua
load(ARGV[4])
expire()
local more = hand_over()
revoke(ARGV[3])

local entry = client(ARGV[1])
if entry.places > 0 then
  entry.seen, entry.mode = now, ARGV[2]
  save_client(entry)
  raise(KEEP)
end
trim('head')
trim('tail')
local found = {}
for i = 4, #ARGV do
  local token = ARGV[i]
  if hold and hold.token == token then
    if hold.state == '-' then
      hold.at, hold.lease, hold.changed = now, sub(hold.request, 1, 8), true
      raise(sub(hold.request, 9, 16))
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
