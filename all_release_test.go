package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

func TestAllCarryTheirHoldsForNestedAcquires(t *testing.T) {
	both(t, func(e *env) {
		ctx, cancel := context.WithCancel(context.WithValue(context.Background(), requestKey{}, "request"))
		c, other := e.client(), e.client()
		all, err := c.AcquireAll(ctx, []string{"a", "b", "c"})
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if all.Context().Value(requestKey{}) != "request" || ended(all.Context()) {
			t.Errorf("the context has the value %v, and ended is %v", all.Context().Value(requestKey{}), ended(all.Context()))
		}

		for _, under := range []context.Context{all.Context(), all.With(context.Background())} {
			for _, name := range all.Names() {
				inner, err := c.Acquire(under, name, redislock.WithWait(0))
				if err != nil {
					t.Fatal(err)
				}
				if inner.Fence() != all.Fence(name) {
					t.Errorf("%s: not the same hold", name)
				}
				if err := all.Release(context.Background()); !errors.Is(err, redislock.ErrOrder) || !strings.Contains(err.Error(), name) {
					t.Errorf("Release while a handle of %s is nested: %v", name, err)
				}
				if all.Err() != nil {
					t.Errorf("a release that was refused changed something: %v", all.Err())
				}
				e.release(inner)
			}
		}
		e.taken(other, "a", "b", "c")
		if _, err := other.TryAcquire(all.Context(), "a"); !errors.Is(err, redislock.ErrHeld) {
			t.Errorf("another Client under the same context: %v", err)
		}

		inner := e.all(all.Context(), c, []string{"b", "c", "d"}, redislock.WithWait(0))
		if inner.Fence("b") != all.Fence("b") || inner.Fence("d") == 0 {
			t.Errorf("nested: %v in %v", inner.Fences(), all.Fences())
		}
		e.taken(other, "d")
		if err := inner.Release(context.Background()); err != nil {
			t.Error(err)
		}
		e.untouched("d")
		e.taken(other, "a", "b", "c")

		deep, err := c.Acquire(all.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		lost, err := c.Acquire(all.Context(), "c")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Break(context.Background(), "c", "test"); err != nil {
			t.Fatal(err)
		}
		e.ends(all.Context())
		if deep.Err() != nil {
			t.Errorf("the loss of c ended a handle of a: %v", deep.Err())
		}
		if err := all.Release(context.Background()); !errors.Is(err, redislock.ErrOrder) {
			t.Errorf("Release while a handle of a is nested: %v", err)
		}
		e.release(deep)
		if err := all.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) || errors.Is(err, redislock.ErrOrder) {
			t.Errorf("Release while one is nested in what was lost: %v", err)
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
			t.Errorf("b has the fence %d, its hold %d", all.Fence("b"), l.Fence())
		}
		if err := l.Release(ctx); !errors.Is(err, redislock.ErrOrder) {
			t.Errorf("a release around them: %v", err)
		}
		if err := all.Release(ctx); err != nil {
			t.Error(err)
		}
		e.untouched("a")
		e.untouched("c")
		e.taken(other, "b")
		if err := l.Err(); err != nil {
			t.Errorf("the hold around them: %v", err)
		}

		// The hold around them is lost while they are waited for, and when they are held.
		busy := e.acquire(other, "c")
		got := make(chan error)
		go func() {
			carries, cancel := context.WithTimeout(context.WithoutCancel(l.Context()), time.Minute) // but does not end with it
			defer cancel()
			_, err := c.AcquireAll(carries, []string{"a", "b", "c"})
			got <- err
		}()
		e.queued(other, "c", 1)
		if _, err := other.Break(ctx, "b", "test"); err != nil {
			t.Fatal(err)
		}
		if err := <-got; !errors.Is(err, redislock.ErrStolen) {
			t.Errorf("got %v", err)
		}
		e.release(busy)
		_ = l.Release(ctx)
		l = e.acquire(c, "b")
		all = e.all(l.Context(), c, []string{"a", "b"})
		if _, err := other.Break(ctx, "b", "test"); err != nil {
			t.Fatal(err)
		}
		e.ends(all.Context())
		if err := all.Release(ctx); !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrStolen) {
			t.Errorf("Release: %v", err)
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
			all, err := c.AcquireAll(l.Context(), []string{"a", "b"}, opt, redislock.WithWait(time.Minute)) // for a, which comes first
			if all != nil || !errors.Is(err, redislock.ErrDeadlock) || !strings.Contains(err.Error(), `"b"`) {
				t.Errorf("got %v", err)
			}
		}
		if asked := seen.names(redislock.EventAsked); !slices.Equal(asked, []string{"b"}) {
			t.Errorf("asked for %v", asked)
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
					t.Error(err)
				}
			})
		}
		wg.Wait()
		e.untouched("a")
		e.untouched("c")
		e.release(l)

		all = e.all(ctx, c, []string{"a", "b"})
		if _, err := other.Break(ctx, "a", "test"); err != nil {
			t.Fatal(err)
		}
		e.ends(all.Context())
		first := all.Release(ctx)
		next := e.acquire(other, "b")
		if second := all.Release(ctx); !errors.Is(first, redislock.ErrNotHeld) || second != first {
			t.Errorf("first %v, then %v", first, second)
		}
		if next.Err() != nil {
			t.Errorf("a second release took it from its owner: %v", next.Err())
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
				t.Errorf("after %v: %v", time.Since(start), err)
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
		one := 10 * time.Second // it is sent again for 5 s, and the last attempt may dial for 5 s
		if took := time.Since(start); err == nil || took > 2*one+time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		if lines := strings.Split(err.Error(), "\n"); len(lines) != len(names) {
			t.Errorf("%d of %d are reported", len(lines), len(names))
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
			t.Errorf("who waited got %v", err)
		}
		e.ends(all.Context())
		if err := all.Err(); !errors.Is(err, redislock.ErrClosed) {
			t.Errorf("it ended with %v", err)
		}
		e.taken(other, "d", "e")
		select {
		case err := <-closed:
			t.Errorf("Close returned before the release: %v", err)
		default:
		}
		if err := all.Release(ctx); err != nil {
			t.Errorf("the release of locks whose Client closes: %v", err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if _, err := c.AcquireAll(ctx, []string{"f"}); !errors.Is(err, redislock.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		e.release(busy)
		for _, name := range []string{"b", "c", "d", "e"} {
			e.untouched(name)
		}
	})
}

func TestAllIsInvalidBeforeAnythingIsSent(t *testing.T) {
	// Nobody answers at this address: what is sent is another error than ErrInvalid.
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
			t.Errorf("fn's own error: %v", err)
		}
		e.untouched("a")
		e.untouched("b")

		err := c.DoAll(ctx, names, func(ctx context.Context) error {
			if _, err := other.Break(ctx, "b", "test"); err != nil {
				return err
			}
			e.ends(ctx)
			return nil
		})
		if !errors.Is(err, redislock.ErrLost) || !errors.Is(err, redislock.ErrNotHeld) || !strings.Contains(err.Error(), `"b"`) {
			t.Errorf("a loss: %v", err)
		}
		err = c.DoAll(ctx, names, func(context.Context) error { // nobody has told the holder
			e.raw.Del(ctx, "redislock:{a}")
			return nil
		})
		if !errors.Is(err, redislock.ErrLost) || !errors.Is(err, redislock.ErrNotHeld) {
			t.Errorf("a loss that nobody noticed: %v", err)
		}

		request, cancel := context.WithCancel(ctx)
		err = c.DoAll(request, names, func(ctx context.Context) error {
			cancel()
			e.ends(ctx)
			return context.Cause(ctx)
		})
		if !errors.Is(err, context.Canceled) || errors.Is(err, redislock.ErrLost) {
			t.Errorf("a request that ended: %v", err)
		}

		l := e.acquire(other, "b")
		ran := false
		err = c.DoAll(ctx, names, func(context.Context) error { ran = true; return nil }, redislock.WithWait(0))
		if ran || !errors.Is(err, redislock.ErrHeld) {
			t.Errorf("I10: ran %v, %v", ran, err)
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
			t.Errorf("a nested handle that was left: %v", err)
		}
		e.untouched("b")
		e.taken(other, "a")
		e.release(inner)
		e.untouched("a")
	})
}
