package redislock_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// full reports whether an acquire failed because too many wait, and checks their number.
func (e *env) full(err error, waiting int) {
	e.Helper()
	held, is := errors.AsType[*redislock.HeldError](err)
	if !is || !errors.Is(err, redislock.ErrQueueFull) || !errors.Is(err, redislock.ErrHeld) || held.Waiting != waiting {
		e.Errorf("%v; want a full queue of %d", err, waiting)
	}
}

func TestAFullQueueIsRefusedAtOnce(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		clients := []*redislock.Client{e.client(), e.client(), e.client()}
		e.warm(clients...)
		held := e.acquire(clients[0], "x", redislock.WithMaxQueue(1))
		bound := redislock.WithMaxQueue(2)
		waited := make(chan error, 4)
		wait := func(c *redislock.Client, opts ...redislock.Option) {
			l, err := c.Acquire(ctx, "x", opts...)
			if err == nil {
				err = l.Release(ctx)
			}
			waited <- err
		}
		go wait(clients[1], bound)
		e.queued(clients[0], "x", 1)
		go wait(clients[2], bound)
		e.queued(clients[0], "x", 2)
		for i, c := range clients {
			began := time.Now()
			_, err := c.Acquire(ctx, "x", bound)
			e.full(err, 2)
			if took := time.Since(began); e.mini != nil && took > 10*time.Millisecond {
				e.Errorf("%d: it took %v", i, took)
			}
			_, err = c.Acquire(ctx, "x", bound, redislock.WithMode(redislock.Read), redislock.WithStealAfter(time.Hour))
			e.full(err, 2)
		}
		go wait(clients[2]) // without a bound
		e.queued(clients[0], "x", 3)
		_, err := clients[1].Acquire(ctx, "x", redislock.WithMaxQueue(1))
		e.full(err, 3)
		go wait(clients[1], redislock.WithMaxQueue(4))
		e.queued(clients[0], "x", 4)
		e.release(held)
		for range 4 {
			if err := <-waited; err != nil {
				e.Error(err)
			}
		}
		e.release(e.acquire(clients[0], "x", redislock.WithMaxQueue(1)))
	})
}

func TestNoMoreThanTheBoundWaitHoweverManyComeAtOnce(t *testing.T) {
	both(t, func(e *env) {
		const bound, callers = 5, 40
		ctx := context.Background()
		clients := []*redislock.Client{e.client(), e.client(), e.client(), e.client()}
		e.warm(clients...)
		held := e.acquire(clients[0], "x")
		var all sync.WaitGroup
		var got, refused atomic.Int32
		for i := range callers {
			all.Go(func() {
				l, err := clients[i%len(clients)].Acquire(ctx, "x", redislock.WithMaxQueue(bound))
				switch {
				case err == nil:
					got.Add(1)
					e.release(l)
				case errors.Is(err, redislock.ErrQueueFull):
					refused.Add(1)
				default:
					e.Error(err)
				}
			})
		}
		e.eventually("all but five are refused", func() bool { return refused.Load() == callers-bound })
		e.queued(clients[0], "x", bound)
		e.release(held)
		all.Wait()
		if got.Load() != bound {
			e.Errorf("%d got the lock, of %d that waited", got.Load(), bound)
		}
	})
}

func TestAPlaceOfAProcessThatDiedDoesNotCountForLong(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		ctx := context.Background()
		own := &fakenet.Network{Dial: n.Dial}
		a, dying := e.client(), e.clientOn(own)
		e.warm(a, dying)
		held := e.acquire(a, "x")
		gone, cancel := context.WithCancel(ctx)
		var all sync.WaitGroup
		for range 20 { // more than one script clears away
			all.Go(func() { _, _ = dying.Acquire(gone, "x") })
		}
		e.queued(a, "x", 20)
		own.Cut()
		cancel()
		all.Wait()
		_, err := a.Acquire(ctx, "x", redislock.WithMaxQueue(1))
		e.full(err, 20)
		time.Sleep(8 * time.Second)
		waited := make(chan error, 1)
		go func() {
			l, err := a.Acquire(ctx, "x", redislock.WithMaxQueue(1))
			if err == nil {
				err = l.Release(ctx)
			}
			waited <- err
		}()
		e.queued(a, "x", 1)
		e.release(held)
		if err := <-waited; err != nil {
			e.Error(err)
		}
		own.Mend()
	})
}

func TestABoundOfTheQueueIsRefusedWhereThereIsNone(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		c := e.client()
		l := e.acquire(c, "x")
		ticket, err := l.Handoff()
		if err != nil {
			e.stop(err)
		}
		bound := redislock.WithMaxQueue(1)
		_, resumed := c.Resume(ctx, ticket, bound)
		_, weak := c.AcquireWeak(ctx, "x", bound)
		for what, err := range map[string]error{"Resume": resumed, "AcquireWeak": weak} {
			if !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("%s: %v", what, err)
			}
		}
		l, err = c.Resume(ctx, ticket)
		if err != nil {
			e.stop(err)
		}
		e.release(l)
	})
}
