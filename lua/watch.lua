-- watch: show the content of a lock's hash, and have the next change published once. A Client that goes on watching sends
-- this again. So a lock that changes often costs at most one message for each look.
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
