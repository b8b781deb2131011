-- resume: a hold moves to another owner. It gets a new token and a new fence, so later requests of the old owner change
-- nothing.
--
-- KEYS[1]  the lock
-- ARGV[1]  token of the new owner
-- ARGV[2]  its request; the mode stays that of the hold
-- ARGV[3]  token of the old owner
-- ARGV[4]  its fence, or the one it had before an upgrade that was given up
--
-- Reply    {'granted', now, fence, at, lease, mode} | {'over', now}, as in acquire
--          {'gone', now}: the hold is over, or another owner has it already
--@ preamble.lua
--@ rules.lua
local token, request = ARGV[1], ARGV[2]

load(token)
if get('t' .. token) then return {'over', now} end
local searching = expire()
local hold, old = live(token), live(ARGV[3])
if not hold and old and old.state == '-' and old.fence >= ARGV[4] then
  local mode = mode_of(old.request, 1)
  local from = find(request, '\n', REQUEST_CHANNEL, true)
  local line = mode.class == '' and '' or format('%d ', mode.weight) .. mode.class -- a new owner counts its own changes
  pass(old)
  hold = grant(token, sub(request, 1, from) .. line .. sub(request, from + 1), sub(request, REQUEST_LEASE), mode, ARGV[3])
  drop(old)
  hold.since = old.since          -- it is as old as it was, and stands where it stood
end
if not hold then hand_over(searching) end
store()
if not hold then return {'gone', now} end
return {'granted', now, hold.fence, hold.at, hold.lease, match(hold.request, '\n([^\n]*)\n', REQUEST_CHANNEL)}
