package redislock_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
)

func TestLockableReleaseTakesTheContextOfItsAcquireOnly(t *testing.T) {
	both(t, func(e *env) {
		c, sent := e.counted()
		m, other := e.meter(c, &meterDial{}), e.meter(e.client(), &meterDial{})
		ctx := m.enter(e.soon())
		before := sent.n.Load()
		m.leaves(e.soon(), redislock.ErrNotHeld, "a context of no acquire")
		other.leaves(ctx, redislock.ErrNotHeld, "by another process")
		namesake := &meter{e: e}
		if err := namesake.Init(c, "another meter"); err != nil {
			e.Error(err)
		}
		namesake.leaves(ctx, redislock.ErrNotHeld, "of another name")
		if sent.n.Load() != before {
			e.Error("a release of what is not held was sent")
		}
		type key struct{}
		child, cancel := context.WithCancel(context.WithValue(ctx, key{}, "of a descendant"))
		defer cancel()
		m.leaves(child, nil, "a descendant")

		// Handles that others took are theirs to release.
		l := e.acquire(c, "meter")
		m.leaves(l.Context(), redislock.ErrNotHeld, "a hold of Client.Acquire")
		if err := l.Err(); err != nil {
			e.Errorf("that one is %v", err)
		}
		e.release(l)
		err := m.Locked(e.soon(), func(ctx context.Context) error {
			m.leaves(ctx, redislock.ErrNotHeld, "a hold of Locked")
			return ctx.Err()
		})
		if err != nil {
			e.Error(err)
		}
		ctx = m.enter(e.soon())
		err = m.Locked(ctx, func(ctx context.Context) error {
			m.leaves(ctx, redislock.ErrOrder, "under Locked")
			return ctx.Err()
		})
		if err != nil {
			e.Error(err)
		}
		m.leaves(ctx, nil, "after Locked")
		e.untouched("meter")
	})
}

func TestLockableReleaseTooOftenIsNotHeldAndHurtsNobody(t *testing.T) {
	both(t, func(e *env) {
		c, sent := e.counted()
		m := e.meter(c, &meterDial{})
		outer := m.enter(e.soon())
		inner := m.enter(outer)
		innermost := m.enter(inner)
		m.leaves(innermost, nil, "the innermost")
		m.leaves(inner, nil, "the inner one")
		before := sent.n.Load()
		m.leaves(innermost, redislock.ErrNotHeld, "the innermost twice")
		m.leaves(inner, redislock.ErrNotHeld, "the inner one twice")
		if ended(outer) {
			e.Error("the release of an inner one released the outer one")
		}
		if sent.n.Load() != before {
			e.Error("a second release was sent")
		}
		m.leaves(outer, nil, "the outer one")
		before = sent.n.Load()
		m.leaves(outer, redislock.ErrNotHeld, "the outer one twice")
		m.leaves(inner, redislock.ErrNotHeld, "the inner one three times")
		if sent.n.Load() != before {
			e.Error("a second release was sent")
		}
		e.untouched("meter")
	})
}

func TestOfSeveralReleasesOfALockableAtATimeOneReleasesIt(t *testing.T) {
	both(t, func(e *env) {
		m := e.meter(e.client(), &meterDial{})
		once := func(what string, ctx context.Context) {
			e.Helper()
			var released atomic.Int32
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					if err := m.Release(ctx); err == nil {
						released.Add(1)
					} else if !errors.Is(err, redislock.ErrNotHeld) {
						e.Error(err)
					}
				})
			}
			all.Wait()
			if n := released.Load(); n != 1 {
				e.Errorf("%s: %d of 4 released it", what, n)
			}
		}
		for range 20 {
			outer := m.enter(e.soon())
			for range 50 {
				once("a nested one", m.enter(outer))
			}
			once("the outermost", outer)
		}
		e.untouched("meter")
	})
}

func TestLockableReleaseOutOfOrderChangesNothing(t *testing.T) {
	both(t, func(e *env) {
		m := e.meter(e.client(), &meterDial{})
		outer := m.enter(e.soon())
		inner := m.enter(outer)
		for range 2 {
			m.leaves(outer, redislock.ErrOrder, "the outer one first")
		}
		if ended(outer) || ended(inner) {
			e.Errorf("a release out of order ended %v, %v", outer.Err(), inner.Err())
		}
		if err := m.addThree(inner); err != nil {
			e.Error(err)
		}
		m.leaves(inner, nil, "the inner one")
		m.leaves(outer, nil, "then the outer one")
		e.untouched("meter")
	})
}

func TestLockableReleaseAfterALossSaysSo(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c, operator := e.client(), e.client()
		m := e.meter(c, &meterDial{})
		outer := m.enter(ctx)
		inner := m.enter(outer)
		if _, err := operator.Break(ctx, "meter", "node-3 is on fire"); err != nil {
			e.Fatal(err)
		}
		<-outer.Done()
		<-inner.Done()
		for _, ctx := range []context.Context{outer, inner} {
			if cause := context.Cause(ctx); !errors.Is(cause, redislock.ErrStolen) {
				e.Errorf("the context ended with %v", cause)
			}
		}
		again := m.enter(context.WithoutCancel(inner)) // the hold is gone, so this is another one
		for _, lost := range []context.Context{outer, inner} {
			err := m.Release(lost)
			if !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrStolen) || !strings.Contains(err.Error(), "node-3 is on fire") {
				e.Errorf("the release of what was lost: %v", err)
			}
			m.leaves(lost, redislock.ErrNotHeld, "twice")
		}
		if ended(again) {
			e.Error("the release of what was lost took the lock from its owner")
		}
		m.leaves(again, nil, "the next hold")
		e.untouched("meter")

		err := m.Locked(ctx, func(ctx context.Context) error {
			_, err := operator.Break(ctx, "meter", "again")
			<-ctx.Done()
			return err
		})
		if !errors.Is(err, redislock.ErrLost) {
			e.Errorf("Locked, of a lock that was lost: %v", err)
		}
	})
}

func TestALockableBeforeItsInitIsRefused(t *testing.T) {
	ctx := context.Background()
	var m meter
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, redislock.ErrInvalid) || !strings.Contains(err.Error(), "Init") {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("Locked", m.Locked(ctx, func(context.Context) error { t.Error("ran"); return nil }))
	_, err := m.Acquire(ctx)
	refused("Acquire", err)
	refused("Release", m.Release(ctx))
}

func TestALockablesBadInputIsRefusedBeforeAnythingIsSent(t *testing.T) {
	both(t, func(e *env) {
		c, sent := e.counted()
		var m meter
		refused := func(names string, err error) {
			e.Helper()
			if !errors.Is(err, redislock.ErrInvalid) || !strings.Contains(err.Error(), names) {
				e.Errorf("%q: %v", names, err)
			}
		}
		refused("nil Client", m.Init(nil, "meter"))
		refused("empty name", m.Init(c, ""))
		refused("name of 513 bytes", m.Init(c, strings.Repeat("n", redislock.MaxName+1)))
		refused("nil Option", m.Init(c, "meter", nil))
		refused("WithLease(1ms)", m.Init(c, "meter", redislock.WithLease(time.Millisecond)))
		refused("WithFailOpen", m.Init(c, "meter", redislock.WithFailOpen()))
		refused("clock margin", m.Init(e.client(redislock.WithClockMargin(time.Second)), "meter", redislock.WithLease(time.Second)))
		refused("WithWeight(2)", m.Init(c, "meter", redislock.WithWeight(2)))

		closed := e.client()
		if err := errors.Join(closed.Close(e.soon()), m.Init(closed, "meter")); !errors.Is(err, redislock.ErrClosed) {
			e.Errorf("a closed Client: %v", err)
		}

		refused("Init", m.Release(e.soon())) // what failed changed nothing
		if err := m.Init(c, "meter"); err != nil {
			e.Fatal(err)
		}
		refused("second Init", m.Init(c, "another meter"))
		var none context.Context
		refused("nil context", m.Release(none))
		refused("nil context", m.Locked(none, func(context.Context) error { return nil }))
		refused("nil function", m.Locked(e.soon(), nil))
		_, err := m.Acquire(none)
		refused("nil context", err)
		_, err = m.Acquire(e.soon(), redislock.WithWait(-1))
		refused("WithWait(-1ns)", err)
		if n := sent.n.Load(); n > 0 {
			e.Errorf("%d requests were sent", n)
		}
	})
}

func TestANonReentrantLockableIsADeadlockAtOnce(t *testing.T) {
	both(t, func(e *env) {
		m := e.meter(e.client(), &meterDial{}, redislock.NonReentrant())
		if err := m.addTwo(e.soon()); !errors.Is(err, redislock.ErrDeadlock) || m.total != 0 {
			e.Errorf("a method that calls another: %v, %d bodies ran", err, m.total)
		}
		ctx := m.enter(e.soon())
		if nested, err := m.Acquire(ctx); !errors.Is(err, redislock.ErrDeadlock) || nested != nil {
			e.Errorf("a nested acquire: %v, %v", nested, err)
		}
		m.leaves(ctx, nil, "after it")
		e.untouched("meter")
	})
}

func TestALockablesOptionsAreDefaultsOfItsAcquires(t *testing.T) {
	both(t, func(e *env) {
		opts := []redislock.Option{redislock.WithMode(redislock.Read), redislock.WithMetadata("default")}
		m := e.meter(e.client(), &meterDial{}, opts...)
		opts[0] = redislock.WithMode(redislock.Write) // the Lockable has its own copy
		shared := m.enter(e.soon())
		if _, err := m.Acquire(shared, redislock.WithMode(redislock.Write)); !errors.Is(err, redislock.ErrDeadlock) {
			e.Errorf("more than the hold gives: %v", err)
		}
		beside := m.enter(e.soon(), redislock.WithWait(0), redislock.WithMetadata("beside"))
		info, err := e.client().Inspect(context.Background(), "meter")
		if err != nil || info.Holders != 2 || info.Holds[0].Owner.Metadata != "default" || info.Holds[1].Owner.Metadata != "beside" {
			e.Errorf("%+v, %v", info, err)
		}
		m.leaves(shared, nil, "the first reader")
		err = m.Locked(e.soon(), func(context.Context) error { return nil }, redislock.WithMode(redislock.Write), redislock.WithWait(0))
		if !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("a writer beside a reader: %v", err)
		}
		m.leaves(beside, nil, "the second reader")
		e.untouched("meter")
	})
}
