package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// Clients of other kinds than the plain one: what they can do less must not show.

func TestLocksOnACluster(t *testing.T) {
	t.Parallel()
	cluster := servertest.StartCluster(t, 3)
	passLocksAround(t, func() redis.UniversalClient { return cluster.Connect() })
	shareLocks(t, func() redis.UniversalClient { return cluster.Connect() })
}

func TestLocksThroughAnAutoPipeliner(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	passLocksAround(t, func() redis.UniversalClient {
		pipeliner, err := s.Connect().AutoPipeline()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = pipeliner.Close() })
		return pipeliner
	})
}

// shareLocks goes once through what the shared modes add, on names that lie on all shards.
func shareLocks(t *testing.T, connect func() redis.UniversalClient) {
	e := &env{T: t}
	ctx := context.Background()
	a, b := e.over(connect()), e.over(connect())
	var names []string
	for n := range 6 {
		name := fmt.Sprint("shared-", n)
		names = append(names, name)
		l, r := e.acquire(a, name, reading), e.acquire(b, name, reading)
		upgraded := make(chan error, 1)
		go func() { upgraded <- l.Upgrade(ctx) }()
		e.queued(a, name, 1)
		e.release(r)
		if err := <-upgraded; err != nil {
			t.Fatal(err)
		}
		e.refused(b, name, reading)
		e.change(l.Downgrade)
		e.release(e.acquire(b, name, reading, trying))
		ticket, err := l.Handoff()
		if err != nil {
			t.Fatal(err)
		}
		moved, err := b.Resume(ctx, ticket)
		if err != nil {
			t.Fatal(err)
		}
		e.release(moved)
	}
	all, err := a.AcquireAll(ctx, names)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.AcquireAll(ctx, names, trying); !errors.Is(err, redislock.ErrHeld) {
		t.Errorf("all of them a second time: %v", err)
	}
	if err := all.Release(ctx); err != nil {
		t.Error(err)
	}
}

// passLocksAround has instances contend for names that lie on all shards.
func passLocksAround(t *testing.T, connect func() redis.UniversalClient) {
	e := &env{T: t}
	ctx := context.Background()
	var clients []*redislock.Client
	for range 3 {
		c := e.over(connect())
		clients = append(clients, c)
	}

	const names, rounds = 12, 5
	var wg sync.WaitGroup
	var holders [names]atomic.Int32
	var fences [names]atomic.Int64
	for _, c := range clients {
		for n := range names {
			wg.Go(func() {
				for range rounds {
					l := e.acquire(c, fmt.Sprint("name-", n))
					if holders[n].Add(1) != 1 {
						t.Error("I1: two holders at once")
					}
					if fences[n].Swap(l.Fence()) >= l.Fence() {
						t.Error("I2: the fence did not rise")
					}
					time.Sleep(time.Millisecond)
					holders[n].Add(-1)
					e.release(l)
				}
			})
		}
	}
	wg.Wait()

	l := e.acquire(clients[0], "stolen")
	next := e.acquire(clients[1], "stolen", redislock.WithStealAfter(200*time.Millisecond))
	if !errors.Is(l.Err(), redislock.ErrStolen) {
		t.Errorf("the robbed holder says %v", l.Err())
	}
	_ = l.Release(ctx)
	if fence, err := clients[2].Break(ctx, "stolen", "test"); err != nil || fence != next.Fence() {
		t.Errorf("Break: fence %d of %d, %v", fence, next.Fence(), err)
	}
	<-next.Context().Done()
	_ = next.Release(ctx)

	keys := make([]string, 50)
	want := make([]bool, len(keys))
	for i := range keys {
		keys[i], want[i] = fmt.Sprint("key-", i), true
	}
	for _, c := range clients[:2] {
		if got, err := c.FirstOf(ctx, keys, time.Minute); err != nil || !slices.Equal(got, want) {
			t.Errorf("FirstOf: %v, %v", got, err)
		}
		want = make([]bool, len(keys))
	}
	for n := range names {
		info, err := clients[0].Inspect(ctx, fmt.Sprint("name-", n))
		if err != nil || len(info.Holds) > 0 || info.Waiting > 0 {
			t.Errorf("left behind: %+v, %v", info, err)
		}
	}
}
