package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

func TestOnceRunsToSuccessOnceInTheFleet(t *testing.T) {
	both(t, func(e *env) {
		clients := []*redislock.Client{e.client(), e.client(), e.client()}
		var runs, nils atomic.Int32
		var all sync.WaitGroup
		for i := range 60 {
			all.Go(func() {
				err := clients[i%3].Once(context.Background(), "init", func(context.Context) error {
					time.Sleep(50 * time.Millisecond) // the others come meanwhile
					runs.Add(1)
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
				if runs.Load() != 1 {
					t.Error("Once returned before it was done")
				}
				nils.Add(1)
			})
		}
		all.Wait()
		if runs.Load() != 1 || nils.Load() != 60 {
			t.Errorf("%d runs, %d callers served", runs.Load(), nils.Load())
		}
		e.untouched("once:init")
	})
}

func TestAfterAFailureOfOnceTheNextWaiterRunsIt(t *testing.T) {
	both(t, func(e *env) {
		clients := []*redislock.Client{e.client(), e.client()}
		var runs, failed, running atomic.Int32
		var all sync.WaitGroup
		mine := make([]error, 12)
		for i := range mine {
			mine[i] = fmt.Errorf("failure of caller %d", i)
			all.Go(func() {
				err := clients[i%2].Once(context.Background(), "init", func(context.Context) error {
					if running.Add(1) != 1 {
						t.Error("two at a time")
					}
					defer running.Add(-1)
					time.Sleep(5 * time.Millisecond)
					if runs.Add(1) <= 4 {
						return mine[i]
					}
					return nil
				})
				if err != nil {
					failed.Add(1)
					if !errors.Is(err, mine[i]) {
						t.Errorf("caller %d got %v", i, err)
					}
				}
			})
		}
		all.Wait()
		if runs.Load() != 5 || failed.Load() != 4 {
			t.Errorf("%d runs, %d failures", runs.Load(), failed.Load())
		}
		e.untouched("once:init")
	})
}

func TestOnceCostsNoRoundTripInAProcessThatKnows(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		run := func(context.Context) error { return nil }
		if err := e.client().Once(ctx, "init", run); err != nil {
			t.Fatal(err)
		}
		rdb := e.connect()
		sent := &counter{}
		rdb.AddHook(sent)
		c := e.over(rdb)
		must := func() {
			t.Helper()
			if err := c.Once(ctx, "init", func(context.Context) error { t.Error("it ran again"); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		must()
		if got := sent.trips.Load(); got != 1 {
			t.Errorf("a new process needs %d round trips", got)
		}
		time.Sleep(time.Second) // the subscription stands
		must()
		before := sent.trips.Load()
		for range 100 {
			must()
		}
		if got := sent.trips.Load() - before; got != 0 {
			t.Errorf("%d round trips of a process that knows", got)
		}
	})
}

// counter counts round trips, of which a pipeline is one, and commands.
type counter struct{ trips, commands atomic.Int32 }

func (h *counter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if setUp := cmd.Name() == "hello" || strings.Contains(fmt.Sprint(cmd.Args()...), "{%}"); !setUp { // of connection and subscription
			h.trips.Add(1)
			h.commands.Add(1)
		}
		return next(ctx, cmd)
	}
}

func (h *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.trips.Add(1)
		h.commands.Add(int32(len(cmds)))
		return next(ctx, cmds)
	}
}

func TestAResetOfOnceReachesProcessesThatKnow(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		var runs atomic.Int32
		run := func(context.Context) error { runs.Add(1); return nil }
		for _, c := range []*redislock.Client{a, b, a, b} {
			if err := c.Once(ctx, "init", run); err != nil {
				t.Fatal(err)
			}
		}
		if done, err := b.OnceDone(ctx, "init"); !done || err != nil {
			t.Errorf("done: %v, %v", done, err)
		}
		e.acquire(b, "x") // its subscription stands by now
		if err := a.OnceReset(ctx, "init"); err != nil {
			t.Fatal(err)
		}
		if done, err := b.OnceDone(ctx, "init"); done || err != nil {
			t.Errorf("done after the reset: %v, %v", done, err)
		}
		e.eventually("the other process runs it again", func() bool {
			if err := b.Once(ctx, "init", run); err != nil {
				t.Fatal(err)
			}
			return runs.Load() == 2
		})
		l, _ := b.Acquire(ctx, "y")
		e.release(l)
		if _, err := b.Break(ctx, "x", "end of the test"); err != nil {
			t.Fatal(err)
		}
	})
}

func TestOnceIsForgottenWhenItWasSaid(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		runs := 0
		hour := func(c *redislock.Client) {
			t.Helper()
			if err := c.Once(ctx, "hourly", func(context.Context) error { runs++; return nil }, redislock.WithForget(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		for want := 1; want <= 3; want++ {
			for range 3 {
				hour(a)
				hour(b)
				time.Sleep(17 * time.Minute)
			}
			if runs != want {
				t.Fatalf("%d runs in hour %d", runs, want)
			}
			time.Sleep(10 * time.Minute)
		}
		if ttl := e.raw.PTTL(ctx, "redislock:r:{once:hourly}").Val(); ttl > 0 {
			t.Errorf("the record outlives the hour by %v", ttl)
		}
		if err := a.Once(ctx, "init", func(context.Context) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if ttl := e.raw.PTTL(ctx, "redislock:r:{once:init}").Val(); ttl < 9*365*24*time.Hour { // I4
			t.Errorf("it is remembered for %v", ttl)
		}
	})
}

func TestALossDuringOnceIsAFailure(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		runs := 0
		err := a.Once(ctx, "init", func(inner context.Context) error {
			runs++
			if _, err := b.Break(ctx, "once:init", "test"); err != nil {
				t.Error(err)
			}
			<-inner.Done()
			return nil // it does not look
		})
		if !errors.Is(err, redislock.ErrLost) {
			t.Errorf("the robbed runner got %v", err)
		}
		if err := b.Once(ctx, "init", func(context.Context) error { runs++; return nil }); err != nil || runs != 2 {
			t.Errorf("the next one: %v, %d runs", err, runs)
		}
	})
}

func TestTheDeathOfARunnerHandsOnceOn(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		lapses := e.dead("once:init", 20*time.Second)
		c := e.client()
		var runs atomic.Int32
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				if err := c.Once(context.Background(), "init", func(context.Context) error { runs.Add(1); return nil }); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if late := time.Since(lapses); runs.Load() != 1 || late < 0 || late > 200*time.Millisecond {
			t.Errorf("%d runs, %v after the lease", runs.Load(), late)
		}
	})
}

func TestOnceRefusesWhatItCannotDo(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c := e.client()
		run := func(context.Context) error { return nil }
		bad := map[string]error{
			"no name":        c.Once(ctx, "", run),
			"a long name":    c.Once(ctx, strings.Repeat("n", redislock.MaxName-4), run),
			"no function":    c.Once(ctx, "x", nil),
			"a mode":         c.Once(ctx, "x", run, redislock.WithMode(redislock.Read)),
			"fail-open":      c.Once(ctx, "x", run, redislock.WithFailOpen()),
			"forget at once": c.Once(ctx, "x", run, redislock.WithForget(0)),
			"a nil option":   c.Once(ctx, "x", run, nil),
			"a nil Option":   c.Once(ctx, "x", run, redislock.Option(nil)),
		}
		for what, err := range bad {
			if !errors.Is(err, redislock.ErrInvalid) {
				t.Errorf("%s: %v", what, err)
			}
		}
		err := c.Once(ctx, "x", func(ctx context.Context) error { return c.Once(ctx, "x", run) })
		if !errors.Is(err, redislock.ErrDeadlock) {
			t.Errorf("inside itself: %v", err)
		}
		err = c.Once(ctx, "x", func(context.Context) error {
			err := e.client().Once(ctx, "x", run, redislock.WithWait(0))
			var held *redislock.HeldError
			if !errors.As(err, &held) || held.Holder.PID == 0 {
				t.Errorf("without waiting: %v", err)
			}
			if err := e.client().Once(ctx, "x", run, redislock.WithWait(2*time.Second)); !errors.Is(err, redislock.ErrHeld) {
				t.Errorf("waiting a little: %v", err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		panicked := func() (p any) {
			defer func() { p = recover() }()
			_ = c.Once(ctx, "y", func(context.Context) error { panic("oh") })
			return nil
		}()
		if panicked != "oh" {
			t.Errorf("the panic became %v", panicked)
		}
		e.untouched("once:y")
		if done, err := c.OnceDone(ctx, "y"); done || err != nil {
			t.Errorf("a panic counts as success: %v, %v", done, err)
		}
	})
}
