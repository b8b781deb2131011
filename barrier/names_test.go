package barrier_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/barrier"
)

// However names are chosen, a latch, a barrier or a condition has no lock of another one.
func TestDifferentNamesNeverShareALock(t *testing.T) {
	within(t, func(w *world) {
		ctx := context.Background()
		a, _ := w.process("a")
		b, _ := w.process("b")
		if err := barrier.NewLatch(a, "a@count", 2).CountDown(ctx, "part"); err != nil {
			w.Error(err)
		}
		if err := barrier.NewLatch(a, "@count:a", 2).CountDown(ctx, "part"); err != nil {
			w.Error(err)
		}
		soon, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := barrier.NewLatch(a, "a", 2).CountDown(soon, "part"); err != nil {
			w.Error(err)
		}
		p, other := w.pair(a, b, "deploy")
		for _, name := range []string{"deploy@out", "@out:deploy", "out:deploy", ":deploy@out"} {
			go func() {
				x, cancel := context.WithTimeout(ctx, time.Minute)
				defer cancel()
				if _, err := barrier.New(b, name, 2).Enter(x); !errors.Is(err, context.DeadlineExceeded) {
					w.Error(err)
				}
			}()
		}
		time.Sleep(time.Second)
		left := make(chan error, 1)
		go func() { left <- p.Leave(ctx) }()
		time.Sleep(2 * time.Minute)
		if len(left) > 0 {
			w.Errorf("one of two has come to the end, and has passed: %v", <-left)
			return
		}
		if err := errors.Join(other.Leave(ctx), <-left); err != nil {
			w.Error(err)
		}
	})
}

// A name that is too long for one of the locks is refused by the first call, and the longest works to the end.
func TestANameIsRefusedAtOnceOrWorksToTheEnd(t *testing.T) {
	within(t, func(w *world) {
		ctx := context.Background()
		c, _ := w.process("a")
		other, _ := w.process("b")
		long := strings.Repeat("n", barrier.MaxName)
		latch := barrier.NewLatch(c, long, 1)
		if err := errors.Join(latch.CountDown(ctx, "part"), latch.Wait(ctx)); err != nil {
			w.Error(err)
		}
		p, q := w.pair(c, other, long)
		left := make(chan error, 1)
		go func() { left <- p.Leave(ctx) }()
		if err := errors.Join(q.Leave(ctx), <-left); err != nil {
			w.Error(err)
		}
		condition := barrier.NewCondition(c, long)
		woken := make(chan error, 2)
		for range 2 {
			go func() {
				l, err := c.Acquire(ctx, "work")
				if err == nil {
					l, err = condition.Wait(ctx, l)
				}
				woken <- errors.Join(err, l.Release(ctx))
			}()
		}
		time.Sleep(time.Second)
		l, err := other.Acquire(ctx, "work")
		if err != nil {
			w.Fatal(err)
		}
		if err := errors.Join(condition.Signal(ctx), condition.Signal(ctx)); err != nil { // the second is noted
			w.Error(err)
		}
		_ = l.Release(ctx)
		if err := errors.Join(<-woken, <-woken); err != nil {
			w.Error(err)
		}

		longer := long + "n"
		l, err = c.Acquire(ctx, "work")
		if err != nil {
			w.Fatal(err)
		}
		_, entered := barrier.New(c, longer, 2).Enter(ctx)
		_, waited := barrier.NewCondition(c, longer).Wait(ctx, l)
		for what, err := range map[string]error{
			"CountDown": barrier.NewLatch(c, longer, 2).CountDown(ctx, "part"),
			"Wait":      barrier.NewLatch(c, longer, 2).Wait(ctx),
			"Enter":     entered,
			"a waiter":  waited,
			"Signal":    barrier.NewCondition(c, longer).Signal(ctx),
		} {
			if !errors.Is(err, redislock.ErrInvalid) {
				w.Errorf("%s: %v", what, err)
			}
		}
		if err := l.Release(ctx); err != nil {
			w.Error(err)
		}
	})
}

// A process that dies while it counts a part or records the outcome keeps the others waiting for its lease, and for one look.
func TestOneThatDiesKeepsOthersWaitingForItsLease(t *testing.T) {
	lease := redislock.WithLease(time.Second)
	for what, does := range map[string]func(c *redislock.Client, name string) error{
		"latch": func(c *redislock.Client, name string) error {
			return barrier.NewLatch(c, "x", 2, lease).CountDown(context.Background(), name)
		},
		"barrier": func(c *redislock.Client, _ string) error {
			p, err := barrier.New(c, "x", 2, lease).Enter(context.Background())
			if err == nil {
				err = p.Quit(context.Background())
			}
			return err
		},
	} {
		for after := time.Duration(0); after < 20*time.Millisecond; after += 2 * time.Millisecond {
			within(t, func(w *world) {
				a, n := w.process("dies")
				b, _ := w.process("lives")
				ended := make(chan error, 1)
				if what == "barrier" {
					go func() { ended <- does(b, "lives") }()
					time.Sleep(time.Minute)
				}
				go func() { _ = does(a, "dies") }()
				time.Sleep(after)
				n.Cut()
				if what == "latch" {
					go func() { ended <- does(b, "lives") }()
				}
				if what == "barrier" {
					time.AfterFunc(5*time.Second, func() { _ = does(b, "lives") }) // if the first has not come
				}
				select {
				case err := <-ended:
					if err != nil && !errors.Is(err, barrier.ErrBroken) {
						w.Errorf("%s after %v: %v", what, after, err)
					}
				case <-time.After(15 * time.Second):
					w.Errorf("%s after %v: it waits on", what, after)
					<-ended
				}
			})
		}
	}
}
