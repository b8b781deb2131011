package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

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

// taken fails unless each of the locks is held, as seen by the Client of another process.
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

// names are the names of the locks in the events of a kind, in their order.
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
			e.Errorf("the caller's list became %v", given)
		}
		sorted := []string{"a", "b", "c"}
		if got := all.Names(); !slices.Equal(got, sorted) {
			e.Errorf("the names are %v", got)
		}
		all.Names()[0] = "z"
		if got := all.Names(); !slices.Equal(got, sorted) {
			e.Errorf("the handle lent its own list: %v", got)
		}
		if got := seen.names(redislock.EventGranted); !slices.Equal(got, sorted) {
			e.Errorf("taken in the order %v", got)
		}
		e.taken(other, sorted...)
		fences := all.Fences()
		if got := slices.Sorted(maps.Keys(fences)); !slices.Equal(got, sorted) {
			e.Errorf("fences of %v", got)
		}
		for _, name := range sorted {
			info, err := other.Inspect(ctx, name)
			if err != nil {
				e.Fatal(err)
			}
			if fences[name] != info.Fence || all.Fence(name) != info.Fence || info.Fence == 0 {
				e.Errorf("%s: fence %d, in the map %d, on the server %d", name, all.Fence(name), fences[name], info.Fence)
			}
		}
		if f := all.Fence("z"); f != 0 {
			e.Errorf("a lock that is not among them has the fence %d", f)
		}
		if all.Err() != nil || ended(all.Context()) {
			e.Errorf("held, and Err is %v", all.Err())
		}

		if err := all.Release(ctx); err != nil {
			e.Error(err)
		}
		if got := seen.names(redislock.EventReleased); !slices.Equal(got, []string{"c", "b", "a"}) {
			e.Errorf("given back in the order %v", got)
		}
		if cause := context.Cause(all.Context()); cause != redislock.ErrReleased || all.Err() != cause {
			e.Errorf("released, and it ended with %v, Err is %v", cause, all.Err())
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
			e.Fatalf("got %v", err)
		}
		if e.real == nil && time.Since(before) != 0 {
			e.Errorf("WithWait(0) waited for %v", time.Since(before))
		}
		if held, ok := errors.AsType[*redislock.HeldError](err); !ok || held.Holder.Client != "holder" || !strings.Contains(err.Error(), `acquire all "b"`) {
			e.Errorf("the error does not say which lock is held by whom: %v", err)
		}
		e.untouched("a") // it was given back before AcquireAll returned
		e.untouched("c")
		info, err := other.Inspect(ctx, "b")
		if err != nil || info.Waiting != 0 || info.Holders != 1 {
			e.Errorf("on b: %+v, %v", info, err)
		}
		e.release(l)
		if err := e.all(ctx, c, []string{"c", "b", "a"}, redislock.WithWait(0)).Release(ctx); err != nil {
			e.Error(err)
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
			took time.Duration // how long the acquire takes; 0: it is refused at the end of its wait
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
					e.Errorf("%+v: after %v: %v", tc, took, err)
				}
				if err == nil {
					_ = all.Release(ctx)
				}
			} else if !errors.Is(err, redislock.ErrHeld) || errors.Is(err, context.DeadlineExceeded) || took != tc.wait {
				e.Errorf("%+v: after %v: %v", tc, took, err)
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
				e.Errorf("%v: got %v", cause, err)
			}
			e.untouched("a")
			e.queued(other, "b", 0)
			if _, err := c.AcquireAll(ctx, []string{"a", "c"}); !errors.Is(err, cause) || errors.Is(err, redislock.ErrHeld) {
				e.Errorf("%v: a context that has ended: %v", cause, err)
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
							e.Errorf("%d users of %s", n, names[i])
						}
					}
					time.Sleep(time.Duration(random.IntN(500)) * time.Microsecond)
					for _, i := range order {
						users[i].Add(-1)
					}
					if err := all.Release(context.Background()); err != nil {
						e.Error(err)
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
			e.Fatal(err)
		}
		e.ends(all.Context())
		e.ends(work)
		for _, err := range []error{context.Cause(all.Context()), context.Cause(work), all.Err()} {
			if !errors.Is(err, redislock.ErrStolen) || !strings.Contains(err.Error(), `"b"`) || !strings.Contains(err.Error(), "node-3 is on fire") {
				e.Errorf("it ended with %v", err)
			}
		}
		e.taken(other, "a", "c")

		err := all.Release(ctx)
		if !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrStolen) || !strings.Contains(err.Error(), `"b"`) {
			e.Errorf("Release of what was lost in part: %v", err)
		}
		if text := err.Error(); strings.Contains(text, `"a"`) || strings.Contains(text, `"c"`) {
			e.Errorf("Release blames others: %v", err)
		}
		if err := all.Err(); !errors.Is(err, redislock.ErrStolen) {
			e.Errorf("after the release Err is %v", err)
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
			e.Errorf("I7: it ended after %v", held)
		}
		if err := context.Cause(all.Context()); !errors.Is(err, redislock.ErrLost) || errors.Is(err, redislock.ErrStolen) {
			e.Errorf("it ended with %v", err)
		}
		if err := all.Release(ctx); !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrLost) {
			e.Errorf("Release: %v", err)
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
			e.Errorf("lost too early: %v", err)
		}
		time.Sleep(time.Millisecond) // to the very instant: no timer may have run yet
		if err := all.Err(); !errors.Is(err, redislock.ErrLost) || !ended(all.Context()) {
			e.Errorf("within the clock margin: %v", err)
		}
		_ = all.Release(ctx)

		all = e.all(ctx, c, []string{"a", "b"}, redislock.WithLease(time.Second), redislock.WithoutRenewal())
		time.Sleep(949 * time.Millisecond)
		released := all.Release(ctx)
		if err := all.Err(); !errors.Is(err, redislock.ErrLost) || !errors.Is(released, redislock.ErrNotHeld) {
			e.Errorf("released at that instant: %v, and it ended with %v", released, err)
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
			e.Fatal(err)
		}
		if err := <-got; !errors.Is(err, redislock.ErrStolen) || errors.Is(err, redislock.ErrHeld) || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), `"a"`) {
			e.Errorf("broken while another was waited for: %v", err)
		}
		e.untouched("a")
		e.queued(other, "b", 0)

		start := time.Now()
		_, err := c.AcquireAll(ctx, []string{"a", "b"}, redislock.WithLease(300*time.Millisecond), redislock.WithoutRenewal())
		if !errors.Is(err, redislock.ErrLost) || errors.Is(err, redislock.ErrHeld) {
			e.Errorf("run out while another was waited for: %v", err)
		}
		if took := time.Since(start); e.mini != nil && took > time.Second {
			e.Errorf("that took %v", took)
		}
		e.release(l)
		e.untouched("a")
		e.untouched("b")
	})
}

// One is granted at about the time when the lease of the other runs out. The steps also meet the same instant.
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
						e.Errorf("offset %v: returned although %v", offset, err)
					}
					_ = all.Release(ctx)
				} else if !errors.Is(err, redislock.ErrLost) {
					e.Errorf("offset %v: %v", offset, err)
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

func TestAllCarryTheirHoldsForNestedAcquires(t *testing.T) {
	both(t, func(e *env) {
		ctx, cancel := context.WithCancel(context.WithValue(context.Background(), requestKey{}, "request"))
		c, other := e.client(), e.client()
		all, err := c.AcquireAll(ctx, []string{"a", "b", "c"})
		if err != nil {
			e.Fatal(err)
		}
		cancel()
		if all.Context().Value(requestKey{}) != "request" || ended(all.Context()) {
			e.Errorf("the context has the value %v, and ended is %v", all.Context().Value(requestKey{}), ended(all.Context()))
		}

		for _, under := range []context.Context{all.Context(), all.With(context.Background())} {
			for _, name := range all.Names() {
				inner, err := c.Acquire(under, name, redislock.WithWait(0))
				if err != nil {
					e.Fatal(err)
				}
				if inner.Fence() != all.Fence(name) {
					e.Errorf("%s: not the same hold", name)
				}
				if err := all.Release(context.Background()); !errors.Is(err, redislock.ErrOrder) || !strings.Contains(err.Error(), name) {
					e.Errorf("Release while a handle of %s is nested: %v", name, err)
				}
				if all.Err() != nil {
					e.Errorf("a release that was refused changed something: %v", all.Err())
				}
				e.release(inner)
			}
		}
		e.taken(other, "a", "b", "c")
		if _, err := other.TryAcquire(all.Context(), "a"); !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("another Client under the same context: %v", err)
		}

		inner := e.all(all.Context(), c, []string{"b", "c", "d"}, redislock.WithWait(0))
		if inner.Fence("b") != all.Fence("b") || inner.Fence("d") == 0 {
			e.Errorf("nested: %v in %v", inner.Fences(), all.Fences())
		}
		e.taken(other, "d")
		if err := inner.Release(context.Background()); err != nil {
			e.Error(err)
		}
		e.untouched("d")
		e.taken(other, "a", "b", "c")

		deep, err := c.Acquire(all.Context(), "a")
		if err != nil {
			e.Fatal(err)
		}
		lost, err := c.Acquire(all.Context(), "c")
		if err != nil {
			e.Fatal(err)
		}
		if _, err := other.Break(context.Background(), "c", "test"); err != nil {
			e.Fatal(err)
		}
		e.ends(all.Context())
		if deep.Err() != nil {
			e.Errorf("the loss of c ended a handle of a: %v", deep.Err())
		}
		if err := all.Release(context.Background()); !errors.Is(err, redislock.ErrOrder) {
			e.Errorf("Release while a handle of a is nested: %v", err)
		}
		e.release(deep)
		if err := all.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) || errors.Is(err, redislock.ErrOrder) {
			e.Errorf("Release while one is nested in what was lost: %v", err)
		}
		_ = lost.Release(context.Background())
		for _, name := range []string{"a", "b", "c"} {
			e.untouched(name)
		}
	})
}

func TestAllNestUnderAHoldOfOneOfThem(t *testing.T) {
	both(t, func(e *env) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		c, other := e.client(), e.client()
		l := e.acquire(c, "b")
		all := e.all(l.Context(), c, []string{"a", "b", "c"})
		if all.Fence("b") != l.Fence() {
			e.Errorf("b has the fence %d, its hold %d", all.Fence("b"), l.Fence())
		}
		if err := l.Release(ctx); !errors.Is(err, redislock.ErrOrder) {
			e.Errorf("a release around them: %v", err)
		}
		if err := all.Release(ctx); err != nil {
			e.Error(err)
		}
		e.untouched("a")
		e.untouched("c")
		e.taken(other, "b")
		if err := l.Err(); err != nil {
			e.Errorf("the hold around them: %v", err)
		}

		// The outer hold is lost while the inner locks are waited for, and when they are held.
		busy := e.acquire(other, "c")
		got := make(chan error)
		go func() {
			carries, cancel := context.WithTimeout(context.WithoutCancel(l.Context()), time.Minute) // the context carries the hold, but does not end with it
			defer cancel()
			_, err := c.AcquireAll(carries, []string{"a", "b", "c"})
			got <- err
		}()
		e.queued(other, "c", 1)
		if _, err := other.Break(ctx, "b", "test"); err != nil {
			e.Fatal(err)
		}
		if err := <-got; !errors.Is(err, redislock.ErrStolen) {
			e.Errorf("got %v", err)
		}
		e.release(busy)
		_ = l.Release(ctx)
		l = e.acquire(c, "b")
		all = e.all(l.Context(), c, []string{"a", "b"})
		if _, err := other.Break(ctx, "b", "test"); err != nil {
			e.Fatal(err)
		}
		e.ends(all.Context())
		if err := all.Release(ctx); !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrStolen) {
			e.Errorf("Release: %v", err)
		}
		_ = l.Release(ctx)
		e.untouched("a")
		e.untouched("b")
	})
}

func TestAllAreADeadlockAtOnceIfOneCanNeverBe(t *testing.T) {
	both(t, func(e *env) {
		var seen recorder
		c, other := e.client(redislock.WithObserver(&seen)), e.client()
		busy := e.acquire(other, "a")
		l := e.acquire(c, "b", redislock.WithMode(redislock.Read))
		for _, opt := range []redislock.Option{redislock.NonReentrant(), redislock.WithMode(redislock.Write)} {
			all, err := c.AcquireAll(l.Context(), []string{"a", "b"}, opt, redislock.WithWait(time.Minute)) // it waits for a, which comes first
			if all != nil || !errors.Is(err, redislock.ErrDeadlock) || !strings.Contains(err.Error(), `"b"`) {
				e.Errorf("got %v", err)
			}
		}
		if asked := seen.names(redislock.EventAsked); !slices.Equal(asked, []string{"b"}) {
			e.Errorf("asked for %v", asked)
		}
		e.release(l)
		e.release(busy)
	})
}

func TestASecondReleaseOfAllHasTheSameAnswer(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c, other := e.client(), e.client()
		l := e.acquire(c, "b")
		all := e.all(l.Context(), c, []string{"a", "b", "c"})
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := all.Release(cancelled); err != nil {
					e.Error(err)
				}
			})
		}
		wg.Wait()
		e.untouched("a")
		e.untouched("c")
		e.release(l)

		all = e.all(ctx, c, []string{"a", "b"})
		if _, err := other.Break(ctx, "a", "test"); err != nil {
			e.Fatal(err)
		}
		e.ends(all.Context())
		first := all.Release(ctx)
		next := e.acquire(other, "b")
		if second := all.Release(ctx); !errors.Is(first, redislock.ErrNotHeld) || second != first {
			e.Errorf("first %v, then %v", first, second)
		}
		if next.Err() != nil {
			e.Errorf("a second release took it from its owner: %v", next.Err())
		}
		e.release(next)
	})
}

func TestASecondReleaseOfAllSendsNothing(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		all := e.all(context.Background(), e.client(), []string{"a", "b", "c"})
		for _, sends := range []bool{true, false} {
			start := time.Now()
			if err := all.Release(context.Background()); err != nil || time.Now().After(start) != sends {
				e.Errorf("after %v: %v", time.Since(start), err)
			}
		}
	})
}

func TestReleaseOfAllIsBoundedWhereRedisDoesNotAnswer(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, n *fakenet.Network) {
		c := e.client()
		var names []string
		for i := range 40 {
			names = append(names, fmt.Sprintf("n%02d", i))
		}
		all := e.all(context.Background(), c, names)
		n.Cut()
		start := time.Now()
		err := all.Release(context.Background())
		one := 10 * time.Second // a request is sent again for 5 s, and the last attempt may dial for 5 s
		if took := time.Since(start); err == nil || took > 2*one+time.Second {
			e.Errorf("after %v: %v", took, err)
		}
		if lines := strings.Split(err.Error(), "\n"); len(lines) != len(names) {
			e.Errorf("%d of %d are reported", len(lines), len(names))
		}
		n.Mend()
		for _, name := range names { // in the background
			e.untouched(name)
		}
	})
}

func TestCloseEndsAllButTakesNothingAway(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c, other := e.client(), e.client()
		busy := e.acquire(other, "c")
		waiting := make(chan error)
		go func() {
			_, err := c.AcquireAll(ctx, []string{"c", "b"})
			waiting <- err
		}()
		e.queued(other, "c", 1)
		all := e.all(ctx, c, []string{"d", "e"})

		closed := make(chan error)
		go func() { closed <- c.Close(ctx) }()
		if err := <-waiting; !errors.Is(err, redislock.ErrClosed) || errors.Is(err, redislock.ErrHeld) {
			e.Errorf("who waited got %v", err)
		}
		e.ends(all.Context())
		if err := all.Err(); !errors.Is(err, redislock.ErrClosed) {
			e.Errorf("it ended with %v", err)
		}
		e.taken(other, "d", "e")
		select {
		case err := <-closed:
			e.Errorf("Close returned before the release: %v", err)
		default:
		}
		if err := all.Release(ctx); err != nil {
			e.Errorf("the release of locks whose Client closes: %v", err)
		}
		if err := <-closed; err != nil {
			e.Error(err)
		}
		if _, err := c.AcquireAll(ctx, []string{"f"}); !errors.Is(err, redislock.ErrClosed) {
			e.Errorf("after Close: %v", err)
		}
		e.release(busy)
		for _, name := range []string{"b", "c", "d", "e"} {
			e.untouched(name)
		}
	})
}

func TestAllIsInvalidBeforeAnythingIsSent(t *testing.T) {
	// Nobody answers at this address: if anything were sent, the error would not be ErrInvalid.
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", DialerRetries: 1, DialTimeout: time.Second})
	defer rdb.Close()
	c, err := redislock.New(rdb, redislock.WithClockMargin(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	var none context.Context
	ctx := context.Background()
	one := []string{"a"}
	for what, try := range map[string]func() (*redislock.Locks, error){
		"no names":          func() (*redislock.Locks, error) { return c.AcquireAll(ctx, nil) },
		"an empty list":     func() (*redislock.Locks, error) { return c.AcquireAll(ctx, []string{}) },
		"an empty name":     func() (*redislock.Locks, error) { return c.AcquireAll(ctx, []string{"a", ""}) },
		"a long name":       func() (*redislock.Locks, error) { return c.AcquireAll(ctx, []string{"a", strings.Repeat("x", 513)}) },
		"no context":        func() (*redislock.Locks, error) { return c.AcquireAll(none, one) },
		"a bad option":      func() (*redislock.Locks, error) { return c.AcquireAll(ctx, one, redislock.WithWait(-1)) },
		"a nil option":      func() (*redislock.Locks, error) { return c.AcquireAll(ctx, one, nil) },
		"fail-open":         func() (*redislock.Locks, error) { return c.AcquireAll(ctx, one, redislock.WithFailOpen()) },
		"a lease of no use": func() (*redislock.Locks, error) { return c.AcquireAll(ctx, one, redislock.WithLease(time.Second)) },
		"a nil function":    func() (*redislock.Locks, error) { return nil, c.DoAll(ctx, one, nil) },
		"no names to do under": func() (*redislock.Locks, error) {
			return nil, c.DoAll(ctx, nil, func(context.Context) error { return nil })
		},
	} {
		all, err := try()
		if all != nil || !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		} else {
			t.Log(err)
		}
	}
}

func TestDoAllRunsUnderAllAndReportsALoss(t *testing.T) {
	both(t, func(e *env) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		c, other := e.client(), e.client()
		names := []string{"b", "a"}
		mine := errors.New("mine")
		if err := c.DoAll(ctx, names, func(ctx context.Context) error {
			e.taken(other, names...)
			inner, err := c.Acquire(ctx, "a", redislock.WithWait(0))
			if err != nil {
				return err
			}
			return errors.Join(mine, inner.Release(ctx))
		}); err == nil || err.Error() != mine.Error() {
			e.Errorf("fn's own error: %v", err)
		}
		e.untouched("a")
		e.untouched("b")

		err := c.DoAll(ctx, names, func(ctx context.Context) error {
			if _, err := other.Break(context.WithoutCancel(ctx), "b", "test"); err != nil {
				return err
			}
			e.ends(ctx)
			return mine
		})
		if !errors.Is(err, mine) || !errors.Is(err, redislock.ErrLost) || !errors.Is(err, redislock.ErrNotHeld) || !strings.Contains(err.Error(), `"b"`) {
			e.Errorf("a loss: %v", err)
		}
		if strings.Contains(err.Error(), "\n") {
			e.Errorf("a loss, and fn's own error, are said on several lines: %v", err)
		}
		err = c.DoAll(ctx, names, func(context.Context) error { // nobody has told the holder
			e.raw.Del(ctx, "redislock:{a}")
			return nil
		})
		if !errors.Is(err, redislock.ErrLost) || !errors.Is(err, redislock.ErrNotHeld) {
			e.Errorf("a loss that nobody noticed: %v", err)
		}

		request, cancel := context.WithCancel(ctx)
		err = c.DoAll(request, names, func(ctx context.Context) error {
			cancel()
			e.ends(ctx)
			return context.Cause(ctx)
		})
		if !errors.Is(err, context.Canceled) || errors.Is(err, redislock.ErrLost) {
			e.Errorf("a request that ended: %v", err)
		}

		l := e.acquire(other, "b")
		ran := false
		err = c.DoAll(ctx, names, func(context.Context) error { ran = true; return nil }, redislock.WithWait(0))
		if ran || !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("I10: ran %v, %v", ran, err)
		}
		e.release(l)

		func() {
			defer func() { _ = recover() }()
			_ = c.DoAll(ctx, names, func(context.Context) error { panic("test") })
		}()
		var inner *redislock.Lock
		err = c.DoAll(ctx, names, func(ctx context.Context) (err error) {
			inner, err = c.Acquire(ctx, "a")
			return err
		})
		if !errors.Is(err, redislock.ErrOrder) {
			e.Errorf("a nested handle that was left: %v", err)
		}
		e.untouched("b")
		e.taken(other, "a")
		e.release(inner)
		e.untouched("a")
	})
}
