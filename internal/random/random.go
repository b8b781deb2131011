// Package random is where everything comes from that this library draws at random: tokens, nonces, pauses. It comes from the
// system, unless a simulation has set another source, which only code of this module can.
package random

import (
	crypto "crypto/rand"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// source is what a simulation draws from; nil is the system.
var source atomic.Pointer[seeded]

type seeded struct {
	mu    sync.Mutex
	bits  *rand.ChaCha8
	times *rand.Rand
}

// Seed has everything that is drawn from now on in this process come from a seed, until restore is called. The numbers of two
// goroutines depend on which of them draws first, so only a simulation that decides this order too may set a source.
func Seed(seed [32]byte) (restore func()) {
	s := &seeded{bits: rand.NewChaCha8(seed)}
	s.times = rand.New(s.bits)
	before := source.Swap(s)
	return func() { source.Store(before) }
}

// Read fills b. The system is asked each time, and nothing is kept in a buffer: two processes that go on from one snapshot of a
// machine must not have the same.
func Read(b []byte) {
	if s := source.Load(); s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		_, _ = s.bits.Read(b)
		return
	}
	_, _ = crypto.Read(b) // it does not fail: it ends the program instead
}

// Below is a time from 0 on that is less than d, which is more than 0.
func Below(d time.Duration) time.Duration {
	if s := source.Load(); s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		return time.Duration(s.times.Int64N(int64(d)))
	}
	return rand.N(d)
}
