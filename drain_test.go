package redislock_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// draining begins a Drain and returns when it has begun; the channel gets what it returns.
func draining(e *env, ctx context.Context, c *redislock.Client) <-chan error {
	e.Helper()
	done := make(chan error, 1)
	go func() { done <- c.Drain(ctx) }()
	e.eventually("it drains", func() bool {
		l, err := c.TryAcquire(context.Background(), "is it draining?")
		if err == nil { // not yet
			e.release(l)
		}
		return errors.Is(err, redislock.ErrDraining)
	})
	return done
}

func TestDrainWaitsForTheLocksThatAreHeldAndTakesNoMore(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		events := &recorder{}
		c := e.client(redislock.WithObserver(events))
		first, second := e.acquire(c, "a", redislock.WithLease(time.Second)), e.acquire(c, "b")
		done := draining(e, ctx, c)
		refused := func(what string, err error) {
			e.Helper()
			if !errors.Is(err, redislock.ErrDraining) || !errors.Is(err, redislock.ErrClosed) {
				e.Errorf("%s while it drains: %v", what, err)
			}
		}
		body := func(context.Context) error { e.Error("a body ran while the Client drained"); return nil }
		_, err := c.Acquire(ctx, "c")
		refused("Acquire", err)
		_, err = c.AcquireAll(ctx, []string{"c", "d"})
		refused("AcquireAll", err)
		refused("Do", c.Do(ctx, "c", body))
		refused("Once", c.Once(ctx, "c", body))
		refused("Elect", c.Elect(ctx, "c", body))
		_, err = c.Cron("c").Run(ctx, time.Now(), body)
		refused("Cron", err)
		if _, err := c.Inspect(ctx, "a"); err != nil {
			e.Errorf("Inspect while it drains: %v", err)
		}
		time.Sleep(1500 * time.Millisecond) // longer than the lease
		if err := first.Err(); err != nil {
			e.Errorf("it drains, and a lock is not renewed: %v", err)
		}
		e.release(first)
		select {
		case err := <-done:
			e.Errorf("it has drained under a lock that is held: %v", err)
		default:
		}
		e.release(second)
		if err := <-done; err != nil {
			e.Error(err)
		}
		if err := c.Drain(ctx); err != nil {
			e.Errorf("a second Drain: %v", err)
		}
		if n := events.count(redislock.EventDraining); n != 1 {
			e.Errorf("the Observer was told %d times", n)
		}
		e.untouched("c")
	})
}

func TestWhatRunsUnderALockTakesWhatItNeedsWhileTheClientDrains(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		e.warm(a, b)
		busy := e.acquire(b, "z")
		began, proceed := make(chan struct{}), make(chan struct{})
		ran := make(chan error, 1)
		go func() {
			ran <- a.Do(ctx, "x", func(ctx context.Context) error {
				close(began)
				<-proceed
				return errors.Join(
					a.Do(ctx, "x", func(context.Context) error { return nil }), // nested
					a.Do(ctx, "y", func(context.Context) error { return nil }),
					a.Do(ctx, "z", func(context.Context) error { return nil }), // this one has to wait
				)
			})
		}()
		<-began
		done := draining(e, ctx, a)
		close(proceed)
		e.queued(b, "z", 1)
		e.release(busy)
		if err := errors.Join(<-ran, <-done); err != nil {
			e.Error(err)
		}
		late, err := a.Acquire(ctx, "x")
		if !errors.Is(err, redislock.ErrDraining) || late != nil {
			e.Errorf("%v after it has drained", err)
		}
	})
}

func TestDrainFailsThoseThatWaitAndLeavesNothingOfThem(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		e.warm(a, b)
		held, reader := e.acquire(a, "x"), e.acquire(b, "r", redislock.WithMode(redislock.Read))
		other := e.acquire(a, "r", redislock.WithMode(redislock.Read))
		waited, upgraded := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := b.Acquire(ctx, "x")
			waited <- err
		}()
		go func() { upgraded <- reader.Upgrade(ctx) }()
		e.queued(a, "x", 1)
		e.queued(a, "r", 1)
		done := draining(e, ctx, b)
		if err := <-waited; !errors.Is(err, redislock.ErrDraining) {
			e.Errorf("a wait ended with %v", err)
		}
		e.queued(a, "x", 0)
		e.release(other) // an upgrade is allowed, as its lock is held
		if err := <-upgraded; err != nil {
			e.Errorf("the upgrade ended with %v", err)
		}
		e.release(reader)
		if err := <-done; err != nil {
			e.Error(err)
		}
		e.release(held)
	})
}

// Whenever Drain is called, either the lock is held and Drain waits for it, or the acquire is refused and the lock is
// free.
func TestDrainAtAnyMomentOfAnAcquire(t *testing.T) {
	for at := 1; ; at++ {
		last := false
		embedded(t, time.Millisecond, func(e *env, n *fakenet.Network) {
			c := e.client()
			drained := make(chan error, 1)
			m := &meddler{Context: context.Background(), at: at, do: func() { go func() { drained <- c.Drain(context.Background()) }() }}
			l, err := c.Acquire(m, "x")
			last = m.steps() < at
			switch {
			case last:
				e.release(l)
				return
			case err == nil:
				time.Sleep(time.Second)
				select {
				case err := <-drained:
					e.Errorf("step %d: it has drained (%v) under a lock that is held", at, err)
				default:
				}
				e.release(l)
			case !errors.Is(err, redislock.ErrDraining):
				e.Errorf("step %d: %v", at, err)
			}
			if err := <-drained; err != nil {
				e.Errorf("step %d: %v", at, err)
			}
			e.untouched("x")
		})
		if last {
			break
		}
	}
}

func TestADrainWhoseContextEndsNamesWhatIsStillHeld(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		l := e.acquire(c, "the slow one")
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := c.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the slow one") {
			e.Error(err)
		}
		if err := c.Drain(l.Context()); !errors.Is(err, redislock.ErrDeadlock) {
			e.Errorf("under its own lock: %v", err)
		}
		var nothing context.Context
		if err := c.Drain(nothing); !errors.Is(err, redislock.ErrInvalid) {
			e.Error(err)
		}
		if err := (&redislock.Client{}).Drain(ctx); !errors.Is(err, redislock.ErrInvalid) {
			e.Error(err)
		}
		closed := make(chan error, 1)
		go func() { closed <- c.Close(context.Background()) }()
		time.Sleep(time.Second)
		if _, err := c.Acquire(context.Background(), "x"); !errors.Is(err, redislock.ErrClosed) || errors.Is(err, redislock.ErrDraining) {
			e.Errorf("closed after it drained: %v", err)
		}
		e.release(l)
		if err := errors.Join(<-closed, c.Drain(context.Background())); err != nil {
			e.Error(err)
		}
	})
}
