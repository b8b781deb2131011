package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"example.com/redislock"
)

// operation is one of those that are listed below.
type operation struct {
	name string
	sent map[string]int // "given back" is a release by either command
	most map[string]int // nil, or what the server executes for it at the most
	trip bool           // all of it is one round trip; otherwise each command is one
	run  func(ctx context.Context, b *budget, c *instance, n int) error
}

const givenBack = "given back"

// operations are what an operation sends where nobody is in its way. n is another number each time.
var operations = []operation{
	{name: "Acquire and Release", sent: map[string]int{"acquire": 1, givenBack: 1}, run: func(ctx context.Context, b *budget, c *instance, n int) error {
		l := b.acquire(c.Client, fmt.Sprint("pair", n))
		b.release(l)
		return l.Release(ctx) // a second one sends nothing
	}},
	{name: "Do", sent: map[string]int{"acquire": 1, givenBack: 1}, run: func(ctx context.Context, _ *budget, c *instance, n int) error {
		return c.Do(ctx, fmt.Sprint("do", n), func(context.Context) error { return nil })
	}},
	{name: "a reader", sent: map[string]int{"acquire": 1, givenBack: 1}, run: func(ctx context.Context, b *budget, c *instance, n int) error {
		b.release(b.acquire(c.Client, fmt.Sprint("reader", n), reading))
		return nil
	}},
	{name: "Lock and Unlock", sent: map[string]int{"acquire": 1, givenBack: 1}, run: func(ctx context.Context, _ *budget, c *instance, n int) error {
		m := c.Locker(ctx, fmt.Sprint("locker", n))
		m.Lock()
		defer m.Unlock()
		return nil
	}},
	{name: "an acquire above a floor", sent: map[string]int{"acquire": 1, givenBack: 1}, run: func(ctx context.Context, b *budget, c *instance, n int) error {
		b.release(b.acquire(c.Client, fmt.Sprint("floor", n), redislock.WithFenceFloor(1)))
		return nil
	}},
	{name: "ten nested acquires", sent: map[string]int{"acquire": 1, givenBack: 1}, run: func(ctx context.Context, b *budget, c *instance, n int) error {
		name := fmt.Sprint("nested", n)
		return c.Do(ctx, name, func(ctx context.Context) error {
			for range 10 {
				b.release(b.under(ctx, c.Client, name))
			}
			return nil
		})
	}},
	{name: "TryAcquire, refused", sent: map[string]int{"acquire": 1}, most: contended["refused"], run: func(ctx context.Context, _ *budget, c *instance, _ int) error {
		_, err := c.TryAcquire(ctx, "held")
		if !errors.Is(err, redislock.ErrHeld) {
			return fmt.Errorf("TryAcquire: %w", err)
		}
		return nil
	}},
	{name: "AcquireAll of seven names", sent: map[string]int{"acquire": 7, givenBack: 7}, run: func(ctx context.Context, _ *budget, c *instance, n int) error {
		var names []string
		for i := range 7 {
			names = append(names, fmt.Sprint("all", n, "-", i))
		}
		all, err := c.AcquireAll(ctx, names)
		if err != nil {
			return err
		}
		return all.Release(ctx)
	}},
	// The plain HDEL of a brief hold would find nothing of one that has changed its mode, so it is not tried.
	{name: "Downgrade and Upgrade", sent: map[string]int{"acquire": 1, "convert": 2, "release": 1}, run: func(ctx context.Context, b *budget, c *instance, n int) error {
		l := b.acquire(c.Client, fmt.Sprint("convert", n), redislock.WithMode(redislock.Write))
		if err := errors.Join(l.Downgrade(ctx), l.Upgrade(ctx)); err != nil {
			return err
		}
		return l.Release(ctx)
	}},
	{name: "Handoff and Resume", sent: map[string]int{"acquire": 1, "renew": 1, "resume": 1, givenBack: 1}, run: func(ctx context.Context, b *budget, c *instance, n int) error {
		ticket, err := b.acquire(c.Client, fmt.Sprint("handoff", n)).Handoff()
		if err != nil {
			return err
		}
		l, err := c.Resume(ctx, ticket)
		if err != nil {
			return err
		}
		return l.Release(ctx)
	}},
	{name: "ReleaseAfter", sent: map[string]int{"acquire": 1, "keep": 1}, run: func(ctx context.Context, b *budget, c *instance, n int) error {
		return b.acquire(c.Client, fmt.Sprint("after", n)).ReleaseAfter(ctx, time.Minute)
	}},
	{name: "a wait that is cancelled", sent: map[string]int{"acquire": 1, "release": 1}, run: func(ctx context.Context, b *budget, c *instance, _ int) error {
		ctx, cancel := context.WithCancel(ctx)
		queued := c.told.count(redislock.EventQueued)
		go func() {
			b.eventually("it waits", func() bool { return c.told.count(redislock.EventQueued) > queued })
			cancel()
		}()
		_, err := c.Acquire(ctx, "held")
		if !errors.Is(err, context.Canceled) {
			return fmt.Errorf("Acquire: %w", err)
		}
		return nil
	}},
	{name: "Inspect", sent: map[string]int{"inspect": 1}, run: func(ctx context.Context, _ *budget, c *instance, _ int) error {
		_, err := c.Inspect(ctx, "held")
		return err
	}},
	{name: "a look of Watch", sent: map[string]int{"watch": 1}, run: func(ctx context.Context, _ *budget, c *instance, _ int) error {
		for _, err := range c.Watch(ctx, "held") {
			return err
		}
		return errors.New("nothing was seen")
	}},
	{name: "Ask", sent: map[string]int{"ask": 1}, run: func(ctx context.Context, _ *budget, c *instance, _ int) error {
		told, err := c.Ask(ctx, "held", "why")
		if err == nil && told != 1 {
			err = fmt.Errorf("%d were told", told)
		}
		return err
	}},
	{name: "First", sent: map[string]int{"set": 1}, most: map[string]int{"set": 1}, run: func(ctx context.Context, _ *budget, c *instance, n int) error {
		_, err := c.First(ctx, fmt.Sprint("first", n), time.Minute)
		return err
	}},
	{name: "FirstOf 1,000 keys", sent: map[string]int{"set": 1000}, most: map[string]int{"set": 1000}, trip: true, run: func(ctx context.Context, _ *budget, c *instance, n int) error {
		keys := make([]string, 1000)
		for i := range keys {
			keys[i] = fmt.Sprint("firstof", n, "-", i)
		}
		_, err := c.FirstOf(ctx, keys, time.Minute)
		return err
	}},
	{name: "a weak lock", sent: map[string]int{"set": 1, "weak_release": 1}, most: map[string]int{"set": 1, "evalsha": 1, "get": 1, "del": 1}, run: func(ctx context.Context, _ *budget, c *instance, n int) error {
		l, err := c.AcquireWeak(ctx, fmt.Sprint("weak", n))
		if err != nil {
			return err
		}
		return l.Release(ctx)
	}},
	{name: "the first Once", sent: map[string]int{"recall": 2, "acquire": 1, "record": 1, givenBack: 1}, run: func(ctx context.Context, _ *budget, c *instance, n int) error {
		return c.Once(ctx, fmt.Sprint("once", n), func(context.Context) error { return nil })
	}},
	{name: "a Once that is known", sent: map[string]int{}, most: map[string]int{}, run: func(ctx context.Context, _ *budget, c *instance, _ int) error {
		return c.Once(ctx, "known", func(context.Context) error { return errors.New("it ran again") })
	}},
	{name: "OnceDone", sent: map[string]int{"recall": 1}, most: map[string]int{"evalsha": 1, "time": 1, "get": 1, "pttl": 1}, run: func(ctx context.Context, _ *budget, c *instance, _ int) error {
		_, err := c.OnceDone(ctx, "known")
		return err
	}},
	{name: "the first Share", sent: map[string]int{"recall": 2, "acquire": 1, "record": 1, givenBack: 1}, run: func(ctx context.Context, _ *budget, c *instance, n int) error {
		return share(ctx, c, fmt.Sprint("share", n))
	}},
	{name: "a Share that is kept", sent: map[string]int{"recall": 1}, most: map[string]int{"evalsha": 1, "time": 1, "get": 1, "pttl": 1}, run: func(ctx context.Context, _ *budget, c *instance, _ int) error {
		return share(ctx, c, "kept")
	}},
}

func share(ctx context.Context, c *instance, key string) error {
	_, err := redislock.Share(ctx, c.Client, key, time.Hour, func(context.Context) (int, error) { return 1, nil })
	return err
}

func TestEachOperationSendsWhatItMustAndNoMore(t *testing.T) {
	ctx := context.Background()
	metered(t, func(b *budget) {
		c, other := b.instance(), b.instance()
		held := b.acquire(other.Client, "held")
		if err := errors.Join(c.Once(ctx, "known", func(context.Context) error { return nil }), share(ctx, c, "kept")); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, op := range operations {
			var sent, executed map[string]int
			var trips int
			b.undisturbed(op.name, func() bool {
				n++
				time.Sleep(time.Millisecond)
				b.reset(c, other)
				if err := op.run(ctx, b, c, n); err != nil {
					t.Fatalf("%s: %v", op.name, err)
				}
				executed = b.executed()
				sent, trips = c.wire.count()
				others, _ := other.wire.count()
				return sent["check"] == 0 && len(others) == 0 // or else it was a check, or the renewal of what is held
			})
			want := 0
			for _, times := range op.sent {
				want += times
			}
			if op.trip {
				want = 1
			}
			if back := sent["release"] + sent["hdel"]; op.sent[givenBack] > 0 {
				delete(sent, "release")
				delete(sent, "hdel")
				sent[givenBack] = back
			}
			if !maps.Equal(sent, op.sent) || trips != want {
				b.Errorf("%s: %v was sent in %d round trips, instead of %v in %d", op.name, sent, trips, op.sent, want)
			}
			if op.most != nil {
				b.within(op.name, executed, op.most)
			}
		}
		b.release(held)
	})
}
