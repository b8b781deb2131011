-- inspect: show the content of a lock's hash. It writes nothing: a lapsed hold is not shown, and not removed.
--
-- KEYS[1]  the lock
-- ARGV[1]  how many holds and how many places to show at the most
-- ARGV[2]  the token of a hold: show the holds behind it, or from the first on if it has gone; '' or none: from the first; '-': none
-- ARGV[3]  the token of a place, in the same way
--
-- Reply    {now, last fence or '', how many wait, how many hold, how many holds follow,
--           for each of them: since, deadline, fence, token, state, mode, info, lease,
--           then for each place: ticket, token, mode, info,
--           then, if there are others behind the last one shown, or if there is a limit: the token of that hold, or '', and of that
--           place, or '', and until16 rules of the limit (layout.lua), if there is one}
--@ preamble.lua

-- Most locks are idle. Such a lock has only its fence to show.
if fields <= 1 then return {now, fields == 1 and call('HGET', key, 'f') or '', 0, 0, 0} end
--@ rules.lua
load(NONE)
--@ snapshot.lua
