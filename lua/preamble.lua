-- The first lines of nearly every script: the clock, and the size of the hash.
--@ clock.lua
local fields = call('HLEN', key)
