package redislock_test

import (
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// Servers pause writes: in a migration of slots, in a failover by hand. A lock that was handed over just before is not confirmed in
// time: it ends by the clock of its holder, and after the pause it is the next one's. A lease that is longer than the pause is kept.
func TestAPauseOfWritesEndsAClaimBeforeTheNextIsServed(t *testing.T) {
	t.Parallel()
	const pause = 8 * time.Second // longer than a claim
	s := servertest.Start(t)
	e := &env{T: t}
	a, b, c := e.over(s.Connect()), e.over(s.Connect()), e.over(s.Connect())
	long := e.acquire(a, "long", redislock.WithLease(time.Minute))
	first := e.acquire(a, "x")
	second, third := make(chan *redislock.Lock, 1), make(chan *redislock.Lock, 1)
	go func() { second <- e.acquire(b, "x") }()
	e.queued(a, "x", 1)
	go func() { third <- e.acquire(c, "x") }()
	e.queued(a, "x", 2)
	e.release(first)
	claimed := <-second
	if err := s.Admin().Do(t.Context(), "client", "pause", pause.Milliseconds(), "write").Err(); err != nil {
		t.Fatal(err)
	}
	paused := time.Now()
	select {
	case <-claimed.Context().Done():
	case <-third:
		t.Fatal("two have the lock")
	}
	if took := time.Since(paused); took > 5*time.Second {
		t.Errorf("the holder believed in its lock for %v, longer than a claim", took)
	}
	next := <-third
	if took := time.Since(paused); took < pause-time.Second || took > pause+patience {
		t.Errorf("the next is served after %v of a pause of %v", took, pause)
	}
	if next.Fence() <= claimed.Fence() {
		t.Errorf("I2: fence %d after %d", next.Fence(), claimed.Fence())
	}
	if err := long.Err(); err != nil {
		t.Errorf("a lease that is longer than the pause: %v", err)
	}
	_ = claimed.Release(t.Context())
	e.release(next)
	e.release(long)
}
