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

// panicked is the error that f panics with, nil if it does not.
func panicked(f func()) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = value.(error)
		}
	}()
	f()
	return nil
}

func TestGoroutinesShareALockerLikeAMutex(t *testing.T) {
	both(t, func(e *env) {
		m := meter{meterDial: &meterDial{}}
		var all sync.WaitGroup
		for _, c := range []*redislock.Client{e.client(), e.client()} {
			mu := c.Locker(e.soon(), "x")
			for range 4 {
				all.Go(func() {
					for range 10 {
						mu.Lock()
						if err := m.add(); err != nil {
							e.Error(err)
						}
						mu.Unlock()
					}
				})
			}
		}
		all.Wait()
		if m.total != 80 {
			e.Errorf("the total is %d, want 80", m.total)
		}
		e.untouched("x")
	})
}

func TestALockersLockPanicsWithTheErrorOfTheAcquire(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(), e.client()
		e.warm(c)
		l := e.acquire(other, "x")
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err := panicked(c.Locker(ctx, "x").Lock)
		if !errors.Is(err, redislock.ErrHeld) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `acquire "x"`) {
			e.Errorf("when its context ends: %v", err)
		}
		if err := panicked(c.Locker(e.soon(), "x", redislock.WithWait(0)).Lock); !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("without waiting: %v", err)
		}
		e.release(l)
		if err := panicked(c.Locker(e.soon(), "x", redislock.WithLease(0)).Lock); !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("an option that cannot work: %v", err)
		}
		e.untouched("x")
	})
}

func TestALockIsNeverNestedInAHoldOfTheLockersContext(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		l := e.acquire(c, "x")
		mu := c.Locker(l.With(e.soon()), "x")
		if err := panicked(mu.Lock); !errors.Is(err, redislock.ErrDeadlock) {
			e.Errorf("under a hold of the same lock: %v", err)
		}
		e.release(l)
		e.untouched("x")
	})
}

func TestALockersUnlockPanicsWhenNothingIsLocked(t *testing.T) {
	both(t, func(e *env) {
		mu := e.client().Locker(e.soon(), "x")
		for range 2 {
			if err := panicked(mu.Unlock); !errors.Is(err, redislock.ErrNotHeld) {
				e.Errorf("an Unlock too many: %v", err)
			}
			if err := errors.Join(panicked(mu.Lock), panicked(mu.Unlock)); err != nil {
				e.Error(err)
			}
		}
		e.untouched("x")
	})
}

func TestALockersUnlockWorksWhenTheContextHasEnded(t *testing.T) {
	both(t, func(e *env) {
		ctx, cancel := context.WithCancel(context.Background())
		mu := e.client().Locker(ctx, "x")
		mu.Lock()
		cancel()
		if err := panicked(mu.Unlock); err != nil {
			e.Error(err)
		}
		if err := panicked(mu.Lock); !errors.Is(err, context.Canceled) {
			e.Errorf("a Lock after it: %v", err)
		}
		e.untouched("x")
	})
}

func TestALockersUnlockPanicsWhenTheLockWasLost(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		var seen recorder
		c, other := e.client(redislock.WithObserver(&seen)), e.client()
		mu := c.Locker(e.soon(), "x")
		for _, known := range []bool{true, false} {
			mu.Lock()
			if known {
				if _, err := other.Break(ctx, "x", "node-3 is on fire"); err != nil {
					e.Fatal(err)
				}
				e.eventually("the loss is known", func() bool { return seen.count(redislock.EventStolen) == 1 })
			} else {
				e.raw.Del(ctx, "redislock:{x}") // no message tells of it
			}
			mu.Lock() // of another goroutine, which may be quicker than the one that lost its lock
			if err := panicked(mu.Unlock); !errors.Is(err, redislock.ErrNotHeld) || errors.Is(err, redislock.ErrStolen) != known {
				e.Errorf("the Unlock of what was lost, known %v: %v", known, err)
			}
			if _, err := other.TryAcquire(ctx, "x"); !errors.Is(err, redislock.ErrHeld) {
				e.Errorf("I1: that Unlock gave back the lock of another goroutine, known %v: %v", known, err)
			}
			if err := panicked(mu.Unlock); err != nil {
				e.Errorf("the Unlock of what was not lost, known %v: %v", known, err)
			}
		}
		e.untouched("x")
	})
}

func TestALockerInASharedModeGivesBackLostHoldsFirst(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		var seen recorder
		c, writer := e.client(redislock.WithObserver(&seen)), e.client()
		mu := c.Locker(e.soon(), "x", redislock.WithMode(redislock.Read), redislock.WithLease(1500*time.Millisecond))
		excluded := func(when string) {
			e.Helper()
			if _, err := writer.TryAcquire(ctx, "x", redislock.WithMode(redislock.Write)); !errors.Is(err, redislock.ErrHeld) {
				e.Errorf("I1: a writer %s: %v", when, err)
			}
		}
		mu.Lock()
		if err := errors.Join(panicked(mu.Lock), panicked(mu.Unlock)); err != nil { // beside the other one
			e.Error(err)
		}
		excluded("beside the first of two readers")

		mu.Lock()
		_, release := redislock.Script("release")
		second := e.raw.HGet(ctx, "redislock:{x}", "s").Val()[22:44] // the last of the holds
		if err := e.raw.Eval(ctx, release, []string{"redislock:{x}"}, second).Err(); err != nil {
			e.Fatal(err)
		}
		e.eventually("the loss is noticed by a renewal", func() bool { return seen.count(redislock.EventLost) == 1 })
		if err := panicked(mu.Unlock); !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrLost) {
			e.Errorf("the first Unlock after the loss: %v", err)
		}
		excluded("beside a reader that has not lost its hold")
		if err := panicked(mu.Unlock); err != nil {
			e.Errorf("the Unlock of what was not lost: %v", err)
		}
		l := e.acquire(writer, "x", redislock.WithMode(redislock.Write), redislock.WithWait(0))
		e.release(l)
		e.untouched("x")
	})
}

func TestALockersUnlockDoesNotPanicWhenRedisDoesNotAnswer(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, n *fakenet.Network) {
		mu := e.client().Locker(e.soon(), "x")
		mu.Lock()
		n.Cut()
		if err := panicked(mu.Unlock); err != nil {
			e.Error(err)
		}
		if e.raw.HLen(context.Background(), "redislock:{x}").Val() < 2 {
			e.Error("the release arrived, so this test shows nothing")
		}
		if err := panicked(mu.Unlock); !errors.Is(err, redislock.ErrNotHeld) {
			e.Errorf("an Unlock too many: %v", err)
		}
		n.Mend()
		e.untouched("x") // it is given back in the background
	})
}
