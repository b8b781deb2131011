package redislock_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// The answer of a renewal comes when the goroutine that had the lock as it left is through; it is the next one's.
func TestALeaseIsRenewedWhereTheLockGoesOnFasterThanAnAnswerComes(t *testing.T) {
	embedded(t, 2*time.Millisecond, func(e *env, _ *fakenet.Network) {
		c := e.client()
		e.warm(c)
		options := []redislock.Option{redislock.WithTurn(redislock.MaxTurn), redislock.WithLease(300 * time.Millisecond)}
		begun := time.Now()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				for time.Since(begun) < 900*time.Millisecond {
					l := e.acquire(c, "x", options...)
					time.Sleep(time.Millisecond)
					if err := l.Err(); err != nil {
						e.Errorf("after %v: %v", time.Since(begun), err)
					}
					if err := l.Release(e.Context()); err != nil {
						e.Errorf("after %v: %v", time.Since(begun), err)
					}
				}
			})
		}
		all.Wait()
	})
}

// I2: as for any other fence that the Client has given.
func TestFencesOfATurnAreRememberedWhenDataIsLostAndTheClockIsSetBack(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		options := []redislock.Option{redislock.WithTurn(redislock.MaxTurn)}
		first := e.acquire(c, "x", options...)
		got := make(chan *redislock.Lock)
		go func() { got <- e.acquire(c, "x", options...) }()
		time.Sleep(10 * time.Millisecond)
		e.release(first)
		second := <-got
		e.release(second)
		e.raw.FlushAll(e.Context())
		e.mini.SetTime(time.Now().Add(-time.Hour))
		third := e.acquire(c, "x", options...)
		if third.Fence() <= second.Fence() {
			e.Errorf("fence %d after %d", third.Fence(), second.Fence())
		}
		e.release(third)
	})
}

// I8, in the time that an acquire takes which gives up.
func TestWhoGivesUpAsItIsServedDoesNotWaitForARedisThatIsGone(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		c := e.client()
		options := []redislock.Option{redislock.WithTurn(redislock.MaxTurn), redislock.WithLease(2 * time.Second)}
		for served := false; !served; { // otherwise it has left the line before the release, which goes to Redis
			first := e.acquire(c, "x", options...)
			ctx, cancel := context.WithCancel(e.Context())
			gaveUp := make(chan error)
			go func() {
				_, err := c.Acquire(ctx, "x", options...)
				gaveUp <- err
			}()
			time.Sleep(10 * time.Millisecond)
			n.Cut()
			begun := time.Now()
			cancel()
			served = first.Release(e.Context()) == nil
			if err := <-gaveUp; !errors.Is(err, context.Canceled) {
				e.Error(err)
			}
			if took := time.Since(begun); served && took > 500*time.Millisecond {
				e.Errorf("it returned after %v", took)
			}
			n.Mend()
			time.Sleep(5 * time.Second)
		}
	})
}

func TestADrainWaitsForALingeringLockToBeGivenBack(t *testing.T) {
	embedded(t, 5*time.Millisecond, func(e *env, _ *fakenet.Network) {
		c := e.client()
		e.warm(c)
		time.Sleep(20 * time.Millisecond)
		e.release(e.acquire(c, "x", redislock.WithLinger(redislock.MaxLinger)))
		if err := c.Drain(e.Context()); err != nil {
			e.Error(err)
		}
		if n := e.raw.HLen(e.Context(), "redislock:{x}").Val(); n != 1 {
			e.Errorf("the hash has %d fields", n)
		}
	})
}

// I11: while its process only waits for the lock, somebody else has it.
func TestTryAcquireBesideAWaiterOfItsProcessSaysWhoHasTheLock(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c, other := e.client(redislock.WithName("one")), e.client(redislock.WithName("two"))
		l := e.acquire(other, "x")
		got := make(chan *redislock.Lock)
		go func() { got <- e.acquire(c, "x", redislock.WithTurn(redislock.MaxTurn)) }()
		e.queued(other, "x", 1)
		for what, wait := range map[string]time.Duration{"": 0, "after a second: ": time.Second} {
			var held *redislock.HeldError
			_, err := c.Acquire(e.Context(), "x", redislock.WithTurn(redislock.MaxTurn), redislock.WithWait(wait))
			if !errors.As(err, &held) || held.Holder.Client == "one" || wait == 0 && held.Holder.Client != "two" {
				e.Errorf("%s%v", what, err)
			}
		}
		e.release(l)
		e.release(<-got)
	})
}
