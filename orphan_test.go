package redislock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// Whoever waits is told that nothing will ever be answered again, whatever he waits in, although his context does not end.
func TestWhoWaitsFailsWhenTheRedisClientIsClosed(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		rdb := e.connect()
		c, err := redislock.New(rdb)
		if err != nil {
			t.Fatal(err)
		}
		other := e.client()
		busy, writing := e.acquire(other, "busy"), e.acquire(other, "written", redislock.WithMode(redislock.Read))
		led, once := e.acquire(other, "elect:led"), e.acquire(other, "once:done")
		weak, err := other.AcquireWeak(ctx, "weak", redislock.WithLease(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		reading := e.acquire(c, "written", redislock.WithMode(redislock.Read), redislock.WithLease(2*time.Second))
		held := e.acquire(c, "held", redislock.WithLease(2*time.Second))
		nothing := func(context.Context) error { return nil }
		ends := make(chan error)
		waits := map[string]func() error{
			"acquire": func() error {
				_, err := c.Acquire(ctx, "busy")
				return err
			},
			"upgrade": func() error { return reading.Upgrade(ctx) },
			"weak": func() error {
				_, err := c.AcquireWeak(ctx, "weak")
				return err
			},
			"elect": func() error { return c.Elect(ctx, "led", nothing) },
			"once":  func() error { return c.Once(ctx, "done", nothing) },
			"watch": func() (last error) {
				for _, last = range c.Watch(ctx, "busy") {
				}
				return last
			},
			"watch an election": func() (last error) {
				for _, last = range c.Election("led").Watch(ctx) {
				}
				return last
			},
		}
		for name, wait := range waits {
			go func() {
				err := wait()
				if !errors.Is(err, redis.ErrClosed) {
					t.Errorf("%s: %v", name, err)
				}
				ends <- err
			}()
		}
		for _, name := range []string{"busy", "written", "elect:led", "once:done"} {
			e.queued(other, name, 1)
		}
		begun := time.Now()
		_ = rdb.Close()
		for range waits {
			<-ends
		}
		if took := time.Since(begun); e.mini != nil && took > 2500*time.Millisecond { // the checks, where a subscription outlives its client
			t.Errorf("it took %v", took)
		}
		e.ends(held.Context())
		if err := held.Err(); !errors.Is(err, redislock.ErrLost) || !errors.Is(err, redis.ErrClosed) {
			t.Errorf("the hold: %v", err)
		}
		for _, l := range []*redislock.Lock{busy, writing, led, once} {
			e.release(l)
		}
		if err := weak.Release(ctx); err != nil {
			t.Error(err)
		}
		ended, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if err := c.Close(ended); err != nil { // the other hold has lapsed too
			t.Error(err)
		}
	})
}

// A client that is closed is not called again and again.
func TestNothingIsAskedOfAClosedRedisClient(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		rdb := e.connect()
		sent := &sentCommands{}
		rdb.(*redis.Client).AddHook(sent)
		c, err := redislock.New(rdb)
		if err != nil {
			t.Fatal(err)
		}
		l := e.acquire(c, "x")
		e.acquire(e.client(), "busy", redislock.WithLease(time.Second), redislock.WithoutRenewal())
		go func() { _, _ = c.Acquire(context.Background(), "busy", redislock.WithWait(time.Hour)) }()
		_ = rdb.Close()
		time.Sleep(3 * time.Second)
		sent.on.Store(true)
		time.Sleep(25 * time.Second)
		if err := l.Err(); err != nil {
			t.Errorf("before the bound: %v", err)
		}
		time.Sleep(5 * time.Second)
		if err := l.Err(); !errors.Is(err, redislock.ErrLost) {
			t.Errorf("at the bound: %v", err)
		}
		if n := sent.count.Load(); n > 1 { // that the hold be given up
			t.Errorf("%d commands", n)
		}
		_ = c.Close(context.Background())
	})
}
