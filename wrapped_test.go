package redislock_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// wrapped is the way in which applications add something to a client.
type wrapped struct{ redis.UniversalClient }

func TestAWrapperOfWhatCannotServeIsRefused(t *testing.T) {
	ring := redis.NewRing(&redis.RingOptions{
		Addrs: map[string]string{"a": "127.0.0.1:1"}, HeartbeatFn: func(context.Context, *redis.Client) bool { return true },
	})
	defer ring.Close()
	for reason, rdb := range map[string]redis.UniversalClient{
		"shard": &wrapped{wrapped{ring}},
		"nil":   wrapped{},
	} {
		c, err := redislock.New(rdb)
		if c != nil || !errors.Is(err, redislock.ErrInvalid) || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

// A wrapper of a cluster client is one: its locks are on all masters, and a grant goes to one shard alone.
func TestAWrappedClusterIsTakenForOne(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	wrap := func() *redislock.Client { return f.over(&wrapped{f.cluster.Connect()}) }
	a, b := wrap(), wrap()
	before := f.calls("spublish")
	f.handOver(a, b, "name-0")
	if n := f.calls("spublish") - before; n == 0 {
		t.Error("the grant went to all nodes")
	}
	var locks []*redislock.Lock
	for _, name := range names(20) {
		locks = append(locks, f.acquire(a, name))
	}
	if got := f.list(a, "name-*"); len(got) != len(locks) {
		t.Errorf("%d of %d locks are listed", len(got), len(locks))
	}
	for _, l := range locks {
		f.release(l)
	}
	// What a WAIT counts is written beside it, past the wrapper: that would not see the command.
	if _, err := a.Acquire(t.Context(), "x", redislock.WithReplicas(1, time.Second)); !errors.Is(err, redislock.ErrInvalid) {
		t.Errorf("WithReplicas over a wrapper: %v", err)
	}
}

// broken is a client that panics as long as it is told to.
type broken struct {
	redis.UniversalClient
	now atomic.Bool
}

func (b *broken) check() {
	if b.now.Load() {
		panic("out of order")
	}
}

func (b *broken) Process(ctx context.Context, cmd redis.Cmder) error {
	b.check()
	return b.UniversalClient.Process(ctx, cmd)
}

func (b *broken) Pipeline() redis.Pipeliner {
	b.check()
	return b.UniversalClient.Pipeline()
}

func (b *broken) Subscribe(ctx context.Context, channels ...string) *redis.PubSub {
	b.check()
	return b.UniversalClient.Subscribe(ctx, channels...)
}

// The goroutines of the library renew, check and subscribe: nobody could recover in them.
func TestAPanicOfTheRedisClientIsAnErrorAndEndsNoProcess(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		rdb := &broken{UniversalClient: e.connect()}
		c, other := e.over(rdb), e.client()
		ctx := context.Background()
		held := e.acquire(c, "held", redislock.WithLease(time.Second))
		theirs := e.acquire(other, "theirs")

		rdb.now.Store(true)
		for what, err := range map[string]error{
			"Acquire": func() error { _, err := c.Acquire(ctx, "x"); return err }(),
			"Forget":  c.Forget(ctx, "x"),
			"FirstOf": func() error { _, err := c.FirstOf(ctx, []string{"a", "b"}, time.Minute); return err }(),
			"List": func() error {
				for _, err := range c.List(ctx, "") {
					return err
				}
				return nil
			}(),
		} {
			if err == nil || !strings.Contains(err.Error(), "out of order") {
				t.Errorf("%s: %v", what, err)
			}
		}
		bounded, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		if _, err := c.Acquire(bounded, "theirs"); err == nil {
			t.Error("a lock of another")
		}
		<-held.Context().Done() // its renewals fail
		if err := held.Err(); !errors.Is(err, redislock.ErrLost) {
			t.Errorf("a lock that could not be renewed: %v", err)
		}

		rdb.now.Store(false)
		waits := make(chan *redislock.Lock)
		go func() { waits <- e.acquire(c, "theirs") }()
		e.queued(other, "theirs", 1)
		e.release(theirs)
		e.release(<-waits)
	})
}
