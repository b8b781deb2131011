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
	"example.com/redislock/internal/fakenet"
)

// untilOver leads for good.
func untilOver(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestAtMostOneLeads(t *testing.T) {
	both(t, func(e *env) {
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		var leading, terms atomic.Int32
		led := make([]atomic.Int32, 4)
		var all sync.WaitGroup
		for i := range led {
			c := e.client()
			all.Go(func() {
				err := c.Elect(ctx, "scheduler", func(ctx context.Context) error {
					if leading.Add(1) != 1 {
						t.Error("two leaders")
					}
					defer leading.Add(-1)
					if l, ok := redislock.FromContext(ctx); !ok || l.Name() != "elect:scheduler" {
						t.Error("no lock")
					}
					led[i].Add(1)
					e.queued(c, "elect:scheduler", len(led)-1) // until all stand
					if terms.Add(1) == 16 {
						stop()
					}
					return nil // resigns: the next candidate leads
				})
				if !errors.Is(err, context.Canceled) {
					t.Errorf("the campaign ended with %v", err)
				}
			})
		}
		all.Wait()
		for i := range led {
			if n := led[i].Load(); n != 4 { // in turn
				t.Errorf("candidate %d led %d times of %d", i, n, terms.Load())
			}
		}
		e.untouched("elect:scheduler")
	})
}

func TestAnErrorOfTheLeaderEndsItsCampaign(t *testing.T) {
	both(t, func(e *env) {
		oh := errors.New("oh")
		if err := e.client().Elect(context.Background(), "x", func(context.Context) error { return oh }); !errors.Is(err, oh) {
			t.Error(err)
		}
		panicked := func() (p any) {
			defer func() { p = recover() }()
			_ = e.client().Elect(context.Background(), "x", func(context.Context) error { panic("oh") })
			return nil
		}()
		if panicked != "oh" {
			t.Errorf("the panic became %v", panicked)
		}
		e.untouched("elect:x")
	})
}

func TestALeaderThatLosesItsLockStandsAgain(t *testing.T) {
	both(t, func(e *env) {
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		other := e.client()
		terms := 0
		err := e.client().Elect(ctx, "x", func(ctx context.Context) error {
			if terms++; terms == 3 {
				stop()
				return nil
			}
			if _, err := other.Break(context.Background(), "elect:x", "test"); err != nil {
				t.Error(err)
			}
			<-ctx.Done()
			return ctx.Err()
		})
		if !errors.Is(err, context.Canceled) || terms != 3 {
			t.Errorf("%v after %d terms", err, terms)
		}
	})
}

func TestWhoWatchesIsToldOfChangesByPush(t *testing.T) {
	both(t, func(e *env) {
		watcher := e.client()
		watch, end := context.WithCancel(context.Background())
		seen := make(chan redislock.Leader, 100)
		over := make(chan struct{})
		go func() {
			defer close(over)
			for l, err := range watcher.Election("x").Watch(watch) {
				if err != nil {
					t.Error(err)
				}
				seen <- l
			}
		}()
		if l := <-seen; l.Elected() {
			t.Errorf("before the election %+v leads", l)
		}
		e.acquire(watcher, "y") // its subscription stands
		defer func() { _, _ = watcher.Break(context.Background(), "y", "end") }()
		last := int64(0)
		for _, name := range []string{"a", "b"} {
			ctx, resign := context.WithCancel(context.Background())
			ended := make(chan struct{})
			c := e.client(redislock.WithName(name))
			go func() {
				defer close(ended)
				_ = c.Elect(ctx, "x", untilOver)
			}()
			begun := time.Now()
			l := <-seen
			if l.Owner.Client != name || l.Fence <= last {
				t.Errorf("%+v leads, not %s", l, name)
			}
			if now, err := c.Election("x").Leader(ctx); err != nil || now != l {
				t.Errorf("Leader says %+v, %v", now, err)
			}
			last = l.Fence
			resign()
			if l := <-seen; l.Elected() {
				t.Errorf("after the resignation %+v leads", l)
			}
			if took := time.Since(begun); e.mini != nil && took > 5*time.Second {
				t.Errorf("told after %v: by looking, not by push", took)
			}
			<-ended
		}
		end()
		<-over
	})
}

// Without any message, a leader that died is noticed when its lease is over, and who takes its place at once.
func TestWhoWatchesSeesADeadLeaderGo(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		lapses := e.dead("elect:x", 20*time.Second)
		c := e.client()
		step := 0
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		for l, err := range c.Election("x").Watch(ctx) {
			switch step++; step {
			case 1:
				if err != nil || !l.Elected() {
					t.Errorf("%+v, %v", l, err)
				}
			case 2:
				if late := time.Since(lapses); err != nil || l.Elected() || late < 0 || late > 100*time.Millisecond {
					t.Errorf("%+v, %v; %v after its lease", l, err, late)
				}
				go func() { _ = c.Elect(ctx, "x", untilOver) }()
			case 3:
				if late := time.Since(lapses); err != nil || !l.Elected() || late > 200*time.Millisecond {
					t.Errorf("%+v, %v; %v after the lease of the last one", l, err, late)
				}
				stop()
			}
		}
	})
}

func TestAnElectionOutlivesAnOutage(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		line := &fakenet.Network{Dial: n.Dial}
		c := e.clientOn(line)
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		terms, errs := make(chan error, 10), 0
		var all sync.WaitGroup
		all.Go(func() {
			err := c.Elect(ctx, "x", func(ctx context.Context) error {
				terms <- nil
				<-ctx.Done()
				return nil
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the campaign ended with %v", err)
			}
		})
		all.Go(func() {
			led := 0
			for l, err := range c.Election("x").Watch(ctx) {
				if err != nil {
					errs++
				} else if l.Elected() {
					led++
				}
			}
			if led < 2 || errs == 0 || errs > 60 {
				t.Errorf("who watches saw %d leaders and %d errors", led, errs)
			}
		})
		<-terms
		time.Sleep(time.Second)
		line.Cut()
		time.Sleep(2 * time.Minute)
		line.Mend()
		<-terms
		time.Sleep(time.Minute)
		stop()
		all.Wait()
	})
}

func TestAnElectionRefusesWhatItCannotDo(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c := e.client()
		for what, err := range map[string]error{
			"no name":     c.Elect(ctx, "", untilOver),
			"a long name": c.Elect(ctx, strings.Repeat("n", redislock.MaxName), untilOver),
			"no function": c.Elect(ctx, "x", nil),
			"a bad lease": c.Elect(ctx, "x", untilOver, redislock.WithLease(1)),
		} {
			if !errors.Is(err, redislock.ErrInvalid) {
				t.Errorf("%s: %v", what, err)
			}
		}
		for _, err := range c.Election("").Watch(ctx) {
			if !errors.Is(err, redislock.ErrInvalid) {
				t.Errorf("watching nothing: %v", err)
			}
		}
		err := c.Elect(ctx, "x", func(ctx context.Context) error { return c.Elect(ctx, "x", untilOver) })
		if !errors.Is(err, redislock.ErrDeadlock) {
			t.Errorf("inside itself: %v", err)
		}
		closed := e.client()
		if err := closed.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if err := closed.Elect(ctx, "x", untilOver); !errors.Is(err, redislock.ErrClosed) {
			t.Errorf("a closed client: %v", err)
		}
		n := 0
		for _, err := range closed.Election("x").Watch(ctx) {
			if n++; !errors.Is(err, redislock.ErrClosed) {
				t.Errorf("watching with a closed client: %v", err)
			}
		}
		if n != 1 {
			t.Errorf("%d times", n)
		}
	})
}
