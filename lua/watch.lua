-- watch: what a lock's hash says, and the next change of it is told, once, to those who watch it: who still watches
-- asks again. So a lock that changes often costs no more than one message each time that somebody looks.
--
-- KEYS[1]  the lock
-- ARGV[1]  how many holds and how many places to show at the most
--
-- Reply    as that of inspect
--@ preamble.lua
--@ rules.lua
load(NONE)
if not get('v') then
  put('v', '1')
  raise_expiry(KEEP)              -- an EXPIREAT first: memory may be short
end
store()                           -- a hold in its short form would be released without a word
--@ snapshot.lua
