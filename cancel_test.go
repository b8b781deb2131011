package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// The waiter's context ends at every moment around the hand-over: before its request arrives, while it waits, while
// the grant is on its way, with it, and after it. Packets take 10 ms, so that each order of events is met.
func TestI8CancelAtTheInstantOfTheGrantLeavesNothing(t *testing.T) {
	t.Parallel()
	const delay = 10 * time.Millisecond
	outcomes, step := map[string]int{}, 2*time.Millisecond
	if short() {
		step = delay
	}
	for warm := range 2 { // the waiter's Client has its subscription already, or must make it first
		for offset := time.Duration(0); offset <= 160*time.Millisecond; offset += step {
			for _, nudge := range []time.Duration{0, 500 * time.Microsecond} {
				embedded(t, delay, func(e *env, _ *fakenet.Network) {
					holder, waiter, third := e.client(), e.client(), e.client()
					e.release(e.acquire(third, "warm"))
					if warm == 1 {
						e.release(e.acquire(waiter, "warm"))
						time.Sleep(100 * time.Millisecond)
					}
					l := e.acquire(holder, "x")
					go func() {
						time.Sleep(100 * time.Millisecond)
						e.release(l)
					}()
					ctx, cancel := context.WithCancel(context.Background())
					go func() {
						time.Sleep(offset + nudge)
						cancel()
					}()
					got, err := waiter.Acquire(ctx, "x")
					cancel()
					switch {
					case err == nil:
						outcomes["granted"]++
						if got.Err() != nil {
							t.Errorf("offset %v: granted, but %v", offset, got.Err())
						}
						e.release(got)
					case errors.Is(err, context.Canceled):
						outcomes[fmt.Sprint("cancelled, held ", errors.Is(err, redislock.ErrHeld))]++
					default:
						t.Errorf("offset %v: %v", offset, err)
					}
					next := e.acquire(third, "x", redislock.WithWait(time.Second))
					e.release(next)
					e.untouched("x")
				})
			}
		}
	}
	t.Log(outcomes)
	if len(outcomes) != 3 {
		t.Errorf("the sweep met only %v", outcomes)
	}
}

// The same on a real server, at random: nothing is left in Redis, and no goroutine here.
func TestI8AStormOfCancelsLeavesNothing(t *testing.T) {
	both(t, func(e *env) {
		const workers, rounds = 24, 40
		clients := []*redislock.Client{e.client(), e.client(), e.client()}
		for _, c := range clients {
			e.release(e.acquire(c, "storm"))
		}
		before := ours()
		var wg sync.WaitGroup
		var granted, cancelled atomic.Int32
		for w := range workers {
			wg.Go(func() {
				c := clients[w%len(clients)]
				for range rounds {
					ctx, cancel := context.WithTimeout(context.Background(), rand.N(4*time.Millisecond))
					l, err := c.Acquire(ctx, "storm")
					switch {
					case err == nil:
						granted.Add(1)
						if rand.N(2) == 0 {
							time.Sleep(rand.N(time.Millisecond))
						}
						e.release(l)
					case errors.Is(err, context.DeadlineExceeded):
						cancelled.Add(1)
					default:
						t.Error(err)
					}
					cancel()
				}
			})
		}
		wg.Wait()
		t.Logf("%d granted, %d cancelled", granted.Load(), cancelled.Load())
		if e.real != nil && cancelled.Load() == 0 {
			t.Error("nothing was cancelled, so this test shows nothing")
		}
		e.untouched("storm")
		if e.real != nil {
			e.eventually("no goroutine is left", func() bool { return ours() <= before })
		}
	})
}

func TestCloseFailsWaitersAndEndsHoldsButTakesNothingAway(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(), e.client()
		busy := e.acquire(other, "busy")
		waiting := make(chan error)
		go func() {
			_, err := c.Acquire(context.Background(), "busy")
			waiting <- err
		}()
		e.queued(other, "busy", 1)
		l := e.acquire(c, "x", redislock.WithLease(2*time.Second))

		closed := make(chan error)
		go func() { closed <- c.Close(context.Background()) }()
		if err := <-waiting; !errors.Is(err, redislock.ErrClosed) {
			t.Errorf("the waiter got %v", err)
		}
		<-l.Context().Done()
		if cause := context.Cause(l.Context()); !errors.Is(cause, redislock.ErrClosed) {
			t.Errorf("the hold's context ended with %v", cause)
		}
		time.Sleep(3 * time.Second) // the body goes on for a while: its lease is renewed
		if _, err := other.TryAcquire(context.Background(), "x"); !errors.Is(err, redislock.ErrHeld) {
			t.Errorf("the lock was taken from under a running body: %v", err)
		}
		select {
		case err := <-closed:
			t.Errorf("Close returned before the release: %v", err)
		default:
		}
		if err := l.Release(context.Background()); err != nil {
			t.Errorf("the release of a hold whose Client closes: %v", err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if _, err := c.Acquire(context.Background(), "y"); !errors.Is(err, redislock.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		e.release(busy)
		e.untouched("busy")
		e.untouched("x")
	})
}

func TestCloseEndsWithItsContextAndLetsTheLeaseLapse(t *testing.T) {
	both(t, func(e *env) {
		c, err := redislock.New(e.connect())
		if err != nil {
			t.Fatal(err)
		}
		other := e.client()
		e.warm(other)
		l := e.acquire(c, "x", redislock.WithLease(2*time.Second))
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close returned %v", err)
		}
		if _, err := other.TryAcquire(context.Background(), "x"); !errors.Is(err, redislock.ErrHeld) {
			t.Errorf("taken away: %v", err)
		}
		next := e.acquire(other, "x", redislock.WithWait(10*time.Second)) // not renewed any more
		if err := l.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) {
			t.Errorf("a release after the lease: %v", err)
		}
		e.release(next)
		time.Sleep(time.Second) // what is under way ends
	})
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	both(t, func(e *env) { // in fake time the bubble itself fails if one is left
		before := ours()
		for range 5 {
			c, err := redislock.New(e.connect())
			if err != nil {
				t.Fatal(err)
			}
			l := e.acquire(c, "x")
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			if _, err := c.Acquire(ctx, "x"); !errors.Is(err, redislock.ErrHeld) {
				t.Errorf("got %v", err)
			}
			cancel()
			e.release(l)
			if err := c.Close(context.Background()); err != nil {
				t.Error(err)
			}
			if err := c.Close(context.Background()); err != nil {
				t.Errorf("a second Close: %v", err)
			}
		}
		if e.real != nil {
			e.eventually("no goroutine is left", func() bool { return ours() <= before })
		}
	})
}

func TestI8AReplyThatNeverComesLeavesNothing(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, n *fakenet.Network) {
		c, other := e.client(), e.client()
		e.release(e.acquire(c, "warm"))
		for _, cutAfter := range []time.Duration{0, 500 * time.Microsecond, time.Millisecond, 1500 * time.Microsecond, 2 * time.Millisecond} {
			go func() {
				time.Sleep(cutAfter)
				n.Cut()
				time.Sleep(500 * time.Millisecond)
				n.Mend()
			}()
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			l, err := c.Acquire(ctx, "x")
			cancel()
			if err == nil {
				time.Sleep(time.Second)
				if err := l.Release(context.Background()); err != nil {
					t.Error(err)
				}
			} else if errors.Is(err, redislock.ErrHeld) {
				t.Errorf("an unanswered acquire says %v", err)
			}
			time.Sleep(10 * time.Second)
			e.untouched("x")
			next := e.acquire(other, "x", redislock.WithWait(0))
			e.release(next)
		}
	})
}

func TestARingIsRefusedWithTheReason(t *testing.T) {
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	defer ring.Close()
	var none *redis.Client
	for _, rdb := range []redis.UniversalClient{ring, none, nil} {
		if _, err := redislock.New(rdb); !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("%T: %v", rdb, err)
		}
	}
	if _, err := redislock.New(ring); !strings.Contains(err.Error(), "two owners") {
		t.Errorf("the reason is missing: %v", err)
	}
}
