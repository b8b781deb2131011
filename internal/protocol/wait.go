package protocol

import "time"

// Countable, Sharded and Uncountable say in a request how the server can tell a Client of a grant, and whether it can count it as a
// receiver: by its classic channel, by that of the lock's shard, or without counting. NoWait asks for no place.
const Countable, Sharded, Uncountable, NoWait = "c", "s", "u", "-"

// CheckEvery is the longest time between two checks of a wait; lua/preamble.lua drops Clients that are silent for three.
const CheckEvery = 2 * time.Second
