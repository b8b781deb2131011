package redislock_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

func TestAHoldMovesToAnotherProcessWithoutAGap(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		l := e.acquire(a, "x", redislock.WithMetadata("first half"))
		next := e.waiter(b, "x")
		e.queued(a, "x", 1)
		ticket, err := l.Handoff()
		if err != nil {
			t.Fatal(err)
		}
		if l.Err() == nil || !errors.Is(context.Cause(l.Context()), redislock.ErrReleased) {
			t.Errorf("the spent handle says %v", l.Err())
		}
		for range 2 {
			if err := l.Release(ctx); !errors.Is(err, redislock.ErrNotHeld) {
				t.Errorf("the spent handle's release: %v", err)
			}
			if _, err := l.Handoff(); !errors.Is(err, redislock.ErrNotHeld) {
				t.Errorf("the spent handle's handoff: %v", err)
			}
		}
		e.none(next, "the hold is on its way")
		moved, err := b.Resume(ctx, ticket, redislock.WithMetadata("second half"))
		if err != nil {
			t.Fatal(err)
		}
		if moved.Name() != "x" || moved.Fence() <= l.Fence() || moved.Err() != nil {
			t.Errorf("%s, fence %d after %d, %v", moved.Name(), moved.Fence(), l.Fence(), moved.Err())
		}
		for _, c := range []*redislock.Client{a, b} {
			if _, err := c.Resume(ctx, ticket); !errors.Is(err, redislock.ErrNotHeld) {
				t.Errorf("a second resume: %v", err)
			}
		}
		info, err := a.Inspect(ctx, "x")
		if err != nil || info.Holders != 1 || info.Holds[0].Owner.Metadata != "second half" || info.Holds[0].Since.UnixMicro() != l.Fence() {
			t.Errorf("%+v, %v", info, err)
		}
		e.none(next, "the hold has moved")
		e.release(moved)
		e.release(<-next)
		e.untouched("x")
	})
}

func TestAHandedOffHoldKeepsItsModeAndLivesForOneLease(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		three := redislock.WithMode(redislock.Semaphore(3))
		l := e.acquire(a, "x", three, redislock.WithWeight(2), redislock.WithLease(9*time.Second))
		time.Sleep(2 * time.Second) // a third of the lease is nearly over
		ticket, err := l.Handoff()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(8900 * time.Millisecond)
		e.refused(b, "x", three, redislock.WithWeight(2))
		moved, err := b.Resume(ctx, ticket, redislock.WithLease(5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // renewed
		e.refused(a, "x", three, redislock.WithWeight(2))
		one := e.acquire(a, "x", three, trying)
		if moved.Mode() != redislock.Semaphore(3) || moved.Err() != nil {
			t.Errorf("in %v, %v", moved.Mode(), moved.Err())
		}
		e.release(one)
		ticket, err = moved.Handoff()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5100 * time.Millisecond)
		if _, err := a.Resume(ctx, ticket); !errors.Is(err, redislock.ErrNotHeld) {
			t.Errorf("after its lease: %v", err)
		}
		e.untouched("x")
	})
}

func TestAClaimIsMadeWholeBeforeItIsHandedOff(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		a, b := e.client(), e.client()
		first := e.acquire(a, "x")
		got := e.waiter(b, "x", redislock.WithLease(20*time.Second))
		e.queued(a, "x", 1)
		e.release(first)
		ticket, err := (<-got).Handoff() // granted by message: it holds for a claim only
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(19 * time.Second)
		moved, err := a.Resume(context.Background(), ticket)
		if err != nil {
			t.Fatal(err)
		}
		e.release(moved)
		e.untouched("x")
	})
}

func TestWhatCannotBeHandedOff(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c := e.client()
		l := e.acquire(c, "x")
		inner := e.under(l.Context(), c, "x")
		for _, h := range []*redislock.Lock{l, inner} {
			if _, err := h.Handoff(); !errors.Is(err, redislock.ErrOrder) {
				t.Errorf("with nested handles: %v", err)
			}
		}
		e.release(inner)
		if _, err := c.Break(ctx, "x", "why"); err != nil {
			t.Fatal(err)
		}
		<-l.Context().Done()
		if _, err := l.Handoff(); !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrStolen) {
			t.Errorf("after a break: %v", err)
		}
		_ = l.Release(ctx)

		l = e.acquire(c, "x")
		ticket, err := l.Handoff()
		if err != nil {
			t.Fatal(err)
		}
		elsewhere := e.prefixed("other")
		for _, bad := range []string{"", "redislock1.", ticket[1:], ticket + "!", ticket[:len(ticket)-6], strings.Repeat("A", 200)} {
			if _, err := c.Resume(ctx, bad); !errors.Is(err, redislock.ErrInvalid) && !errors.Is(err, redislock.ErrNotHeld) {
				t.Errorf("a ticket %q: %v", bad, err)
			}
		}
		if _, err := elsewhere.Resume(ctx, ticket); !errors.Is(err, redislock.ErrInvalid) || strings.Contains(err.Error(), ticket) {
			t.Errorf("another prefix: %v", err)
		}
		for _, opt := range []redislock.Option{trying, reading, redislock.WithWeight(2), redislock.WithStealAfter(time.Second)} {
			if _, err := c.Resume(ctx, ticket, opt); !errors.Is(err, redislock.ErrInvalid) {
				t.Errorf("an option that means nothing here: %v", err)
			}
		}
		moved, err := c.Resume(ctx, ticket)
		if err != nil {
			t.Fatal(err)
		}
		e.release(moved)
		e.untouched("x")
	})
}

func TestAHandoffBesideReleasesIsOneOrTheOther(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c := e.client()
		for range 200 {
			l := e.acquire(c, "x", redislock.WithoutRenewal())
			var (
				wg     sync.WaitGroup
				ticket string
				failed error
			)
			wg.Go(func() { ticket, failed = l.Handoff() })
			for range 2 {
				wg.Go(func() { _ = l.Release(ctx) })
			}
			wg.Wait()
			if failed == nil {
				moved, err := c.Resume(ctx, ticket)
				if err != nil {
					t.Fatalf("a ticket of a lock that was given back: %v", err)
				}
				e.release(moved)
			} else if !errors.Is(failed, redislock.ErrNotHeld) {
				t.Error(failed)
			}
		}
		e.untouched("x")
	})
}

func TestAResumedHoldIsAsOldAsItWas(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		l := e.acquire(a, "x", reading)
		time.Sleep(1200 * time.Millisecond)
		fresh := e.acquire(b, "x", reading)
		ticket, err := l.Handoff()
		if err != nil {
			t.Fatal(err)
		}
		moved, err := b.Resume(ctx, ticket)
		if err != nil {
			t.Fatal(err)
		}
		e.refused(a, "x", redislock.WithStealAfter(time.Second))
		e.eventually("the old one is stolen", func() bool { return errors.Is(moved.Err(), redislock.ErrStolen) })
		if fresh.Err() != nil {
			t.Errorf("the fresh one beside it: %v", fresh.Err())
		}
		e.release(fresh)
		_ = moved.Release(ctx)
		e.untouched("x")
	})
}
