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
	"example.com/redislock/internal/servertest"
)

// A look changes nothing, so it is sent again.
func TestALostReplyOfALookIsAskedAgain(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	c := x.behind(3)
	for range 3 {
		x.proxy.SwallowReplyAndClose(requests("recall", "redislock:r:{once:"+x.name+"}"), 1)
		if done, err := c.OnceDone(t.Context(), x.name); done || err != nil {
			t.Errorf("%v, %v", done, err)
		}
	}
}

// What was done is written down, whether or not the caller still waits.
func TestASuccessCountsThoughItsCallerHasGone(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(), e.client()
		ctx, leave := context.WithCancel(context.Background())
		if err := a.Once(ctx, "init", func(context.Context) error { leave(); return nil }); err != nil {
			t.Error(err)
		}
		if done, err := b.OnceDone(context.Background(), "init"); !done || err != nil {
			t.Errorf("%v, %v", done, err)
		}
	})
}

// They wait as readers: else they would learn of it one after the other.
func TestAllWhoWaitForOnceLearnOfTheEndAtOnce(t *testing.T) {
	const trip = 10 * time.Millisecond
	embedded(t, trip, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		var ended time.Time
		var slowest atomic.Int64
		var all sync.WaitGroup
		runner := e.client()
		begun := make(chan struct{})
		all.Go(func() {
			_ = runner.Once(ctx, "init", func(context.Context) error {
				close(begun)
				time.Sleep(time.Second)
				ended = time.Now()
				return nil
			})
		})
		<-begun
		for range 20 {
			c := e.client()
			all.Go(func() {
				if err := c.Once(ctx, "init", idle); err != nil {
					t.Error(err)
				}
				slowest.Store(max(slowest.Load(), int64(time.Since(ended))))
			})
		}
		all.Wait()
		if took := time.Duration(slowest.Load()); took > 20*trip {
			t.Errorf("the last one learned of it after %v", took)
		}
	})
}

// Redis refuses to keep anything for less than a millisecond.
func TestAnErrorThatIsSharedForAMomentIsKept(t *testing.T) {
	both(t, func(e *env) {
		seen := &recorder{}
		_, err := redislock.Share(context.Background(), e.client(redislock.WithObserver(seen)), "n", time.Minute, func(context.Context) (int, error) {
			return 0, errors.New("oh")
		}, redislock.WithErrorTTL(time.Microsecond))
		if err == nil || seen.count(redislock.EventNotKept) > 0 {
			t.Errorf("%v, %d", err, seen.count(redislock.EventNotKept))
		}
	})
}

// A Client that is closed does nothing any more, from memory neither.
func TestAClosedClientDoesNotSayDone(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		for i, want := range []error{nil, nil, redislock.ErrClosed} {
			if err := c.Once(context.Background(), "init", idle); !errors.Is(err, want) {
				t.Errorf("call %d: %v", i, err)
			}
			if time.Sleep(time.Second); i == 1 { // its subscription stands, and it knows
				_ = c.Close(context.Background())
			}
		}
	})
}

// What may have been missed while there was no subscription is asked for again.
func TestAResetWhileTheSubscriptionIsDownIsNoticedAfterwards(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	c := x.behind(3)
	runs := 0
	run := func(context.Context) error { runs++; return nil }
	if err := x.look.Once(t.Context(), x.name, run); err != nil {
		t.Fatal(err)
	}
	if err := c.Once(t.Context(), x.name, run); err != nil { // it only looks: no lock of its own, and yet it hears
		t.Fatal(err)
	}
	x.eventually("it is subscribed", func() bool { return x.proxy.Stats().Subscribed > 0 })
	x.proxy.MuteSubscriptions()
	if err := x.look.OnceReset(t.Context(), x.name); err != nil {
		t.Fatal(err)
	}
	x.proxy.CloseSubscriptions()
	x.eventually("it runs again", func() bool {
		if err := c.Once(t.Context(), x.name, run); err != nil {
			t.Fatal(err)
		}
		return runs == 2
	})
}

// What was looked up before a reset is not remembered after it.
func TestALookBeforeAResetIsNotRememberedAfterIt(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		a := e.client()
		var slow atomic.Bool
		b := e.tapped(&tap{after: func(text string) error {
			if strings.Contains(text, digest("recall")) && slow.CompareAndSwap(true, false) {
				time.Sleep(time.Second)
			}
			return nil
		}})
		e.release(e.acquire(b, "x"))
		time.Sleep(time.Second) // its subscription stands
		runs := 0
		run := func(context.Context) error { runs++; return nil }
		if err := a.Once(ctx, "init", run); err != nil {
			t.Fatal(err)
		}
		slow.Store(true)
		looked := make(chan error)
		go func() { looked <- b.Once(ctx, "init", run) }()
		time.Sleep(500 * time.Millisecond)
		if err := a.OnceReset(ctx, "init"); err != nil {
			t.Fatal(err)
		}
		if err := <-looked; err != nil {
			t.Error(err)
		}
		if err := b.Once(ctx, "init", run); err != nil || runs != 2 {
			t.Errorf("%v, %d runs", err, runs)
		}
	})
}

// Who resets it does not wait for its own message.
func TestWhoeverResetsOnceMayRunItAtOnce(t *testing.T) {
	embedded(t, 50*time.Millisecond, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		c := e.client()
		runs := 0
		for range 3 {
			if err := c.Once(ctx, "init", func(context.Context) error { runs++; return nil }); err != nil {
				t.Fatal(err)
			}
			if err := c.OnceReset(ctx, "init"); err != nil {
				t.Fatal(err)
			}
		}
		if runs != 3 {
			t.Errorf("%d runs", runs)
		}
	})
}
