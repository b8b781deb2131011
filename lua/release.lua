-- release: give up a hold, or a place in the queue, and hand the lock over. A token is used for one wait only, so it also
-- names the grant: the hold or the place with this token is over.
--
-- KEYS[1]  the lock
-- ARGV[1]  token
-- ARGV[2]  none, '', or 'tombstone': an acquire of this token had no answer, so leave a tombstone against its late copy
-- ARGV[3]  none, or the last fence that the owner of the hold gave in its turn (docs/protocol.md, "Turns")
--
-- Reply    1, the hold is given back | {what, more}: 'hold' or 'place' was given up | {'none', more, note, last fence or ''}:
--          there was nothing; the note says why the hold was broken, '' if it was not.
--          more is 1 if waiters remain to whom the lock may be granted: send this again
local released = not ARGV[3] and redis.call('HDEL', KEYS[1], ARGV[1]) == 1
if released and not ARGV[2] then return 1 end
--@ clock.lua
--@ fast_hand_over.lua
--@ fast_hand_over_mode.lua
local fields = call('HLEN', key)
--@ rules.lua
--@ tombstone.lua
local token = ARGV[1]

load(token)
local what = released and 'hold' or 'none'
if hold_of(token) then
  drop(hold_of(token), ARGV[3] or '')
  what = 'hold'
elseif get('w' .. token) then
  leave(token)
  what = 'place'
end
local tombstone, last = get('t' .. token) or '', fence -- before this script grants
if ARGV[2] == 'tombstone' then lay_tombstone(token, '') end
local more = hand_over(expire()) and 1 or 0
store()
if what == 'none' then return {what, more, sub(tombstone, TOMBSTONE_NOTE), last} end
return {what, more}
