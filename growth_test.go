package redislock_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

type valueKey string

// What is done again and again with a lock that is held for long, under a context that does not end, keeps nothing.
func TestNothingGrowsWithUse(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		l := e.acquire(c, "long")
		nested, err := c.Acquire(l.Context(), "long")
		if err != nil {
			t.Fatal(err)
		}
		all, err := c.AcquireAll(ctx, []string{"a", "b"})
		if err != nil {
			t.Fatal(err)
		}
		changing := e.acquire(c, "changing", redislock.WithMode(redislock.Read))
		for name, use := range map[string]func() error{
			"With": func() error { return l.With(context.WithValue(ctx, valueKey("a"), 1)).Err() },
			"With, selected": func() error {
				select {
				case <-l.With(ctx).Done():
				default:
				}
				return nil
			},
			"With, a child of it": func() error {
				child, cancel := context.WithCancel(l.With(ctx))
				cancel()
				_ = child
				return nil
			},
			"With, nested":     func() error { return nested.With(ctx).Err() },
			"With, of several": func() error { return all.With(ctx).Err() },
			"With, background": func() error { return l.With(context.Background()).Err() },
			"contexts that end": func() error {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				return l.With(ctx).Err()
			},
			"Context": func() error { return nested.Context().Err() },
			"nested": func() error {
				return c.Do(l.With(ctx), "long", func(ctx context.Context) error { return ctx.Err() })
			},
			"several, nested": func() error {
				return c.DoAll(all.With(ctx), []string{"a", "b"}, func(ctx context.Context) error { return ctx.Err() })
			},
			"another lock": func() error {
				return c.DoAll(l.With(ctx), []string{"c", "d"}, func(ctx context.Context) error { return ctx.Err() })
			},
			"upgrade": func() error {
				if err := changing.Upgrade(ctx); err != nil {
					return err
				}
				return changing.Downgrade(ctx)
			},
			"election": func() error {
				over := fmt.Errorf("over")
				if err := c.Elect(ctx, "e", func(context.Context) error { return over }); err == nil {
					return fmt.Errorf("no error")
				}
				return nil
			},
			"watch": func() error {
				for range c.Watch(ctx, "x") {
					break
				}
				return nil
			},
			"weak": func() error {
				w, err := c.AcquireWeak(ctx, "w")
				if err != nil {
					return err
				}
				return w.Release(ctx)
			},
		} {
			const rounds, each = 200, 300 // of bytes: a context that is tied to another takes more
			var grown int
			for range 5 { // what is allocated once, and what others do meanwhile
				before := heap()
				for range rounds {
					if err := use(); err != nil {
						t.Fatalf("%s: %v", name, err)
					}
				}
				time.Sleep(2 * time.Minute) // records are forgotten, and tombstones
				_ = c.Do(ctx, "changing", func(context.Context) error { return nil }, redislock.WithMode(redislock.Read))
				if grown = heap() - before; grown < rounds*each {
					break
				}
			}
			if grown >= rounds*each {
				t.Errorf("%s: %d bytes a time", name, grown/rounds)
			}
		}
		e.release(changing)
		if err := all.Release(ctx); err != nil {
			t.Error(err)
		}
		e.release(nested)
		e.release(l)
	})
}

// With has the values of its own context and no other's, and ends with the first of the two.
func TestWithIsItsOwnContextAndEndsWithTheLock(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		ctx, cancel := context.WithCancelCause(context.Background())
		defer cancel(nil)
		asked := context.WithValue(context.Background(), valueKey("asked"), 1)
		l, err := c.Acquire(asked, "x")
		if err != nil {
			t.Fatal(err)
		}
		one := l.With(context.WithValue(ctx, valueKey("one"), 1))
		two := l.With(context.WithValue(ctx, valueKey("two"), 2))
		free := l.With(context.WithValue(context.Background(), valueKey("two"), 2))
		deadline, done := context.WithTimeout(ctx, time.Hour)
		defer done()
		three := l.With(deadline)
		if one.Value(valueKey("one")) != 1 || two.Value(valueKey("two")) != 2 {
			t.Error("a value is missing")
		}
		for _, other := range []context.Context{two, free, three} {
			for _, key := range []valueKey{"one", "asked"} {
				if other.Value(key) != nil {
					t.Errorf("%s is another's", key)
				}
			}
			if of, _ := redislock.FromContext(other); of != l {
				t.Errorf("it carries %v", of)
			}
		}
		if _, bounded := two.Deadline(); bounded {
			t.Error("another's deadline")
		}
		if at, bounded := three.Deadline(); !bounded || time.Until(at) != time.Hour {
			t.Error("no deadline")
		}
		child, stop := context.WithCancel(free)
		defer stop()
		cause := fmt.Errorf("over")
		cancel(cause)
		if one.Err() == nil || two.Err() == nil || three.Err() == nil || context.Cause(two) != cause || free.Err() != nil {
			t.Errorf("after its end: %v, %v, %v, %v", one.Err(), two.Err(), context.Cause(two), free.Err())
		}
		if late := l.With(ctx); late.Err() == nil || context.Cause(late) != cause {
			t.Error("one that has ended before")
		}
		alive, alsoDone := context.WithCancel(context.Background())
		defer alsoDone()
		later := l.With(alive)
		e.release(l)
		for _, ended := range []context.Context{free, child, later, l.With(context.Background()), l.With(alive)} {
			e.ends(ended)
			if got := context.Cause(ended); got != redislock.ErrReleased {
				t.Errorf("after the release: %v", got)
			}
		}
	})
}
