package peer

import (
	"time"

	"example.com/redislock"
)

// The names of this library with grants within the process, and without them.
const (
	Strict = Ours + ", strict"
	Turn1  = Ours + ", turn 1 ms"
	Turn10 = Ours + ", turn 10 ms"
	Linger = Ours + ", linger 50 ms"

	Together = Ours + ", readers in turns"
	Apart    = Ours + ", readers"
)

// Turns are this library with turns of two lengths, and without turns.
func Turns() []Peer {
	return []Peer{
		variant(Turn1, "WithTurn(1ms)", redislock.WithTurn(time.Millisecond)),
		variant(Turn10, "WithTurn(10ms)", redislock.WithTurn(10*time.Millisecond)),
		variant(Strict, "defaults, in the table of turns"),
	}
}

// Lingers are this library with a linger, and without one.
func Lingers() []Peer {
	return []Peer{
		variant(Linger, "WithLinger(50ms)", redislock.WithLinger(50*time.Millisecond)),
		variant(Strict, "defaults, in the table of turns"),
	}
}

// Readers are this library with readers, in turns and without turns.
func Readers() []Peer {
	return []Peer{
		variant(Together, "Read, WithTurn(1ms)", redislock.WithMode(redislock.Read), redislock.WithTurn(time.Millisecond)),
		variant(Apart, "Read", redislock.WithMode(redislock.Read)),
	}
}

func variant(name, setting string, opts ...redislock.Option) Peer {
	p := oursWith(opts...)
	p.Name, p.Setting, p.Variant = name, setting, true
	return p
}
