package redislock_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
	"example.com/redislock/redislocktest"
)

// under acquires under the context of a hold.
func (e *env) under(ctx context.Context, c *redislock.Client, name string, opts ...redislock.Option) *redislock.Lock {
	e.Helper()
	l, err := c.Acquire(ctx, name, opts...)
	if err != nil {
		e.stop(err)
	}
	return l
}

func TestANestedAcquireTakesNoRoundTripAndHasTheSameFence(t *testing.T) {
	embedded(t, 10*time.Millisecond, func(e *env, _ *fakenet.Network) {
		c := e.client()
		outer := e.acquire(c, "x")
		time.Sleep(time.Second) // the subscription is made meanwhile
		before, asked := e.mini.CommandCount(), time.Now()
		inner := e.under(outer.Context(), c, "x")
		innermost := e.under(inner.With(context.Background()), c, "x", reading, redislock.WithWait(0))
		if n := e.mini.CommandCount() - before; n != 0 || time.Since(asked) != 0 {
			e.Errorf("%d commands in %v", n, time.Since(asked))
		}
		if inner.Fence() != outer.Fence() || innermost.Fence() != outer.Fence() || inner.Name() != "x" {
			e.Errorf("fences %d, %d, %d", outer.Fence(), inner.Fence(), innermost.Fence())
		}
		e.release(innermost)
		if !ended(innermost.Context()) || ended(inner.Context()) || !errors.Is(context.Cause(innermost.Context()), redislock.ErrReleased) {
			e.Error("the release of a nested handle ends its own context, and no other")
		}
		e.release(inner)
		if n := e.mini.CommandCount() - before; n != 0 {
			e.Errorf("the nested releases sent %d commands", n)
		}
		e.refused(e.client(), "x")
		e.release(outer)
		e.untouched("x")
	})
}

func TestReleasesInAndOutOfOrderAndTooOften(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c, other := e.client(), e.client()
		outer := e.acquire(c, "x")
		inner := e.under(outer.Context(), c, "x")
		beside := e.under(outer.Context(), c, "x")
		innermost := e.under(inner.Context(), c, "x")
		for _, l := range []*redislock.Lock{outer, inner, outer} {
			if err := l.Release(ctx); !errors.Is(err, redislock.ErrOrder) {
				e.Errorf("out of order: %v", err)
			}
			if l.Err() != nil || ended(l.Context()) {
				e.Errorf("a release out of order changed the handle: %v", l.Err())
			}
		}
		e.release(beside) // holds of the same level may end in any order
		e.release(innermost)
		for range 2 {
			if err := innermost.Release(ctx); !errors.Is(err, redislock.ErrNotHeld) {
				e.Errorf("too often: %v", err)
			}
		}
		if err := outer.Release(ctx); !errors.Is(err, redislock.ErrOrder) {
			e.Errorf("a release too often counted for another handle: %v", err)
		}
		e.release(inner)
		e.refused(other, "x")
		e.release(outer)
		if err := outer.Release(ctx); err != nil {
			e.Errorf("the second release of the hold has another answer: %v", err)
		}
		e.release(e.acquire(other, "x", trying))
		e.untouched("x")
	})
}

func TestANestedRequestThatTheHoldDoesNotCoverIsADeadlockAtOnce(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		in := redislock.WithMode
		three := in(redislock.Semaphore(3))
		for _, test := range []struct {
			name        string
			held, asked []redislock.Option
			covered     bool
		}{
			{"exclusive, exclusive", nil, nil, true},
			{"exclusive, read", nil, []redislock.Option{reading}, true},
			{"exclusive, semaphore", nil, []redislock.Option{three, redislock.WithWeight(3)}, true},
			{"write, exclusive", []redislock.Option{writing}, nil, true},
			{"write, read", []redislock.Option{writing}, []redislock.Option{reading}, true},
			{"read, read", []redislock.Option{reading}, []redislock.Option{reading}, true},
			{"read, write", []redislock.Option{reading}, []redislock.Option{writing}, false},
			{"read, exclusive", []redislock.Option{reading}, nil, false},
			{"semaphore, the same", []redislock.Option{three}, []redislock.Option{three}, true},
			{"semaphore, less", []redislock.Option{three, redislock.WithWeight(2)}, []redislock.Option{three}, true},
			{"semaphore, more", []redislock.Option{three}, []redislock.Option{three, redislock.WithWeight(2)}, false},
			{"semaphore, smaller", []redislock.Option{three}, []redislock.Option{in(redislock.Semaphore(2))}, false},
			{"semaphore, exclusive", []redislock.Option{three}, nil, false},
			{"X, S", []redislock.Option{in(intents["X"])}, []redislock.Option{in(intents["S"])}, true},
			{"S, S", []redislock.Option{in(intents["S"])}, []redislock.Option{in(intents["S"])}, true},
			{"S, IX", []redislock.Option{in(intents["S"])}, []redislock.Option{in(intents["IX"])}, false},
			// The other readers do not allow a writer.
			{"read, what tolerates readers", []redislock.Option{reading}, []redislock.Option{in(redislock.NewMode("audit", redislock.CompatibleWith("read")))}, false},
			{"NonReentrant inside", nil, []redislock.Option{redislock.NonReentrant()}, false},
			{"NonReentrant outside", []redislock.Option{redislock.NonReentrant()}, nil, false},
		} {
			outer := e.acquire(c, "x", test.held...)
			inner, err := c.Acquire(outer.Context(), "x", test.asked...)
			if test.covered != (err == nil) || err != nil && !errors.Is(err, redislock.ErrDeadlock) {
				e.Errorf("%s: %v", test.name, err)
			}
			if err == nil {
				e.release(inner)
			}
			e.release(outer)
		}
		e.untouched("x")
	})
}

func TestNestedHandlesEndWithTheHold(t *testing.T) {
	both(t, func(e *env) {
		type key struct{}
		c := e.client()
		outer := e.acquire(c, "x", redislock.WithLease(time.Second), redislock.WithoutRenewal())
		ctx, cancel := context.WithCancel(context.WithValue(outer.Context(), key{}, "v"))
		inner := e.under(ctx, c, "x")
		cancel()
		if inner.Err() != nil || inner.Context().Value(key{}) != "v" {
			e.Errorf("a nested handle carries values but not cancellation: %v", inner.Err())
		}
		<-outer.Context().Done()
		<-inner.Context().Done()
		if !errors.Is(context.Cause(inner.Context()), redislock.ErrLost) || !errors.Is(inner.Err(), redislock.ErrLost) {
			e.Errorf("the hold is lost, and the nested handle says %v", inner.Err())
		}
		if err := outer.Release(context.Background()); !errors.Is(err, redislock.ErrOrder) && !errors.Is(err, redislock.ErrNotHeld) {
			e.Errorf("the outer release: %v", err)
		}
		if err := inner.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrLost) {
			e.Errorf("the nested release: %v", err)
		}
		again := e.acquire(c, "x") // the hold of the context has ended, so this does not nest
		e.release(again)
		e.untouched("x")
	})
}

func TestAContextOfAReleasedHandleIsThatOfTheOneAroundIt(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		outer := e.acquire(c, "x")
		inner := e.under(outer.Context(), c, "x")
		e.release(inner)
		again := e.under(context.WithoutCancel(inner.Context()), c, "x")
		if again.Fence() != outer.Fence() {
			e.Error("it is another hold")
		}
		e.release(again)
		e.release(outer)
		next := e.under(context.WithoutCancel(inner.Context()), c, "x")
		if next.Fence() <= outer.Fence() {
			e.Error("I2: a new grant has the old fence")
		}
		e.release(next)
		e.untouched("x")
	})
}

func TestANestedHandleHasTheValuesOfItsOwnContextAlone(t *testing.T) {
	both(t, func(e *env) {
		type key struct{}
		c := e.client()
		outer := e.under(context.WithValue(context.Background(), key{}, "first caller"), c, "x")
		inner := e.under(outer.With(context.Background()), c, "x")
		if got := inner.Context().Value(key{}); got != nil {
			e.Errorf("a value of the %v", got)
		}
		if got := outer.Context().Value(key{}); got != "first caller" {
			e.Errorf("the outer one has %v", got)
		}
		var none context.Context
		for _, l := range []*redislock.Lock{outer, inner} {
			if err := l.Release(none); !errors.Is(err, redislock.ErrInvalid) || l.Err() != nil {
				e.Errorf("a release with a nil context: %v, %v", err, l.Err())
			}
		}
		e.release(inner)
		e.release(outer)
	})
}

func TestAnotherClientIsNotReentrant(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(), e.client()
		l := e.acquire(c, "x")
		if _, err := other.TryAcquire(l.Context(), "x"); !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("got %v", err)
		}
		e.release(l)
	})
}

func TestDoNestsAndGivesBackWithTheLastHandle(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c, other := e.client(), e.client()
		deep := 0
		var body func(ctx context.Context) error
		body = func(ctx context.Context) error {
			if deep++; deep < 5 {
				return c.Do(ctx, "x", body)
			}
			e.refused(other, "x")
			return nil
		}
		if err := c.Do(ctx, "x", body); err != nil || deep != 5 {
			e.Errorf("%d deep, %v", deep, err)
		}
		e.untouched("x")

		var left *redislock.Lock
		err := c.Do(ctx, "x", func(ctx context.Context) error {
			left = e.under(ctx, c, "x") // this nested hold lasts longer than the body
			return nil
		})
		if !errors.Is(err, redislock.ErrOrder) {
			e.Errorf("a body that leaves a handle behind: %v", err)
		}
		e.refused(other, "x")
		e.release(left) // the last one gives the hold back
		e.release(e.acquire(other, "x", trying))
		e.untouched("x")
	})
}

func TestCloseWaitsForNestedHandles(t *testing.T) {
	both(t, func(e *env) {
		c, err := redislock.New(e.connect())
		if err != nil {
			e.Fatal(err)
		}
		outer := e.acquire(c, "x")
		inner := e.under(outer.Context(), c, "x")
		closed := make(chan error, 1)
		go func() { closed <- c.Close(context.Background()) }()
		<-inner.Context().Done()
		if cause := context.Cause(inner.Context()); !errors.Is(cause, redislock.ErrClosed) {
			e.Errorf("the nested context ended with %v", cause)
		}
		e.release(inner)
		select {
		case err := <-closed:
			e.Errorf("Close did not wait for the hold: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		e.release(outer)
		if err := <-closed; err != nil {
			e.Error(err)
		}
		e.untouched("x")
	})
}

func TestManyGoroutinesNestInOneHold(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		outer := e.acquire(c, "x")
		done := make(chan bool)
		const goroutines = 20
		for range goroutines {
			go func() {
				defer func() { done <- true }()
				for range 50 {
					a := e.under(outer.Context(), c, "x")
					b := e.under(a.Context(), c, "x")
					e.release(b)
					e.release(a)
				}
			}()
		}
		for range goroutines {
			<-done
		}
		e.release(outer)
		e.untouched("x")
	})
}

// carried are the fences of the locks that a context carries.
func carried(ctx context.Context) (all []string) {
	for _, l := range redislock.LocksFromContext(ctx) {
		all = append(all, l.Name())
	}
	return all
}

func TestAContextNamesAllItsLocksTheInnermostFirst(t *testing.T) {
	t.Parallel()
	client := redislocktest.New(t).Client
	ctx := t.Context()
	if got := carried(ctx); len(got) != 0 {
		t.Errorf("a context without a lock has %q", got)
	}
	err := client.Do(ctx, "outer", func(ctx context.Context) error {
		return client.DoAll(ctx, []string{"b", "a"}, func(ctx context.Context) error {
			if got := carried(ctx); !slices.Equal(got, []string{"a", "b", "outer"}) {
				t.Errorf("under several: %q", got)
			}
			if l, one := redislock.FromContext(ctx); one {
				t.Errorf("several are one lock, %q", l.Name())
			}
			return client.Do(ctx, "inner", func(ctx context.Context) error {
				return client.Do(ctx, "a", func(ctx context.Context) error { // this nests in the held lock
					if got := carried(ctx); !slices.Equal(got, []string{"a", "inner", "b", "outer"}) {
						t.Errorf("nested: %q", got)
					}
					return nil
				})
			})
		})
	})
	if err != nil {
		t.Error(err)
	}
}

func TestALocksOwnContextHasTheLocksItWasTakenUnder(t *testing.T) {
	t.Parallel()
	client := redislocktest.New(t).Client
	outer, err := client.Acquire(t.Context(), "outer")
	if err != nil {
		t.Fatal(err)
	}
	inner, err := client.Acquire(outer.Context(), "inner")
	if err != nil {
		t.Fatal(err)
	}
	if got := carried(inner.Context()); !slices.Equal(got, []string{"inner", "outer"}) {
		t.Errorf("%q", got)
	}
	if got := carried(outer.With(inner.Context())); !slices.Equal(got, []string{"outer", "inner"}) {
		t.Errorf("with the outer one put inside: %q", got)
	}
	for _, l := range []*redislock.Lock{inner, outer} {
		if err := l.Release(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// The lock of Share is internal to the library: FromContext in a fetch returns the lock of its caller.
func TestAFetchHasTheLockOfItsCaller(t *testing.T) {
	t.Parallel()
	client := redislocktest.New(t).Client
	err := client.Do(t.Context(), "account/7", func(ctx context.Context) error {
		_, err := redislock.Share(ctx, client, "rate", time.Minute, func(ctx context.Context) (int, error) {
			if l, ok := redislock.FromContext(ctx); !ok || l.Name() != "account/7" {
				t.Errorf("the innermost lock of the fetch is %v", carried(ctx))
			}
			if got := carried(ctx); !slices.Equal(got, []string{"account/7"}) {
				t.Errorf("the fetch has %q", got)
			}
			return 1, nil
		})
		return err
	})
	if err != nil {
		t.Error(err)
	}
	_, err = redislock.Share(t.Context(), client, "free", time.Minute, func(ctx context.Context) (int, error) {
		if got := carried(ctx); len(got) != 0 {
			t.Errorf("without a caller's lock the fetch has %q", got)
		}
		return 1, nil
	})
	if err != nil {
		t.Error(err)
	}
}
