package redislock_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// all takes several locks or ends the goroutine.
func (e *env) all(ctx context.Context, c *redislock.Client, names []string, opts ...redislock.Option) *redislock.Locks {
	e.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	all, err := c.AcquireAll(ctx, names, opts...)
	if err != nil {
		e.stop(err)
	}
	return all
}

// taken fails unless each of the locks is held, as the Client of another process sees it.
func (e *env) taken(c *redislock.Client, names ...string) {
	e.Helper()
	for _, name := range names {
		l, err := c.TryAcquire(context.Background(), name)
		if !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("%s is not held: %v", name, err)
		}
		if err == nil {
			e.release(l)
		}
	}
}

// ends fails the test unless the context ends.
func (e *env) ends(ctx context.Context) {
	e.Helper()
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		e.Fatal("a context has not ended within ten seconds")
	}
}

// names are those of the events of a kind, in their order.
func (r *recorder) names(kind redislock.EventKind) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, e := range r.events {
		if e.Kind == kind {
			names = append(names, e.Name)
		}
	}
	return names
}

func TestAllAreTakenInTheOrderOfTheirNamesAndGivenBackInReverse(t *testing.T) {
	both(t, func(e *env) {
		var seen recorder
		ctx := context.Background()
		c, other := e.client(redislock.WithObserver(&seen)), e.client()
		given := []string{"c", "a", "b", "a", "c"}
		all := e.all(ctx, c, given)
		if want := []string{"c", "a", "b", "a", "c"}; !slices.Equal(given, want) {
			t.Errorf("the caller's list became %v", given)
		}
		sorted := []string{"a", "b", "c"}
		if got := all.Names(); !slices.Equal(got, sorted) {
			t.Errorf("the names are %v", got)
		}
		all.Names()[0] = "z"
		if got := all.Names(); !slices.Equal(got, sorted) {
			t.Errorf("the handle lent its own list: %v", got)
		}
		if got := seen.names(redislock.EventGranted); !slices.Equal(got, sorted) {
			t.Errorf("taken in the order %v", got)
		}
		e.taken(other, sorted...)
		fences := all.Fences()
		if got := slices.Sorted(maps.Keys(fences)); !slices.Equal(got, sorted) {
			t.Errorf("fences of %v", got)
		}
		for _, name := range sorted {
			info, err := other.Inspect(ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			if fences[name] != info.Fence || all.Fence(name) != info.Fence || info.Fence == 0 {
				t.Errorf("%s: fence %d, in the map %d, on the server %d", name, all.Fence(name), fences[name], info.Fence)
			}
		}
		if f := all.Fence("z"); f != 0 {
			t.Errorf("a lock that is not among them has the fence %d", f)
		}
		if all.Err() != nil || ended(all.Context()) {
			t.Errorf("held, and Err is %v", all.Err())
		}

		if err := all.Release(ctx); err != nil {
			t.Error(err)
		}
		if got := seen.names(redislock.EventReleased); !slices.Equal(got, []string{"c", "b", "a"}) {
			t.Errorf("given back in the order %v", got)
		}
		if cause := context.Cause(all.Context()); cause != redislock.ErrReleased || all.Err() != cause {
			t.Errorf("released, and it ended with %v, Err is %v", cause, all.Err())
		}
		for _, name := range sorted {
			e.untouched(name)
		}
	})
}

func TestAllOrNone(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c, other := e.client(redislock.WithName("taker")), e.client(redislock.WithName("holder"))
		l := e.acquire(other, "b")
		before := time.Now()
		all, err := c.AcquireAll(ctx, []string{"c", "b", "a"}, redislock.WithWait(0))
		if all != nil || !errors.Is(err, redislock.ErrHeld) {
			t.Fatalf("got %v", err)
		}
		if e.real == nil && time.Since(before) != 0 {
			t.Errorf("WithWait(0) waited for %v", time.Since(before))
		}
		if held, ok := errors.AsType[*redislock.HeldError](err); !ok || held.Holder.Client != "holder" || !strings.Contains(err.Error(), `acquire all "b"`) {
			t.Errorf("the error does not say which lock is held by whom: %v", err)
		}
		e.untouched("a") // it was given back before AcquireAll returned
		e.untouched("c")
		info, err := other.Inspect(ctx, "b")
		if err != nil || info.Waiting != 0 || info.Holders != 1 {
			t.Errorf("on b: %+v, %v", info, err)
		}
		e.release(l)
		if err := e.all(ctx, c, []string{"c", "b", "a"}, redislock.WithWait(0)).Release(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestWithWaitBoundsTheWholeOfAll(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		c, other := e.client(), e.client()
		e.release(e.acquire(c, "warm"))
		for _, tc := range []struct {
			a, b time.Duration // when they are released
			wait time.Duration
			took time.Duration // 0: refused when the wait is over
		}{
			{a: 1500 * time.Millisecond, b: time.Minute, wait: 2 * time.Second},
			{a: 0, b: time.Minute, wait: 2 * time.Second},
			{a: time.Minute, b: 0, wait: 2 * time.Second},
			{a: 1500 * time.Millisecond, b: 1900 * time.Millisecond, wait: 2 * time.Second, took: 1900 * time.Millisecond},
			{a: 1500 * time.Millisecond, b: 1700 * time.Millisecond, wait: 1600 * time.Millisecond},
		} {
			var rest sync.WaitGroup
			for name, after := range map[string]time.Duration{"a": tc.a, "b": tc.b} {
				l := e.acquire(other, name)
				rest.Go(func() {
					time.Sleep(after)
					e.release(l)
				})
			}
			time.Sleep(time.Nanosecond)
			start := time.Now()
			all, err := c.AcquireAll(ctx, []string{"b", "a"}, redislock.WithWait(tc.wait))
			took := time.Since(start).Round(time.Microsecond)
			if tc.took > 0 {
				if err != nil || took != tc.took {
					t.Errorf("%+v: after %v: %v", tc, took, err)
				}
				if err == nil {
					_ = all.Release(ctx)
				}
			} else if !errors.Is(err, redislock.ErrHeld) || errors.Is(err, context.DeadlineExceeded) || took != tc.wait {
				t.Errorf("%+v: after %v: %v", tc, took, err)
			}
			rest.Wait()
			e.untouched("a")
			e.untouched("b")
		}
	})
}

func TestAllAreGivenBackWhenTheContextEnds(t *testing.T) {
	both(t, func(e *env) {
		var seen recorder
		c, other := e.client(redislock.WithObserver(&seen)), e.client()
		e.warm(c)
		l := e.acquire(other, "b")
		for cause, bounded := range map[error]func() (context.Context, context.CancelFunc){
			context.DeadlineExceeded: func() (context.Context, context.CancelFunc) {
				return context.WithTimeout(context.Background(), 500*time.Millisecond)
			},
			context.Canceled: func() (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(context.Background())
				before := seen.count(redislock.EventQueued)
				go func() {
					e.eventually("it waits", func() bool { return seen.count(redislock.EventQueued) > before })
					cancel()
				}()
				return ctx, cancel
			},
		} {
			ctx, cancel := bounded()
			_, err := c.AcquireAll(ctx, []string{"a", "b", "c"})
			if !errors.Is(err, cause) || !errors.Is(err, redislock.ErrHeld) || errors.Is(err, redislock.ErrLost) || !strings.Contains(err.Error(), `"b"`) {
				t.Errorf("%v: got %v", cause, err)
			}
			e.untouched("a")
			e.queued(other, "b", 0)
			if _, err := c.AcquireAll(ctx, []string{"a", "c"}); !errors.Is(err, cause) || errors.Is(err, redislock.ErrHeld) {
				t.Errorf("%v: a context that has ended: %v", cause, err)
			}
			e.untouched("a")
			cancel()
		}
		e.release(l)
		e.untouched("b")
	})
}

func TestAllInOppositeOrdersDoNotDeadlockAndExclude(t *testing.T) {
	both(t, func(e *env) {
		const workers, rounds = 12, 15
		names := []string{"a", "b", "c", "d"}
		var users [4]atomic.Int32
		clients := []*redislock.Client{e.client(), e.client(), e.client()}
		var wg sync.WaitGroup
		for w := range workers {
			random := rand.New(rand.NewPCG(1, uint64(w)))
			wg.Go(func() {
				for range rounds {
					order := random.Perm(len(names))[:2+random.IntN(3)]
					var wanted []string
					for _, i := range order {
						wanted = append(wanted, names[i])
					}
					all := e.all(context.Background(), clients[w%len(clients)], wanted)
					for _, i := range order {
						if n := users[i].Add(1); n != 1 {
							t.Errorf("%d users of %s", n, names[i])
						}
					}
					time.Sleep(time.Duration(random.IntN(500)) * time.Microsecond)
					for _, i := range order {
						users[i].Add(-1)
					}
					if err := all.Release(context.Background()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for _, name := range names {
			e.untouched(name)
		}
	})
}

func TestAllEndWithTheFirstThatIsLostAndTheOthersAreHeldUntilTheRelease(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c, other := e.client(), e.client()
		all := e.all(ctx, c, []string{"a", "b", "c"})
		request, cancel := context.WithCancel(ctx)
		defer cancel()
		work := all.With(request)
		if _, err := other.Break(ctx, "b", "node-3 is on fire"); err != nil {
			t.Fatal(err)
		}
		e.ends(all.Context())
		e.ends(work)
		for _, err := range []error{context.Cause(all.Context()), context.Cause(work), all.Err()} {
			if !errors.Is(err, redislock.ErrStolen) || !strings.Contains(err.Error(), `"b"`) || !strings.Contains(err.Error(), "node-3 is on fire") {
				t.Errorf("it ended with %v", err)
			}
		}
		e.taken(other, "a", "c")

		err := all.Release(ctx)
		if !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrStolen) || !strings.Contains(err.Error(), `"b"`) {
			t.Errorf("Release of what was lost in part: %v", err)
		}
		if text := err.Error(); strings.Contains(text, `"a"`) || strings.Contains(text, `"c"`) {
			t.Errorf("Release blames others: %v", err)
		}
		if err := all.Err(); !errors.Is(err, redislock.ErrStolen) {
			t.Errorf("after the release Err is %v", err)
		}
		for _, name := range []string{"a", "b", "c"} {
			e.untouched(name)
		}
	})
}

func TestAllEndWithTheLeaseThatRunsOutFirst(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c := e.client()
		start := time.Now()
		all := e.all(ctx, c, []string{"a", "b"}, redislock.WithLease(time.Second), redislock.WithoutRenewal())
		e.ends(all.Context())
		if held := time.Since(start); held > time.Second && e.real == nil {
			t.Errorf("I7: it ended after %v", held)
		}
		if err := context.Cause(all.Context()); !errors.Is(err, redislock.ErrLost) || errors.Is(err, redislock.ErrStolen) {
			t.Errorf("it ended with %v", err)
		}
		if err := all.Release(ctx); !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrLost) {
			t.Errorf("Release: %v", err)
		}
		e.untouched("a")
		e.untouched("b")
	})
}

func TestI6ErrOfAllReadsTheClock(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		c := e.client(redislock.WithClockMargin(50 * time.Millisecond))
		all := e.all(ctx, c, []string{"a", "b"}, redislock.WithLease(time.Second), redislock.WithoutRenewal())
		time.Sleep(948 * time.Millisecond) // a thousandth of the lease comes on top of the margin
		if err := all.Err(); err != nil {
			t.Errorf("lost too early: %v", err)
		}
		time.Sleep(time.Millisecond) // to the very instant: no timer may have run yet
		if err := all.Err(); !errors.Is(err, redislock.ErrLost) || !ended(all.Context()) {
			t.Errorf("within the clock margin: %v", err)
		}
		_ = all.Release(ctx)

		all = e.all(ctx, c, []string{"a", "b"}, redislock.WithLease(time.Second), redislock.WithoutRenewal())
		time.Sleep(949 * time.Millisecond)
		released := all.Release(ctx)
		if err := all.Err(); !errors.Is(err, redislock.ErrLost) || !errors.Is(released, redislock.ErrNotHeld) {
			t.Errorf("released at that instant: %v, and it ended with %v", released, err)
		}
	})
}

func TestAllStopWaitingWhenOneIsLost(t *testing.T) {
	both(t, func(e *env) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		c, other := e.client(), e.client()
		l := e.acquire(other, "b")
		got := make(chan error)
		go func() {
			_, err := c.AcquireAll(ctx, []string{"a", "b", "c"})
			got <- err
		}()
		e.queued(other, "b", 1)
		if _, err := other.Break(ctx, "a", "wrong host"); err != nil {
			t.Fatal(err)
		}
		if err := <-got; !errors.Is(err, redislock.ErrStolen) || errors.Is(err, redislock.ErrHeld) || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), `"a"`) {
			t.Errorf("broken while another was waited for: %v", err)
		}
		e.untouched("a")
		e.queued(other, "b", 0)

		start := time.Now()
		_, err := c.AcquireAll(ctx, []string{"a", "b"}, redislock.WithLease(300*time.Millisecond), redislock.WithoutRenewal())
		if !errors.Is(err, redislock.ErrLost) || errors.Is(err, redislock.ErrHeld) {
			t.Errorf("run out while another was waited for: %v", err)
		}
		if took := time.Since(start); e.mini != nil && took > time.Second {
			t.Errorf("that took %v", took)
		}
		e.release(l)
		e.untouched("a")
		e.untouched("b")
	})
}

// One is granted about when the lease of the other runs out, in steps that meet the very instant.
func TestAllAreHeldWhenTheyAreReturned(t *testing.T) {
	outcomes := map[bool]int{}
	for offset := 289 * time.Millisecond; offset <= 291*time.Millisecond; offset += 100 * time.Microsecond {
		for range 3 {
			embedded(t, 0, func(e *env, _ *fakenet.Network) {
				ctx := context.Background()
				c, other := e.client(), e.client()
				e.release(e.acquire(c, "warm"))
				time.Sleep(100 * time.Millisecond)
				l := e.acquire(other, "b")
				go func() {
					time.Sleep(offset)
					e.release(l)
				}()
				all, err := c.AcquireAll(ctx, []string{"a", "b"}, redislock.WithLease(300*time.Millisecond), redislock.WithoutRenewal())
				outcomes[err == nil]++
				if err == nil {
					if err := all.Err(); err != nil {
						t.Errorf("offset %v: returned although %v", offset, err)
					}
					_ = all.Release(ctx)
				} else if !errors.Is(err, redislock.ErrLost) {
					t.Errorf("offset %v: %v", offset, err)
				}
				e.untouched("a")
				e.untouched("b")
			})
		}
	}
	if len(outcomes) != 2 {
		t.Errorf("the sweep met only %v", outcomes)
	}
}

type requestKey struct{}
