package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

const (
	turnTime   = 10 * time.Millisecond
	lingerTime = 50 * time.Millisecond
)

// commands counts what the embedded server has executed, what scripts call included.
func commands(e *env) int64 { return int64(e.mini.CommandCount()) }

func inTurns() []redislock.Option {
	return []redislock.Option{redislock.WithTurn(turnTime), redislock.WithLinger(lingerTime)}
}

func TestGoroutinesOfAProcessHaveTheLockOneAfterTheOtherWithoutARequest(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		first := e.acquire(c, "x", redislock.WithTurn(time.Second))
		var mu sync.Mutex
		var order []int
		last := first.Fence()
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() {
				l := e.acquire(c, "x", redislock.WithTurn(time.Second), redislock.WithMetadata(fmt.Sprint("number ", i)))
				mu.Lock()
				order = append(order, i)
				if l.Fence() <= last {
					e.Errorf("fence %d after %d", l.Fence(), last)
				}
				last = l.Fence()
				mu.Unlock()
				if err := l.Err(); err != nil {
					e.Error(err)
				}
				time.Sleep(time.Millisecond)
				e.release(l)
				if !errors.Is(context.Cause(l.Context()), redislock.ErrReleased) || !errors.Is(l.Err(), redislock.ErrReleased) {
					e.Errorf("after its release: %v", l.Err())
				}
			})
			time.Sleep(time.Millisecond)
		}
		before := commands(e)
		e.release(first)
		all.Wait()
		if n := commands(e) - before; n > 12 { // the last one's release, and what its script does
			e.Errorf("%d commands for five grants within the process", n)
		}
		if fmt.Sprint(order) != "[0 1 2 3 4]" {
			e.Errorf("served in the order %v", order)
		}
		next := e.acquire(e.client(), "x")
		if next.Fence() <= last {
			e.Errorf("another process has fence %d after %d", next.Fence(), last)
		}
		e.release(next)
	})
}

func TestALockThatLingersIsHadAgainWithoutARequest(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		e.warm(c)
		time.Sleep(10 * time.Millisecond) // it subscribes
		last := int64(0)
		e.release(e.acquire(c, "x", inTurns()...))
		before := commands(e)
		for range 10 {
			time.Sleep(time.Millisecond)
			l := e.acquire(c, "x", inTurns()...)
			if l.Fence() <= last {
				e.Errorf("fence %d after %d", l.Fence(), last)
			}
			last = l.Fence()
			time.Sleep(time.Millisecond)
			e.release(l)
		}
		if n := commands(e) - before; n != 0 {
			e.Errorf("%d commands for what lingered", n)
		}
		time.Sleep(2 * lingerTime)
		if info, err := c.Inspect(e.Context(), "x"); err != nil || info.Holders != 0 || info.Fence != last {
			e.Errorf("after the linger: %+v, %v; the last fence was %d", info, err, last)
		}
	})
}

func TestALingeringLockIsGivenToWhoWaitsAtOnce(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		a, b := e.client(), e.client()
		e.warm(a, b)
		e.release(e.acquire(b, "y", redislock.WithWait(time.Second)))
		for i := range 3 {
			e.release(e.acquire(a, "x", inTurns()...))
			begun := time.Now()
			e.release(e.acquire(b, "x"))
			if took := time.Since(begun); took > 20*time.Millisecond {
				e.Errorf("number %d waited %v for a lock that lingered", i, took)
			}
		}
		e.release(e.acquire(a, "x", inTurns()...))
		e.release(e.acquire(a, "y", inTurns()...)) // another name lingers
		time.Sleep(5 * time.Millisecond)
		if _, err := b.TryAcquire(e.Context(), "y"); !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("y does not linger: %v", err)
		}
		e.release(e.acquire(b, "x", redislock.WithWait(0))) // after three recalls it does not linger
		time.Sleep(31 * time.Second)
		e.release(e.acquire(a, "x", inTurns()...))
		if _, err := b.TryAcquire(e.Context(), "x"); !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("x does not linger again: %v", err)
		}
	})
}

// The queue of the server sees one place of a process, and another process waits for a turn and no longer.
func TestAnotherProcessWaitsForATurnAndNoLonger(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		a, b := e.client(), e.client()
		e.warm(a, b)
		time.Sleep(10 * time.Millisecond)
		stop := make(chan struct{})
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					l := e.acquire(a, "x", redislock.WithTurn(turnTime))
					time.Sleep(time.Millisecond)
					e.release(l)
				}
			})
		}
		time.Sleep(5 * time.Millisecond)
		for range 5 {
			begun := time.Now()
			l := e.acquire(b, "x")
			if took := time.Since(begun); took > turnTime+6*time.Millisecond { // and the bodies of those who came before
				e.Errorf("it waited %v", took)
			}
			if info, err := b.Inspect(e.Context(), "x"); err != nil || info.Waiting > 1 {
				e.Errorf("%d places, %v", info.Waiting, err)
			}
			time.Sleep(time.Millisecond)
			e.release(l)
			time.Sleep(30 * time.Millisecond)
		}
		close(stop)
		all.Wait()
	})
}

// A recall that is lost, and a Client that knows of none, cost a second.
func TestAProcessKeepsALockToItselfForASecondAtTheMost(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		a := e.client()
		e.warm(a)
		time.Sleep(10 * time.Millisecond)
		begun := time.Now()
		first := e.acquire(a, "x", inTurns()...)
		for time.Since(begun) < 3*time.Second {
			e.release(first)
			time.Sleep(time.Millisecond)
			before := commands(e)
			first = e.acquire(a, "x", inTurns()...)
			if held := time.Since(begun); commands(e) != before {
				if held < 900*time.Millisecond || held > 1100*time.Millisecond {
					e.Errorf("the server was asked after %v", held)
				}
				begun = begun.Add(-3 * time.Second)
			}
			time.Sleep(time.Millisecond)
		}
		e.release(first)
	})
}

func TestALostHoldEndsTheContextOfWhoHasItWithinTheProcess(t *testing.T) {
	for what, lose := range map[string]func(e *env, c *redislock.Client){
		"broken": func(e *env, c *redislock.Client) {
			if _, err := c.Break(e.Context(), "x", "why"); err != nil {
				e.Error(err)
			}
		},
		"stolen": func(e *env, c *redislock.Client) {
			time.Sleep(time.Second)
			e.release(e.acquire(c, "x", redislock.WithStealAfter(500*time.Millisecond)))
		},
		"the server is gone": func(e *env, _ *redislock.Client) { e.mini.SetError("LOADING for ever"); time.Sleep(3 * time.Second) },
		"forgotten":          func(e *env, _ *redislock.Client) { e.raw.FlushAll(e.Context()); time.Sleep(time.Second) },
	} {
		t.Run(what, func(t *testing.T) {
			embedded(t, 0, func(e *env, _ *fakenet.Network) {
				c := e.client()
				options := append(inTurns(), redislock.WithLease(2*time.Second))
				first := e.acquire(c, "x", options...)
				got := make(chan *redislock.Lock)
				go func() { got <- e.acquire(c, "x", options...) }()
				time.Sleep(2 * time.Millisecond)
				e.release(first)
				second := <-got
				third := make(chan error)
				waiting, cancel := context.WithCancel(e.Context())
				go func() {
					l, err := c.Acquire(waiting, "x", options...)
					if err == nil {
						if l.Fence() <= second.Fence() {
							e.Errorf("fence %d after %d", l.Fence(), second.Fence())
						}
						e.release(l)
					}
					third <- err
				}()
				time.Sleep(time.Millisecond)
				lose(e, e.client())
				time.Sleep(time.Millisecond)
				if err := second.Err(); !errors.Is(err, redislock.ErrLost) || second.Context().Err() == nil {
					e.Errorf("it counts itself as held: %v", err)
				}
				if err := second.Release(e.Context()); !errors.Is(err, redislock.ErrNotHeld) {
					e.Errorf("its release: %v", err)
				}
				e.mini.SetError("")
				time.Sleep(5 * time.Second)
				cancel()
				if err := <-third; err != nil && what != "the server is gone" {
					e.Errorf("who waited behind it: %v", err)
				}
			})
		})
	}
}

// I2: if a process learns late that its hold was broken, its grants until then have fences below those of the others.
func TestFencesOfABrokenHoldStayBelowThoseOfTheNext(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		a, b := e.client(), e.over(e.raw)
		options := append(inTurns(), redislock.WithLease(2*time.Second))
		l := e.acquire(a, "x", options...)
		time.Sleep(time.Millisecond)
		n.Cut()
		if _, err := b.Break(e.Context(), "x", "why"); err != nil {
			e.Fatal(err)
		}
		next := e.acquire(b, "x")
		for range 3 {
			_ = l.Release(e.Context())
			time.Sleep(time.Millisecond)
			ctx, cancel := context.WithTimeout(e.Context(), time.Second)
			again, err := a.Acquire(ctx, "x", options...)
			cancel()
			if err != nil {
				break
			}
			if again.Fence() >= next.Fence() {
				e.Errorf("a hold that is over gave %d; the next one has %d", again.Fence(), next.Fence())
			}
			l = again
		}
		e.release(next)
		n.Mend()
	})
}

func TestALingeringLockThatIsStolenOrBrokenIsGivenUp(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		a, b := e.client(), e.client()
		e.warm(a, b)
		time.Sleep(10 * time.Millisecond)
		l := e.acquire(a, "x", inTurns()...)
		e.release(l)
		if fence, err := b.Break(e.Context(), "x", "why"); err != nil || fence == 0 {
			e.Fatalf("it did not linger: %v", err)
		}
		time.Sleep(time.Millisecond)
		again := e.acquire(a, "x", inTurns()...)
		if again.Fence() <= l.Fence() || again.Err() != nil {
			e.Errorf("fence %d after %d, %v", again.Fence(), l.Fence(), again.Err())
		}
		e.release(again)
	})
}

func TestCloseGivesALingeringLockBack(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		a := e.client()
		e.warm(a)
		time.Sleep(10 * time.Millisecond)
		e.release(e.acquire(a, "x", inTurns()...))
		begun := time.Now()
		if err := a.Close(e.Context()); err != nil {
			e.Error(err)
		}
		if took := time.Since(begun); took > lingerTime/2 {
			e.Errorf("Close waited %v", took)
		}
		e.release(e.acquire(e.client(), "x", redislock.WithWait(0)))
	})
}

func TestCloseFailsThoseWhoWaitWithinTheProcess(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		a := e.client()
		l := e.acquire(a, "x", inTurns()...)
		errs := make(chan error)
		for range 3 {
			go func() {
				_, err := a.Acquire(e.Context(), "x", inTurns()...)
				errs <- err
			}()
		}
		time.Sleep(time.Millisecond)
		closed := make(chan error)
		go func() { closed <- a.Close(e.Context()) }()
		for range 3 {
			if err := <-errs; !errors.Is(err, redislock.ErrClosed) {
				e.Errorf("who waited has %v", err)
			}
		}
		e.release(l)
		if err := <-closed; err != nil {
			e.Error(err)
		}
		e.release(e.acquire(e.client(), "x", redislock.WithWait(0)))
	})
}

func TestWhoWaitsWithinTheProcessMayGiveUp(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		a := e.client()
		l := e.acquire(a, "x", append(inTurns(), redislock.WithMetadata("who has it"))...)
		var held *redislock.HeldError
		_, err := a.TryAcquire(e.Context(), "x", inTurns()...)
		if !errors.As(err, &held) || held.Holder.Metadata != "who has it" {
			e.Errorf("TryAcquire: %v", err)
		}
		begun := time.Now()
		if _, err := a.Acquire(e.Context(), "x", append(inTurns(), redislock.WithWait(time.Second))...); !errors.Is(err, redislock.ErrHeld) || time.Since(begun) != time.Second {
			e.Errorf("WithWait after %v: %v", time.Since(begun), err)
		}
		ctx, cancel := context.WithTimeout(e.Context(), time.Second)
		defer cancel()
		if _, err := a.Acquire(ctx, "x", inTurns()...); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("its context ended: %v", err)
		}
		e.release(l)
		e.release(e.acquire(e.client(), "x", redislock.WithWait(time.Second)))
	})
}

// I8: at whatever moment a context ends, nobody is left waiting and nothing is held.
func TestAContextThatEndsAtAnyMomentLeavesTheLockToTheOthers(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		a := e.client()
		e.warm(a)
		for at := time.Duration(0); at < 12*time.Millisecond; at += 250 * time.Microsecond {
			var all sync.WaitGroup
			for i := range 4 {
				all.Go(func() {
					ctx := e.Context()
					if i != 3 {
						bounded, cancel := context.WithTimeout(ctx, at+time.Duration(i)*time.Millisecond)
						defer cancel()
						ctx = bounded
					}
					l, err := a.Acquire(ctx, "x", redislock.WithTurn(turnTime))
					if err != nil {
						if i == 3 {
							e.Error(err)
						}
						return
					}
					time.Sleep(time.Millisecond)
					e.release(l)
				})
			}
			all.Wait()
		}
		e.release(e.acquire(e.client(), "x", redislock.WithWait(time.Second)))
	})
}

func TestAnotherLeaseIsAskedOfTheServer(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		a := e.client()
		e.warm(a)
		time.Sleep(10 * time.Millisecond)
		e.release(e.acquire(a, "x", inTurns()...))
		l := e.acquire(a, "x", append(inTurns(), redislock.WithLease(time.Second))...)
		if info, err := a.Inspect(e.Context(), "x"); err != nil || info.Holds[0].Deadline.Sub(info.Holds[0].Since) != time.Second {
			e.Errorf("%+v, %v", info, err)
		}
		e.release(l)
	})
}

func TestAHoldThatIsRenewedGoesOnWithinTheProcess(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		options := append(inTurns(), redislock.WithLease(300*time.Millisecond))
		l := e.acquire(c, "x", options...)
		got := make(chan *redislock.Lock)
		go func() { got <- e.acquire(c, "x", options...) }()
		time.Sleep(250 * time.Millisecond)
		e.release(l)
		second := <-got
		time.Sleep(2 * time.Second)
		if err := second.Err(); err != nil {
			e.Errorf("it was not renewed: %v", err)
		}
		e.release(second)
	})
}

func TestALockInATurnIsNotHandedOffAndMayBeLeft(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		a := e.client()
		l := e.acquire(a, "x", inTurns()...)
		if _, err := l.Handoff(); !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("Handoff: %v", err)
		}
		got := make(chan *redislock.Lock)
		go func() { got <- e.acquire(a, "x", inTurns()...) }()
		time.Sleep(time.Millisecond)
		begun := time.Now()
		if err := l.ReleaseAfter(e.Context(), time.Second); err != nil {
			e.Error(err)
		}
		next := <-got
		if took := time.Since(begun); took < time.Second || next.Fence() <= l.Fence() {
			e.Errorf("the next had it after %v, with fence %d after %d", took, next.Fence(), l.Fence())
		}
		e.release(next)
	})
}

func TestAPanicOfAnObserverLeavesTheTurnToTheOthers(t *testing.T) {
	for _, kind := range []redislock.EventKind{redislock.EventAsked, redislock.EventQueued, redislock.EventGranted, redislock.EventReleased} {
		t.Run(kind.String(), func(t *testing.T) {
			embedded(t, 0, func(e *env, _ *fakenet.Network) {
				var mu sync.Mutex
				armed := false
				c := e.client(redislock.WithObserver(redislock.ObserverFunc(func(ev redislock.Event) {
					mu.Lock()
					defer mu.Unlock()
					if armed && ev.Kind == kind {
						armed = false
						panic(kind)
					}
				})))
				first := e.acquire(c, "x", inTurns()...)
				mu.Lock()
				armed = true
				mu.Unlock()
				var all sync.WaitGroup
				for range 3 {
					all.Go(func() {
						defer func() { _ = recover() }()
						_ = c.Do(e.Context(), "x", func(context.Context) error { time.Sleep(time.Millisecond); return nil }, inTurns()...)
					})
				}
				time.Sleep(time.Millisecond)
				func() {
					defer func() { _ = recover() }()
					_ = first.Release(e.Context())
				}()
				all.Wait()
				e.release(e.acquire(e.client(), "x", redislock.WithWait(time.Second)))
			})
		})
	}
}

// Redis knows which caller asked for the lock, but not which one has it by now, nor whether it lingers.
func TestWhoLooksAtALockInTurnsIsToldThatAnotherOfItsProcessMayHaveIt(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client(redislock.WithName("mine"), redislock.WithTrace(func(context.Context) string { return "trace" }))
		plain, other := e.client(redislock.WithName("plain")), e.client()
		outer := e.acquire(c, "outer")
		for name, turns := range map[string]bool{"turns": true, "under": true, "plain": true, "strict": false} {
			ctx, by, trace := e.Context(), c, "trace"
			switch name {
			case "under":
				ctx = outer.Context()
			case "plain":
				by, trace = plain, ""
			}
			var options []redislock.Option
			if turns {
				options = inTurns()
			}
			l, err := by.Acquire(ctx, name, append(options, redislock.WithMetadata("why"))...)
			if err != nil {
				e.Fatal(err)
			}
			waiting, cancel := context.WithCancel(ctx)
			var all sync.WaitGroup
			all.Go(func() { _, _ = e.client().Acquire(waiting, name, options...) })
			e.queued(other, name, 1)
			seen := map[string]redislock.Owner{}
			info, err := other.Inspect(e.Context(), name)
			if err != nil {
				e.Fatal(err)
			}
			seen["Inspect"] = info.Holds[0].Owner
			if info.Places[0].Owner.Turns != turns {
				e.Errorf("%s: who waits: %+v", name, info.Places[0].Owner)
			}
			for info, err := range other.List(e.Context(), name) {
				if err != nil {
					e.Fatal(err)
				}
				seen["List"] = info.Holds[0].Owner
			}
			for what, client := range map[string]*redislock.Client{"TryAcquire": other, "TryAcquire of its process": by} {
				var held *redislock.HeldError
				if _, err := client.TryAcquire(e.Context(), name, options...); !errors.As(err, &held) {
					e.Fatal(err)
				} else if strings.Contains(err.Error(), ", in turns)") != turns {
					e.Errorf("%s: %v", name, err)
				}
				if seen[what] = held.Holder; turns && client == by { // it is told without the trace
					delete(seen, what)
					if !held.Holder.Turns || held.Holder.Metadata != "why" {
						e.Errorf("%s: %s: %+v", name, what, held.Holder)
					}
				}
			}
			for what, owner := range seen {
				if owner.Turns != turns || owner.Trace != trace || owner.Metadata != "why" || owner.PID != os.Getpid() {
					e.Errorf("%s: %s: %+v", name, what, owner)
				}
			}
			cancel()
			all.Wait()
			e.release(l)
		}
		e.release(outer)
	})
}

func TestTurnsRefuseWhatTheyCannotDo(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		before := commands(e)
		for _, other := range []redislock.Option{
			redislock.WithMode(redislock.Write), redislock.WithMode(redislock.Semaphore(2)), redislock.WithReplicas(1, time.Second),
			redislock.WithStealAfter(time.Second), redislock.WithMaxHold(time.Second), redislock.WithoutRenewal(), redislock.WithFenceFloor(1),
		} {
			for _, own := range []redislock.Option{redislock.WithTurn(time.Millisecond), redislock.WithLinger(time.Millisecond)} {
				if _, err := c.Acquire(e.Context(), "x", own, other); !errors.Is(err, redislock.ErrInvalid) {
					e.Errorf("Acquire: %v", err)
				}
			}
		}
		for _, wrong := range []redislock.Option{redislock.WithTurn(-1), redislock.WithTurn(redislock.MaxTurn + 1), redislock.WithLinger(-1), redislock.WithLinger(redislock.MaxLinger + 1)} {
			if _, err := c.Acquire(e.Context(), "x", wrong); !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("Acquire: %v", err)
			}
		}
		if _, err := c.AcquireWeak(e.Context(), "x", redislock.WithTurn(time.Millisecond)); !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("AcquireWeak: %v", err)
		}
		if err := c.Once(e.Context(), "x", func(context.Context) error { return nil }, redislock.WithLinger(time.Millisecond)); !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("Once: %v", err)
		}
		if n := commands(e) - before; n != 0 {
			e.Errorf("%d commands", n)
		}
		all, err := c.AcquireAll(e.Context(), []string{"x", "y"}, inTurns()...)
		if err != nil {
			e.Fatal(err)
		}
		if err := all.Release(e.Context()); err != nil {
			e.Error(err)
		}
		e.release(e.acquire(e.client(), "x", redislock.WithWait(0))) // it did not linger
	})
}

// With WithTurn(0) and WithLinger(0) an acquire sends what it sends without these options.
func TestTurnsOfNothingAreNoTurns(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		sent := func(opts ...redislock.Option) (n int64, allocations float64) {
			c := e.client()
			e.warm(c)
			time.Sleep(10 * time.Millisecond)
			e.release(e.acquire(c, "x", opts...))
			before := commands(e)
			for range 10 {
				e.release(e.acquire(c, "x", opts...))
			}
			n = commands(e) - before
			ctx := e.Context()
			return n, testing.AllocsPerRun(100, func() {
				l, err := c.Acquire(ctx, "x", opts...)
				if err == nil {
					_ = l.Release(ctx)
				}
			})
		}
		lease := redislock.WithLease(redislock.DefaultLease)
		sent(lease, lease) // the server has all scripts then
		plain, costs := sent(lease, lease)
		none, more := sent(redislock.WithTurn(0), redislock.WithLinger(0))
		if plain != none || more > costs*1.01 { // the embedded server is counted, too
			e.Errorf("%d commands and %v allocations with turns of nothing, %d and %v without", none, more, plain, costs)
		}
	})
}

// A linger costs no request, and nothing but the handle.
func TestAReacquireWithinALingerAllocatesTheHandleAlone(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		e.warm(c)
		time.Sleep(10 * time.Millisecond)
		ctx, opts := e.Context(), []redislock.Option{redislock.WithLinger(lingerTime)}
		e.release(e.acquire(c, "x", opts...))
		if n := testing.AllocsPerRun(50, func() {
			time.Sleep(10 * time.Microsecond)
			l, err := c.Acquire(ctx, "x", opts...)
			if err == nil {
				_ = l.Release(ctx)
			}
		}); n > 1 {
			e.Errorf("%v allocations", n)
		}
	})
}

func TestTurnsOnARealServer(t *testing.T) {
	both(t, func(e *env) {
		clients := []*redislock.Client{e.client(), e.client(), e.client()}
		e.warm(clients...)
		var mu sync.Mutex
		var last int64
		holders, grants := 0, 0
		var all sync.WaitGroup
		for _, c := range clients {
			for range 4 {
				all.Go(func() {
					for range 50 {
						l := e.acquire(c, "x", redislock.WithTurn(time.Millisecond), redislock.WithLinger(lingerTime))
						mu.Lock()
						if holders++; holders > 1 {
							e.Errorf("%d holders", holders)
						}
						if l.Fence() <= last {
							e.Errorf("fence %d after %d", l.Fence(), last)
						}
						last = max(last, l.Fence())
						grants++
						mu.Unlock()
						time.Sleep(100 * time.Microsecond)
						mu.Lock()
						holders--
						mu.Unlock()
						e.release(l)
					}
				})
			}
		}
		all.Wait()
		if grants != 600 {
			e.Errorf("%d grants", grants)
		}
	})
}
