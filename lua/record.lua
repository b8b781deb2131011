-- record: write the outcome of something that is done once. Only the holder of the lock may write it, and only while it holds
-- the lock: a late writer, or a copy of its request, changes nothing. A text that only tells people how it went may be
-- written afterwards, as long as nobody else has written.
--
-- KEYS[1]  the lock
-- KEYS[2]  its record: fence16 step1 value
-- ARGV[1]  token of the hold
-- ARGV[2]  fence16 step1: a holder that writes twice counts its steps, so that a late copy of the first write is recognized
-- ARGV[3]  ms after which the record expires
-- ARGV[4]  value
-- ARGV[5]  none; or 'late': write even if the lock is not held any more, provided that the record is this holder's own; or fence16
--          step1 of the record to replace: if that record has gone, nothing is written
--
-- Reply    1 | 0: the token does not hold the lock any more
--@ preamble.lua
--@ rules.lua
local token, step = ARGV[1], ARGV[2]

load(token)
local last = call('GETRANGE', KEYS[2], 0, RECORD_WIDTH - 1)
local own = sub(last, RECORD_FENCE) == sub(step, RECORD_FENCE)
if own and sub(last, RECORD_STEP) >= sub(step, RECORD_STEP) then return 1 end -- it is written, by an attempt whose answer was lost, or a later step is
if not live(token) and not (own and ARGV[5] == 'late') then return 0 end
if ARGV[5] and ARGV[5] ~= 'late' and last ~= ARGV[5] then return 1 end
call('SET', KEYS[2], step .. ARGV[4], 'PX', ARGV[3])
return 1
