package redislock_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
)

func TestBadInputIsRefusedBeforeAnythingIsSent(t *testing.T) {
	both(t, func(e *env) {
		rdb := e.connect()
		rdb.AddHook(&tap{before: func(text string) error {
			t.Errorf("something was sent: %s", text)
			return nil
		}})
		c, err := redislock.New(rdb)
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		refused := func(what, names string, err error) {
			t.Helper()
			if !errors.Is(err, redislock.ErrInvalid) || !strings.Contains(err.Error(), names) {
				t.Errorf("%s: %v", what, err)
			}
		}
		for names, opt := range map[string]redislock.Option{
			"WithLease(99ms)":                   redislock.WithLease(99 * time.Millisecond),
			"WithLease(24h0m1s)":                redislock.WithLease(24*time.Hour + time.Second),
			"WithLease(0s)":                     redislock.WithLease(0),
			"WithWait(-1s)":                     redislock.WithWait(-time.Second),
			"WithStealAfter(0s)":                redislock.WithStealAfter(0),
			"WithMaxHold(-1ns)":                 redislock.WithMaxHold(-1),
			"WithMetadata":                      redislock.WithMetadata(strings.Repeat("x", redislock.MaxMetadata+1)),
			"WithFailOpen":                      redislock.WithFailOpen(),
			"WithFenceFloor(-1)":                redislock.WithFenceFloor(-1),
			"WithFenceFloor(10000000000000000)": redislock.WithFenceFloor(1e16),
			"WithReplicas(0, 1s)":               redislock.WithReplicas(0, time.Second),
			"WithReplicas(101, 1s)":             redislock.WithReplicas(101, time.Second),
			"WithReplicas(1, 0s)":               redislock.WithReplicas(1, 0),
			"WithReplicas(1, 1m0.001s)":         redislock.WithReplicas(1, time.Minute+time.Millisecond),
			"nil Option":                        nil,
		} {
			_, err := c.Acquire(ctx, "x", opt)
			refused("Acquire", names, err)
			_, err = c.TryAcquire(ctx, "x", opt)
			refused("TryAcquire", names, err)
			refused("Do", names, c.Do(ctx, "x", func(context.Context) error { t.Error("ran"); return nil }, opt))
			if opt != nil {
				_, err = redislock.New(rdb, redislock.WithDefaults(opt))
				refused("WithDefaults", names, err)
			}
		}
		for _, name := range []string{"", strings.Repeat("n", redislock.MaxName+1)} {
			_, err := c.Acquire(ctx, name)
			refused("Acquire", "name", err)
			_, err = c.AcquireWeak(ctx, name)
			refused("AcquireWeak", "name", err)
			_, err = c.First(ctx, name, time.Minute)
			refused("First", "name", err)
			_, err = c.Inspect(ctx, name)
			refused("Inspect", "name", err)
			_, err = c.Break(ctx, name, "why")
			refused("Break", "name", err)
			refused("Forget", "name", c.Forget(ctx, name))
		}
		_, err = c.Acquire(ctx, "x", redislock.WithMaxHold(time.Hour), redislock.WithoutRenewal())
		refused("contradiction", "WithMaxHold(1h0m0s) with WithoutRenewal", err)
		var none context.Context
		_, err = c.Acquire(none, "x")
		refused("nil context", "nil context", err)
		refused("nil function", "nil function", c.Do(ctx, "x", nil))
		_, err = c.First(ctx, "x", 0)
		refused("window", "window", err)
		_, err = c.Break(ctx, "x", "")
		refused("reason", "reason", err)
		for names, opt := range map[string]redislock.Option{
			"WithStealAfter": redislock.WithStealAfter(time.Minute),
			"WithMaxHold":    redislock.WithMaxHold(time.Minute),
			"WithMetadata":   redislock.WithMetadata("m"),
			"WithoutRenewal": redislock.WithoutRenewal(),
			"WithReplicas":   redislock.WithReplicas(1, time.Second),
			"WithFenceFloor": redislock.WithFenceFloor(1),
		} {
			_, err := c.AcquireWeak(ctx, "x", opt)
			refused("AcquireWeak", names, err)
		}
		for names, opt := range map[string]redislock.ClientOption{
			`WithPrefix("")`:       redislock.WithPrefix(""),
			`WithPrefix("a{b}")`:   redislock.WithPrefix("a{b}"),
			`WithPrefix("a b")`:    redislock.WithPrefix("a b"),
			`WithPrefix("app:w")`:  redislock.WithPrefix("app:w"),
			`WithName("")`:         redislock.WithName(""),
			`WithName("a\nb")`:     redislock.WithName("a\nb"),
			`WithName("a\x00b")`:   redislock.WithName("a\x00b"),
			"WithRetention(1s)":    redislock.WithRetention(time.Second),
			"WithRetention(2161h":  redislock.WithRetention(2161 * time.Hour),
			"WithClockMargin(-1s)": redislock.WithClockMargin(-time.Second),
			"WithClockMargin(11s)": redislock.WithClockMargin(11 * time.Second),
			"WithObserver(nil)":    redislock.WithObserver(nil),
			"nil ClientOption":     nil,
		} {
			_, err := redislock.New(rdb, opt)
			refused("New", names, err)
		}
	})
}

func TestPrefixesShareNothing(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.prefixed("app:a"), e.prefixed("app:b")
		l := e.acquire(a, "x")
		m, err := b.TryAcquire(context.Background(), "x")
		if err != nil {
			t.Fatal(err)
		}
		e.release(l)
		e.release(m)
	})
}

func TestDefaultsAreOverriddenByTheCall(t *testing.T) {
	both(t, func(e *env) {
		c := e.client(redislock.WithDefaults(redislock.WithWait(0), redislock.WithLease(time.Minute), redislock.WithMetadata("default")))
		l := e.acquire(c, "x")
		info, err := c.Inspect(context.Background(), "x")
		if err != nil || len(info.Holds) != 1 {
			t.Fatalf("%+v, %v", info, err)
		}
		if h := info.Holds[0]; h.Owner.Metadata != "default" || h.Deadline.Sub(h.Since) < time.Minute {
			t.Errorf("the defaults: %+v", h)
		}
		if _, err := c.Acquire(context.Background(), "x"); !errors.Is(err, redislock.ErrHeld) {
			t.Errorf("the default wait: %v", err)
		}
		start := time.Now()
		if _, err := c.Acquire(context.Background(), "x", redislock.WithWait(500*time.Millisecond)); !errors.Is(err, redislock.ErrHeld) || time.Since(start) < 500*time.Millisecond {
			t.Errorf("an own wait: %v after %v", err, time.Since(start))
		}
		e.release(l)
	})
}

func TestInspectShowsHoldersAndWaitersInOrder(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(redislock.WithName("alpha")), e.client(redislock.WithName("beta"))
		if info, err := a.Inspect(context.Background(), "x"); err != nil || len(info.Holds)+len(info.Places)+info.Waiting != 0 || info.Fence != 0 {
			t.Errorf("a name nobody uses: %+v, %v", info, err)
		}
		l := e.acquire(a, "x", redislock.WithMetadata("m0"))
		done := make(chan struct{})
		for _, m := range []string{"m1", "m2"} {
			go func() {
				e.release(e.acquire(b, "x", redislock.WithMetadata(m)))
				done <- struct{}{}
			}()
			e.queued(a, "x", int(m[1]-'0'))
		}
		info, err := a.Inspect(context.Background(), "x")
		if err != nil || len(info.Holds) != 1 || len(info.Places) != 2 || info.Fence != l.Fence() {
			t.Fatalf("%+v, %v", info, err)
		}
		if o := info.Holds[0].Owner; o.Client != "alpha" || o.Metadata != "m0" || info.Holds[0].Fence != l.Fence() {
			t.Errorf("the holder: %+v", info.Holds[0])
		}
		for i, p := range info.Places {
			if p.Owner.Client != "beta" || p.Owner.Metadata != []string{"m1", "m2"}[i] || p.Since.Before(info.Holds[0].Since) {
				t.Errorf("place %d: %+v", i, p)
			}
		}
		e.release(l)
		<-done
		<-done
	})
}
