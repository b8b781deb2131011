package redislock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// The pairs of paths that can be locked at once, with the mode of each.
func TestAPathExcludesWhatIsAboveAndBelowAndNothingElse(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		read, try := redislock.WithMode(redislock.Read), redislock.WithWait(0)
		for _, test := range []struct {
			first, second string
			beside        [4]bool // both at once: read and read, read and write, write and read, write and write
		}{
			{"a/b", "a/b", [4]bool{true, false, false, false}},
			{"a/b", "a/b/c", [4]bool{true, false, false, false}},
			{"a/b/c/d", "a", [4]bool{true, false, false, false}},
			{"a/b", "a/x", [4]bool{true, true, true, true}},
			{"a/b", "a/bc", [4]bool{true, true, true, true}},
			{"a/b", "x", [4]bool{true, true, true, true}},
		} {
			for i, beside := range test.beside {
				var first, second []redislock.Option
				if i < 2 {
					first = append(first, read)
				}
				if i%2 == 0 {
					second = append(second, read)
				}
				held, err := a.AcquirePath(ctx, test.first, first...)
				if err != nil {
					e.stop(err)
				}
				other, err := b.AcquirePath(ctx, test.second, append(second, try)...)
				if beside != (err == nil) || err != nil && !errors.Is(err, redislock.ErrHeld) {
					e.Errorf("%q beside %q, %d: %v", test.second, test.first, i, err)
				}
				if err == nil {
					if err := other.Release(ctx); err != nil {
						e.Error(err)
					}
				}
				if err := held.Release(ctx); err != nil {
					e.Error(err)
				}
			}
		}
		if held := append(a.Held(), b.Held()...); len(held) > 0 {
			e.Errorf("left: %v", held)
		}
	})
}

func TestAPathIsAllOrNoneAndReEntersWhatIsHeld(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		e.warm(a, b)
		leaf := e.acquire(a, "a/b/c") // exclusive: it tolerates nobody
		if _, err := b.AcquirePath(ctx, "a/b/c", redislock.WithWait(time.Second)); !errors.Is(err, redislock.ErrHeld) {
			e.Error(err)
		}
		if held := b.Held(); len(held) > 0 {
			e.Errorf("after an error it holds %v", held)
		}
		e.release(leaf)
		outer, err := b.AcquirePath(ctx, "a/b")
		if err != nil {
			e.stop(err)
		}
		inner, err := b.AcquirePath(outer.With(ctx), "a/b/c")
		if err != nil {
			e.stop(err)
		}
		if len(b.Held()) != 3 || inner.Fence("a/b") != outer.Fence("a/b") || inner.Fence("a/b/c") == 0 {
			e.Errorf("%+v", b.Held())
		}
		if err := errors.Join(inner.Release(ctx), outer.Release(ctx)); err != nil {
			e.Error(err)
		}
		for _, bad := range []string{"", "/", "/a", "a/", "a//b"} {
			if _, err := a.AcquirePath(ctx, bad); !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("%q: %v", bad, err)
			}
		}
		for _, bad := range []redislock.Option{redislock.WithMode(redislock.Semaphore(2)), redislock.WithWeight(2), nil} {
			if _, err := a.AcquirePath(ctx, "a", bad); !errors.Is(err, redislock.ErrInvalid) {
				e.Error(err)
			}
		}
		var nothing context.Context
		if _, err := a.AcquirePath(nothing, "a"); !errors.Is(err, redislock.ErrInvalid) {
			e.Error(err)
		}
	})
}

// A path of more than eight names is asked for several names at a time, each in its own mode.
func TestADeepPathIsTakenInTheModesOfAShortOne(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		e.warm(a, b)
		const deep = "a/b/c/d/e/f/g/h/i/j"
		middle := e.acquire(a, "a/b/c/d/e")
		if _, err := b.AcquirePath(ctx, deep+"/k", redislock.WithWait(0)); !errors.Is(err, redislock.ErrHeld) {
			e.Error(err)
		}
		if held := b.Held(); len(held) > 0 {
			e.Errorf("after an error it holds %v", held)
		}
		e.release(middle)
		first, err := a.AcquirePath(ctx, deep+"/k")
		if err != nil {
			e.stop(err)
		}
		beside, err := b.AcquirePath(ctx, deep+"/l", redislock.WithWait(0))
		if err != nil {
			e.stop(err)
		}
		if len(a.Held()) != 11 || len(b.Held()) != 11 {
			e.Errorf("%v beside %v", a.Held(), b.Held())
		}
		if _, err := b.AcquirePath(ctx, deep, redislock.WithWait(0)); !errors.Is(err, redislock.ErrHeld) {
			e.Error(err)
		}
		if err := errors.Join(first.Release(ctx), beside.Release(ctx)); err != nil {
			e.Error(err)
		}
	})
}
