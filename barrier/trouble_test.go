package barrier_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/barrier"
	"example.com/redislock/fence"
	"example.com/redislock/internal/fakenet"
)

// Every wait ends with an error when the Redis client is closed, although its context does not end.
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

// A party that is not returned to its caller leaves no place behind, and neither does one that leaves, whichever call of a callback
// panicked.
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
	ways := []func(){func() { panic("of a callback") }, runtime.Goexit}
	for which, callback := range callbacks {
		t.Run(which, func(t *testing.T) {
			within(t, func(w *world) {
				other, _ := w.process("other")
				for at, more := int32(1), true; more; at++ {
					var calls atomic.Int32
					c, _ := w.process(fmt.Sprint("p-", at), callback(func() {
						if calls.Add(1) == at {
							ways[at%2]()
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
						condition := barrier.NewCondition(c, name)
						go func() {
							time.Sleep(time.Second)
							_ = barrier.NewCondition(other, name).Broadcast(ctx)
						}()
						l, err := c.Acquire(ctx, name)
						if err != nil {
							w.Error(err)
							return
						}
						defer func() { _ = l.Release(ctx) }()
						if l, err = condition.Wait(ctx, l); errors.Is(err, context.Canceled) {
							w.Error(err) // it did not fail
						}
					}()
					<-ended
					more = calls.Load() >= at
					time.Sleep(time.Second)
					for info, err := range other.List(context.Background(), "*") {
						if err != nil || info.Waiting > 0 || slices.ContainsFunc(info.Holds, func(h redislock.Hold) bool { return !h.Kept }) {
							w.Errorf("after call %d: %+v, %v", at, info, err)
						}
					}
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
			for _, condition := range []*barrier.Condition{nil, {}, barrier.NewCondition(nil, "x")} {
				try("condition wait", func() error { _, err := condition.Wait(ctx, nil); return err })
				try("condition wait", func() error { _, err := condition.Wait(ctx, &redislock.Lock{}); return err })
				try("condition signal", func() error { return condition.Signal(ctx) })
				try("condition broadcast", func() error { return condition.Broadcast(ctx) })
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

// A place in a barrier has no fence for a register. Writes under it are fenced by another lock of the party.
func TestThePlaceOfAPartyHidesNoLockFromFences(t *testing.T) {
	within(t, func(w *world) {
		c, _ := w.process("one")
		err := c.Do(context.Background(), "account/7", func(ctx context.Context) error {
			account, _ := redislock.FromContext(ctx)
			p, err := barrier.New(c, "cut-over", 1).Enter(ctx)
			if err != nil {
				return err
			}
			working := p.Context()
			if l, ok := redislock.FromContext(working); !ok || l.Name() != "account/7" {
				w.Errorf("the innermost lock is %q", l.Name())
			}
			if n, ok := fence.FromContext(working); !ok || n != account.Fence() {
				w.Errorf("the innermost fence is %d, not the account's %d", n, account.Fence())
			}
			if all := fence.All(working); len(all) != 1 {
				w.Errorf("the fences are %v", all)
			}
			if err := c.Close(working); !errors.Is(err, redislock.ErrDeadlock) { // the context still belongs to the party
				w.Errorf("Close under a party said %v", err)
			}
			err = p.Leave(ctx)
			if cause := context.Cause(working); !errors.Is(cause, redislock.ErrClosed) && !errors.Is(cause, redislock.ErrReleased) {
				w.Errorf("after it has left: %v", cause)
			}
			return err
		})
		if err == nil {
			w.Error("a barrier was passed by a Client that is closed")
		}
	})
}
