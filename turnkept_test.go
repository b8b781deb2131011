package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// The answer to a renewal comes after the goroutine that had the lock at its sending has released it. It counts for
// the next one.
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

// I2: as for any other fence that the Client has seen.
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

// I8, for an acquire that gives up.
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

func TestHeldTellsWhatLingers(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c, other := e.client(), e.client()
		e.warm(c, other)
		time.Sleep(10 * time.Millisecond) // it subscribes
		granted := time.Now()
		lock := e.acquire(c, "x", append(inTurns(), redislock.WithMetadata("the first"))...)
		if held := c.Held(); len(held) != 1 || !held[0].Lingers.IsZero() || held[0].Metadata != "the first" {
			e.Errorf("while it is held: %+v", held)
		}
		time.Sleep(time.Millisecond)
		released := time.Now()
		e.release(lock)
		e.release(e.acquire(c, "y", append(inTurns(), redislock.WithMode(redislock.Read))...))
		held := c.Held()
		if len(held) != 2 || held[1].Mode.String() != "read" || held[1].Lingers.IsZero() {
			e.stop(fmt.Errorf("two locks linger: %+v", held))
		}
		x := held[0]
		if x.Name != "x" || x.Fence != lock.Fence() || x.Mode.String() != "exclusive" || x.Weight != 1 || x.Metadata != "" || !x.Since.Equal(granted) ||
			!x.Lingers.Equal(released.Add(lingerTime)) || x.Deadline.Before(released.Add(redislock.DefaultLease/2)) {
			e.Errorf("%+v", x)
		}
		if info, err := other.Inspect(e.Context(), "x"); err != nil || info.Holders != 1 || !info.Holds[0].Owner.Turns {
			e.Errorf("Redis knows of no linger, only that the process holds it and takes turns: %+v, %v", info, err)
		}
		again := e.acquire(c, "x", inTurns()...)
		if held := c.Held(); len(held) != 2 || !held[0].Lingers.IsZero() || held[0].Fence != again.Fence() {
			e.Errorf("had again: %+v", held)
		}
		e.release(again)
		e.release(e.acquire(other, "x")) // it is recalled
		if held := c.Held(); len(held) != 1 || held[0].Name != "y" {
			e.Errorf("after a recall: %+v", held)
		}
		time.Sleep(2 * lingerTime)
		if held := c.Held(); len(held) != 0 {
			e.Errorf("after the linger: %+v", held)
		}
	})
}
