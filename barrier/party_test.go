package barrier_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/barrier"
)

// pair lets one party of each Client enter a barrier.
func (w *world) pair(a, b *redislock.Client, name string) (*barrier.Party, *barrier.Party) {
	w.Helper()
	entered := make(chan *barrier.Party, 1)
	go func() {
		p, err := barrier.New(a, name, 2).Enter(context.Background())
		if err != nil {
			w.Error(err)
		}
		entered <- p
	}()
	q, err := barrier.New(b, name, 2).Enter(context.Background())
	p := <-entered
	if err != nil || p == nil {
		w.Fatal(err)
	}
	return p, q
}

func TestAPartyThatLeavesTwiceCountsOnceAndHasOneAnswer(t *testing.T) {
	within(t, func(w *world) {
		ctx := context.Background()
		a, _ := w.process("a")
		b, _ := w.process("b")
		p, other := w.pair(a, b, "x")
		left := make(chan error, 2)
		for range 2 {
			go func() { left <- p.Leave(ctx) }()
		}
		time.Sleep(time.Second)
		hasty, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := p.Leave(hasty); !errors.Is(err, context.DeadlineExceeded) {
			w.Errorf("a call whose context has ended: %v", err)
		}
		time.Sleep(time.Minute)
		if other.Context().Err() != nil || len(left) > 0 {
			w.Fatalf("one of two has come to the end: the other's place is %v, and %d calls have returned", other.Context().Err(), len(left))
		}
		if err := other.Leave(ctx); err != nil {
			w.Error(err)
		}
		for range 2 {
			if err := <-left; err != nil {
				w.Error(err)
			}
		}
		if err := p.Leave(hasty); err != nil {
			w.Errorf("a later call: %v", err)
		}
	})
}

// A party that quits while another goroutine of it waits at the end has not come to the end.
func TestAPartyThatQuitsWhileItLeavesBreaksTheBarrier(t *testing.T) {
	within(t, func(w *world) {
		ctx := context.Background()
		a, _ := w.process("a")
		b, _ := w.process("b")
		p, other := w.pair(a, b, "x")
		left := make(chan error, 1)
		go func() { left <- p.Leave(ctx) }()
		time.Sleep(time.Minute)
		if err := p.Quit(ctx); err != nil {
			w.Error(err)
		}
		time.Sleep(time.Second)
		select {
		case err := <-left:
			if !errors.Is(err, redislock.ErrReleased) || errors.Is(err, context.Canceled) {
				w.Error(err)
			}
		default:
			w.Error("it waits on at the end")
		}
		err := other.Leave(ctx)
		if broken, is := errors.AsType[*barrier.BrokenError](err); !is || broken.Party.Client != "a" {
			w.Errorf("the other one: %v", err)
		}
	})
}

// The error says what became of the place, whatever request was under way.
func TestAPartyThatLosesItsPlaceWhileItLeavesIsToldSo(t *testing.T) {
	for name, want := range map[string]error{"breaks": redislock.ErrStolen, "closes": redislock.ErrClosed} {
		for after := time.Duration(0); after < time.Second; after += coarse(60 * time.Millisecond) {
			within(t, func(w *world) {
				ctx := context.Background()
				a, _ := w.processAt(100*time.Millisecond, "a")
				b, _ := w.process("b")
				p, other := w.pair(a, b, name)
				left := make(chan error, 1)
				go func() { left <- p.Leave(ctx) }()
				time.Sleep(after)
				var err error
				if name == "closes" {
					err = a.Close(ctx)
				} else {
					_, err = b.Break(ctx, "barrier:"+name, "a test")
				}
				if err != nil {
					w.Error(err)
				}
				if err := <-left; !errors.Is(err, want) || errors.Is(err, context.Canceled) {
					w.Errorf("%s after %v: %v", name, after, err)
				}
				_ = other.Quit(ctx)
			})
		}
	}
}

func TestACountThatIsCutShortSaysWhy(t *testing.T) {
	for name, want := range map[string]error{"breaks": redislock.ErrStolen, "closes": redislock.ErrClosed} {
		cut := 0
		for after := time.Duration(0); after < 1200*time.Millisecond; after += coarse(60 * time.Millisecond) {
			within(t, func(w *world) {
				ctx := context.Background()
				a, _ := w.processAt(100*time.Millisecond, "a")
				b, _ := w.process("b")
				counted := make(chan error, 1)
				go func() { counted <- barrier.NewLatch(a, name, 1).CountDown(ctx, "part") }()
				time.Sleep(after)
				var err error
				if name == "closes" {
					err = a.Close(ctx)
				} else {
					_, err = b.Break(ctx, "latch@count:"+name, "a test")
				}
				if err != nil {
					w.Error(err)
				}
				err = <-counted
				if err != nil && !errors.Is(err, want) || errors.Is(err, context.Canceled) {
					w.Errorf("%s after %v: %v", name, after, err)
				}
				if err != nil {
					cut++
				}
			})
		}
		if cut == 0 {
			t.Errorf("%s: no call was cut short", name)
		}
	}
}

// A party that is told to stop tells the others itself, for they may not have seen its place.
func TestAPartyThatIsToldToStopAtOnceBreaksTheBarrier(t *testing.T) {
	within(t, func(w *world) {
		a, _ := w.process("waits")
		c, _ := w.process("stops")
		if err := barrier.NewLatch(c, "connects", 1).CountDown(context.Background(), "part"); err != nil {
			w.Fatal(err)
		}
		for after := 5 * time.Millisecond; after < 60*time.Millisecond; after += 3 * time.Millisecond { // before that it has no place yet
			for _, alone := range []bool{false, true} {
				name := fmt.Sprint("x", after, alone)
				told := make(chan error, 1)
				waits := func() {
					x, cancel := context.WithTimeout(context.Background(), time.Minute)
					defer cancel()
					_, err := barrier.New(a, name, 3).Enter(x)
					told <- err
				}
				if !alone {
					go waits()
					time.Sleep(time.Second)
				}
				x, cancel := context.WithTimeout(context.Background(), after)
				_, err := barrier.New(c, name, 3, redislock.WithMetadata("shard 7")).Enter(x)
				cancel()
				if !errors.Is(err, context.DeadlineExceeded) {
					w.Errorf("after %v: %v", after, err)
				}
				if alone {
					waits()
				}
				stopped := time.Now()
				err = <-told
				broken, is := errors.AsType[*barrier.BrokenError](err)
				if !is || broken.Party.Client != "stops" || broken.Party.Metadata != "shard 7" || errors.Is(err, barrier.ErrOver) != alone {
					w.Errorf("after %v, alone %v: %v", after, alone, err)
				}
				if took := time.Since(stopped); took > time.Second {
					w.Errorf("after %v: told after %v", after, took)
				}
			}
		}
	})
}

// A party that is told to stop while Redis cannot be reached does not try for long to tell the others.
func TestAPartyThatIsToldToStopDuringAnOutageReturns(t *testing.T) {
	within(t, func(w *world) {
		c, n := w.process("stops")
		ctx, stop := context.WithCancel(context.Background())
		told := make(chan error, 1)
		go func() {
			_, err := barrier.New(c, "x", 2).Enter(ctx)
			told <- err
		}()
		time.Sleep(time.Second)
		n.Cut()
		time.Sleep(time.Second)
		stop()
		stopped := time.Now()
		if err := <-told; !errors.Is(err, context.Canceled) {
			w.Error(err)
		}
		if took := time.Since(stopped); took > 13*time.Second {
			w.Errorf("it has returned after %v", took)
		}
	})
}
