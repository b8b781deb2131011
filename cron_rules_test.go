package redislock_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// A node that was paused before it wrote down that the tick was begun finds that another has begun it, and run it, meanwhile.
func TestANodeThatWasPausedBeforeItBeganLeavesTheTickAlone(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		tick := e.tick()
		e.runs(e.client().Cron("warm"), tick, redislock.OutcomeRan, idle)
		slow := once(t)
		a := e.tapped(&tap{before: func(text string) error {
			if strings.Contains(text, digest("record")) && slow() {
				time.Sleep(2 * time.Second)
			}
			return nil
		}})
		var runs atomic.Int32
		run := func(context.Context) error { runs.Add(1); return nil }
		var all sync.WaitGroup
		all.Go(func() {
			outcome, err := a.Cron("report").Run(context.Background(), tick, run)
			if outcome != redislock.OutcomeElsewhere && err == nil {
				t.Errorf("the paused one: %v, %v", outcome, err)
			}
		})
		time.Sleep(time.Second)
		if _, err := e.client().Break(context.Background(), "tick:report@"+tick.UTC().Format(time.RFC3339Nano), "as if its lease had ended"); err != nil {
			t.Fatal(err)
		}
		if _, err := e.client().Break(context.Background(), "cron:report", "likewise"); err != nil {
			t.Fatal(err)
		}
		e.runs(e.client().Cron("report"), tick, redislock.OutcomeRan, run)
		all.Wait()
		if runs.Load() != 1 {
			t.Errorf("%d runs", runs.Load())
		}
	})
}

// A run has two locks, and needs both.
func TestTheLossOfEitherLockEndsARun(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		tick, c, other := e.tick(), e.client(), e.client()
		for _, name := range []string{"cron:report", ""} {
			tick = tick.Add(time.Second)
			if name == "" {
				name = tickLock("report", tick)
			}
			outcome, err := c.Cron("report").Run(ctx, tick, func(ctx context.Context) error {
				if _, err := other.Break(context.Background(), name, "test"); err != nil {
					t.Error(err)
				}
				select {
				case <-ctx.Done():
				case <-time.After(5 * time.Second):
					t.Errorf("%s was lost, and the context goes on", name)
				}
				return nil
			})
			if outcome != redislock.OutcomeFailed || !errors.Is(err, redislock.ErrLost) {
				t.Errorf("%s was lost: %v, %v", name, outcome, err)
			}
		}
	})
}

func TestALossOfTheTickEndsTheWaitForAnEarlierOne(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		tick, c, other := e.tick(), e.client(), e.client()
		l := e.acquire(other, "cron:report")
		waited := make(chan error, 1)
		go func() {
			outcome, err := c.Cron("report", redislock.WithOverlap(redislock.OverlapWait)).Run(ctx, tick, idle)
			if outcome != 0 {
				t.Errorf("%v", outcome)
			}
			waited <- err
		}()
		e.queued(other, "cron:report", 1)
		if _, err := other.Break(ctx, tickLock("report", tick), "test"); err != nil {
			t.Error(err)
		}
		if err := <-waited; !errors.Is(err, redislock.ErrLost) {
			t.Error(err)
		}
		e.release(l)
		e.untouched("cron:report")
	})
}

// A success counts, also after the caller was told to stop.
func TestAJobThatComesToItsEndThoughToldToStopHasRun(t *testing.T) {
	both(t, func(e *env) {
		tick := e.tick()
		ctx, stop := context.WithCancel(context.Background())
		outcome, err := e.client().Cron("report").Run(ctx, tick, func(context.Context) error { stop(); return nil })
		if outcome != redislock.OutcomeRan || err != nil {
			t.Errorf("%v, %v", outcome, err)
		}
		e.runs(e.client().Cron("report", standBy), tick, redislock.OutcomeElsewhere, idle)
	})
}

// Whoever lost the tick does not write down that it has ended: it is another's now.
func TestWhoLostATickDoesNotEndIt(t *testing.T) {
	both(t, func(e *env) {
		tick, other := e.tick(), e.client()
		outcome, _ := e.client().Cron("report").Run(context.Background(), tick, func(ctx context.Context) error {
			_, err := other.Break(context.Background(), tickLock("report", tick), "test")
			<-ctx.Done()
			return err
		})
		if outcome != redislock.OutcomeFailed {
			t.Errorf("%v", outcome)
		}
		e.runs(other.Cron("report", standBy), tick, redislock.OutcomeRan, idle)
	})
}

// That the caller gave up is no outcome of the tick.
func TestACallerThatGivesUpIsNotToldThatAnotherRanIt(t *testing.T) {
	both(t, func(e *env) {
		tick, c := e.tick(), e.client()
		hold := func(name string) func() {
			l := e.acquire(e.client(), name)
			return func() { e.release(l) }
		}
		for name, opts := range map[string][]redislock.CronOption{
			tickLock("report", tick): {standBy},
			"cron:report":            {redislock.WithOverlap(redislock.OverlapWait)},
		} {
			free := hold(name)
			ctx, leave := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() {
				defer close(done)
				if outcome, err := c.Cron("report", opts...).Run(ctx, tick, idle); outcome != 0 || !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v, %v", name, outcome, err)
				}
			}()
			e.queued(c, name, 1)
			leave()
			<-done
			free()
			e.untouched(name)
		}
		e.runs(c.Cron("report"), tick, redislock.OutcomeRan, idle) // nothing was left behind
	})
}

// The status is told by two looks, and a run may end between them, or another begin.
func TestAStatusIsNotThatOfWhoHoldsTheLockNow(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		mortal := &fakenet.Network{Dial: n.Dial}
		node, watch := e.clientOn(mortal), e.client()
		tick := e.tick()
		_, _ = node.Cron("report").Run(context.Background(), tick, func(ctx context.Context) error {
			mortal.Cut()
			<-ctx.Done()
			l := e.acquire(watch, "cron:report") // not a run, but it has the lock
			s, err := watch.CronStatus(context.Background(), "report")
			if err != nil || s.Outcome != redislock.OutcomeDied {
				t.Errorf("%v, %v", s.Outcome, err)
			}
			e.release(l)
			mortal.Mend()
			return nil
		})
	})
}

func TestARunThatEndsWhileItsStatusIsAskedDidNotDie(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		begun, end, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			e.runs(e.client().Cron("report"), e.tick(), redislock.OutcomeRan, func(context.Context) error { close(begun); <-end; return nil })
		}()
		<-begun
		first := once(t)
		watch := e.tapped(&tap{after: func(text string) error {
			if strings.Contains(text, digest("recall")) && first() {
				close(end)
				<-ended
			}
			return nil
		}})
		if s, err := watch.CronStatus(context.Background(), "report"); err != nil || s.Outcome != redislock.OutcomeRan {
			t.Errorf("%v, %v", s.Outcome, err)
		}
	})
}

// The options of the lock do not shorten what WithRetry says.
func TestStandingByIsNotCutShortByTheLocksWait(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		tick := e.tick()
		mortal := &fakenet.Network{Dial: n.Dial}
		doomed := e.clientOn(mortal)
		go func() {
			_, _ = doomed.Cron("report").Run(context.Background(), tick, func(ctx context.Context) error { <-ctx.Done(); return nil })
		}()
		time.Sleep(time.Second)
		mortal.Cut()
		e.runs(e.client().Cron("report", standBy, redislock.WithWait(time.Second)), tick, redislock.OutcomeRan, idle)
		mortal.Mend()
		time.Sleep(time.Minute)
	})
}

// The dead node's lock of the job may live longer than that of the tick: that is no earlier tick to skip for.
func TestWhoTakesOverWaitsForTheDeadNodesOtherLock(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		tick := e.tick()
		line := &fakenet.Network{Dial: n.Dial}
		a, b := e.clientOn(line), e.client()
		first := e.acquire(b, "cron:report")
		var all sync.WaitGroup
		all.Go(func() {
			_, _ = a.Cron("report", redislock.WithOverlap(redislock.OverlapWait)).Run(context.Background(), tick, func(ctx context.Context) error {
				<-ctx.Done()
				return nil
			})
		})
		time.Sleep(5 * time.Second) // the tick's lock is renewed at 10 s, the job's, after its claim, at 6 s and 16 s
		e.release(first)
		time.Sleep(12 * time.Second)
		line.Cut()
		e.runs(b.Cron("report", redislock.WithRetry(10*time.Minute)), tick, redislock.OutcomeRan, idle)
		line.Mend()
		time.Sleep(time.Minute)
		all.Wait()
	})
}
