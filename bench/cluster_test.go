package main

import (
	"context"
	"testing"
	"time"

	"example.com/redislock/bench/internal/peer"
)

// favourite grants one lock to everybody who asks, and no other lock to anybody.
type favourite struct{}

func (favourite) Lock(ctx context.Context, name string) (peer.Release, error) {
	if name != "contended-0" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	time.Sleep(5 * time.Millisecond)
	return func(context.Context) error { return nil }, nil
}

func (favourite) Close() {}

func TestContentionTellsWhoGetsEverything(t *testing.T) {
	t.Parallel()
	b := benchOf(t)
	c := b.contendOnCluster([]peer.Locker{favourite{}}, 20*time.Millisecond, 400*time.Millisecond)
	if c.grants == 0 || c.perSecond == 0 || c.failures != 0 {
		t.Errorf("%+v", c)
	}
	if c.jain > 0.5 { // of 48 waiters only eight get a lock
		t.Errorf("Jain's index is %v", c.jain)
	}
}
