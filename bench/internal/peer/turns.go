package peer

import (
	"time"

	"example.com/redislock"
)

// The names of ours where it is granted within the process, and where it is not.
const (
	Strict = Ours + ", strict"
	Turn1  = Ours + ", turn 1 ms"
	Turn10 = Ours + ", turn 10 ms"
	Linger = Ours + ", linger 50 ms"

	Together = Ours + ", readers in turns"
	Apart    = Ours + ", readers"
)

// Turns are ours with turns of two lengths, and the strict way.
func Turns() []Peer {
	return []Peer{
		variant(Turn1, "WithTurn(1ms)", redislock.WithTurn(time.Millisecond)),
		variant(Turn10, "WithTurn(10ms)", redislock.WithTurn(10*time.Millisecond)),
		variant(Strict, "defaults, in the table of turns"),
	}
}

// Lingers are ours with a linger, and the strict way.
func Lingers() []Peer {
	return []Peer{
		variant(Linger, "WithLinger(50ms)", redislock.WithLinger(50*time.Millisecond)),
		variant(Strict, "defaults, in the table of turns"),
	}
}

// Readers are ours that read, in turns and by the strict way.
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
