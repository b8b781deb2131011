package redislock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

func TestHeldTellsWhatTheClientHolds(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(), e.client()
		if held := a.Held(); len(held) != 0 {
			e.Errorf("a new Client holds %v", held)
		}
		began := time.Now()
		read := redislock.WithMode(redislock.Read)
		second := e.acquire(a, "b", read, redislock.WithMetadata("the report"))
		third := e.acquire(a, "b", read)
		first := e.acquire(a, "a", redislock.WithMode(redislock.Semaphore(5)), redislock.WithWeight(3), redislock.WithLease(time.Second))
		nested := e.acquire(a, "c")
		inner, err := a.Acquire(nested.Context(), "c")
		if err != nil {
			e.stop(err)
		}
		other := e.acquire(b, "d")

		held := a.Held()
		want := []struct {
			lock     *redislock.Lock
			metadata string
			weight   int
		}{{first, "", 3}, {second, "the report", 1}, {third, "", 1}, {nested, "", 1}}
		if len(held) != len(want) {
			e.stop(errors.New("not one line for each hold"))
		}
		for i, w := range want {
			h := held[i]
			if h.Name != w.lock.Name() || h.Fence != w.lock.Fence() || h.Mode != w.lock.Mode() || h.Weight != w.weight || h.Metadata != w.metadata {
				e.Errorf("%d: %+v, want %q, fence %d", i, h, w.lock.Name(), w.lock.Fence())
			}
			if h.Since.Before(began.Add(-time.Millisecond)) || h.Since.After(time.Now()) {
				e.Errorf("%q is said to be held since %v, the test began at %v", h.Name, h.Since, began)
			}
			if d := w.lock.Deadline(); d.Before(h.Deadline) || h.Deadline.Before(h.Since) {
				e.Errorf("%q is said to be held until %v, and then until %v", h.Name, h.Deadline, d)
			}
		}
		for _, l := range []*redislock.Lock{inner, nested, third, second, first, other} {
			e.release(l)
		}
		if held := a.Held(); len(held) != 0 {
			e.Errorf("after the releases it holds %v", held)
		}
	})
}

func TestWaitingTellsWhatTheClientWaitsFor(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(redislock.WithName("api-1")), e.client()
		e.warm(a, b)
		held := e.acquire(a, "x")
		began := time.Now()
		bounded, cancel := context.WithDeadline(context.Background(), began.Add(time.Hour))
		defer cancel()
		ended := make(chan error, 3)
		for i, opts := range [][]redislock.Option{
			{redislock.WithMetadata("the import"), redislock.WithWait(time.Minute)},
			{redislock.WithMode(redislock.Read), redislock.WithWait(2 * time.Hour)},
			{},
		} {
			ctx := bounded
			if i == 2 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithCancel(context.Background())
				defer cancel()
			}
			go func() {
				l, err := b.Acquire(ctx, "x", opts...)
				if err == nil {
					err = l.Release(context.Background())
				}
				ended <- err
			}()
			e.queued(a, "x", i+1)
			e.eventually("it is told of", func() bool { return len(b.Waiting()) == i+1 })
		}
		if waiting := a.Waiting(); len(waiting) != 0 {
			e.Errorf("the holder waits for %v", waiting)
		}
		for i, w := range b.Waiting() {
			until := []time.Time{w.Since.Add(time.Minute), began.Add(time.Hour), {}}[i]
			metadata := []string{"the import", "", ""}[i]
			mode := []redislock.Mode{redislock.Exclusive, redislock.Read, redislock.Exclusive}[i]
			if w.Name != "x" || w.Metadata != metadata || w.Mode != mode || w.Weight != 1 || w.Holder.Client != "api-1" || !w.Deadline.Equal(until) || w.Since.Before(began) {
				e.Errorf("%d: %+v, want it until %v", i, w, until)
			}
		}
		e.release(held)
		for range 3 {
			if err := <-ended; err != nil {
				e.Error(err)
			}
		}
		if waiting := b.Waiting(); len(waiting) != 0 {
			e.Errorf("after the grants it waits for %v", waiting)
		}
	})
}

func TestAWaitThatFailsIsToldOfNoMore(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		a, b := e.client(), e.client()
		held := e.acquire(a, "x")
		if _, err := b.Acquire(context.Background(), "x", redislock.WithWait(time.Second)); !errors.Is(err, redislock.ErrHeld) {
			e.Error(err)
		}
		if waiting := b.Waiting(); len(waiting) != 0 {
			e.Errorf("after the wait it waits for %v", waiting)
		}
		e.release(held)
	})
}

func TestTheDeadlineOfALockMovesWithItsRenewalsAndEndsWithIt(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		a := e.client()
		l := e.acquire(a, "x", redislock.WithLease(3*time.Second), redislock.WithMaxHold(10*time.Second))
		began := time.Now()
		near := func(want time.Duration) {
			e.Helper()
			if got := l.Deadline().Sub(began); got > want || got < want-60*time.Millisecond { // a renewal may be early by 3 % of a third
				e.Errorf("the deadline is %v after the grant, want %v less the margin", got, want)
			}
		}
		near(3 * time.Second)
		time.Sleep(1500 * time.Millisecond) // it was renewed after a third
		near(4 * time.Second)
		time.Sleep(7 * time.Second)
		if got := l.Deadline().Sub(began); got > 10*time.Second || got < 10*time.Second-time.Millisecond {
			e.Errorf("the deadline is %v after the grant, and WithMaxHold says 10 s", got)
		}
		time.Sleep(2 * time.Second)
		if !errors.Is(l.Err(), redislock.ErrLost) || !l.Deadline().IsZero() {
			e.Errorf("%v, and the deadline is %v", l.Err(), l.Deadline())
		}
		if held := a.Held(); len(held) != 0 {
			e.Errorf("a lock that is lost is said to be held: %v", held)
		}
		var none *redislock.Lock
		if !none.Deadline().IsZero() || !(&redislock.Lock{}).Deadline().IsZero() {
			e.Error("a handle that is none has a deadline")
		}
	})
}
