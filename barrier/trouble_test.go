package barrier_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/barrier"
	"example.com/redislock/internal/fakenet"
)

// Whoever waits is told that nothing will ever be answered again, although its context does not end.
func TestWhoWaitsFailsWhenTheRedisClientIsClosed(t *testing.T) {
	within(t, func(w *world) {
		n := &fakenet.Network{Dial: w.mini.Dial, Delay: time.Millisecond}
		rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", Protocol: 2, DisableIdentity: true, Dialer: n.Dialer})
		c, err := redislock.New(rdb)
		if err != nil {
			w.Fatal(err)
		}
		latch, b := make(chan error), make(chan error)
		go func() { latch <- barrier.NewLatch(c, "import", 4).Wait(context.Background()) }()
		time.Sleep(time.Second)
		go func() {
			_, err := barrier.New(c, "cut-over", 3).Enter(context.Background())
			b <- err
		}()
		time.Sleep(time.Second)
		_ = rdb.Close()
		closed := time.Now()
		for what, told := range map[string]chan error{"a latch": latch, "a barrier": b} {
			select {
			case err := <-told:
				if took := time.Since(closed); !errors.Is(err, redis.ErrClosed) || took > 10*time.Second {
					w.Errorf("%s, after %v: %v", what, took, err)
				}
			case <-time.After(time.Hour):
				w.Fatalf("%s waits on", what)
			}
		}
		if err := c.Close(context.Background()); err != nil {
			w.Error(err)
		}
	})
}

// A party that is not returned to its caller has no place, and one that leaves has none, whichever call of a callback was the last.
func TestACallbackThatDoesNotReturnLeavesNoPlaceBehind(t *testing.T) {
	callbacks := map[string]func(func()) redislock.ClientOption{
		"observer": func(step func()) redislock.ClientOption {
			return redislock.WithObserver(redislock.ObserverFunc(func(redislock.Event) { step() }))
		},
		"trace": func(step func()) redislock.ClientOption {
			return redislock.WithTrace(func(context.Context) string {
				step()
				return "trace"
			})
		},
	}
	for how, way := range map[string]func(){"panic": func() { panic("of a callback") }, "end the goroutine": runtime.Goexit} {
		for which, callback := range callbacks {
			t.Run(which+", "+how, func(t *testing.T) {
				within(t, func(w *world) {
					for at, more := int32(1), true; more; at++ {
						var calls atomic.Int32
						c, _ := w.process(fmt.Sprint("p-", at), callback(func() {
							if calls.Add(1) == at {
								way()
							}
						}))
						ended := make(chan struct{})
						go func() {
							defer close(ended)
							defer func() { _ = recover() }() // as net/http does
							ctx, name := context.Background(), fmt.Sprint("x-", at)
							if p, err := barrier.New(c, name, 1).Enter(ctx); err != nil || p.Leave(ctx) != nil {
								w.Error("a party did not pass alone")
							}
							_ = barrier.NewLatch(c, name, 1).CountDown(ctx, "part")
						}()
						<-ended
						more = calls.Load() >= at
						ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
						if err := c.Close(ctx); err != nil {
							w.Errorf("after call %d: %v", at, err)
						}
						cancel()
					}
				})
			})
		}
	}
}

func TestNothingPanicsWithoutAContextOrOfAZeroValue(t *testing.T) {
	within(t, func(w *world) {
		var none context.Context
		c, _ := w.process("one")
		live, err := barrier.New(c, "b", 1).Enter(context.Background())
		if err != nil {
			w.Fatal(err)
		}
		try := func(what string, f func() error) {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("%s panics: %v", what, p)
				}
			}()
			if err := f(); !errors.Is(err, redislock.ErrInvalid) {
				t.Errorf("%s: %v", what, err)
			}
		}
		for _, ctx := range []context.Context{none, context.Background()} {
			for _, l := range []*barrier.Latch{nil, {}, barrier.NewLatch(nil, "x", 1)} {
				try("latch", func() error { return l.CountDown(ctx, "x") })
				try("latch", func() error { _, err := l.Left(ctx); return err })
				try("latch", func() error { return l.Wait(ctx) })
			}
			for _, b := range []*barrier.Barrier{nil, {}, barrier.New(nil, "x", 1)} {
				try("barrier", func() error { _, err := b.Enter(ctx); return err })
			}
			for _, p := range []*barrier.Party{nil, {}} {
				try("party leave", func() error { return p.Leave(ctx) })
				try("party quit", func() error { return p.Quit(ctx) })
				try("party context", func() error { return context.Cause(p.Context()) })
			}
		}
		l := barrier.NewLatch(c, "x", 1)
		try("live latch", func() error { return l.CountDown(none, "x") })
		try("live latch", func() error { _, err := l.Left(none); return err })
		try("live latch", func() error { return l.Wait(none) })
		try("live barrier", func() error { _, err := barrier.New(c, "x", 1).Enter(none); return err })
		try("live barrier", func() error { _, err := barrier.New(c, "x", 1, nil).Enter(context.Background()); return err })
		try("live party", func() error { return live.Quit(none) })
		try("live party", func() error { return live.Leave(none) })
		if err := live.Leave(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
