package redislock_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
	"example.com/redislock/internal/servertest"
)

// tickLock is the name of a tick's lock.
func tickLock(job string, tick time.Time) string {
	return "tick:" + job + "@" + tick.UTC().Format(time.RFC3339Nano)
}

var standBy = redislock.WithRetry(time.Minute)

// A late copy of the record "begun" does not overwrite the record of the end.
func TestALateCopyDoesNotHaveATickRunAgain(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	e := &env{T: t, raw: x.raw}
	tick := e.tick()
	a, b := x.behind(3), x.beside()
	fault := x.proxy.HoldRequest(requests("record", "redislock:{"+tickLock(x.name, tick)+"}"))
	e.runs(a.Cron(x.name, standBy), tick, redislock.OutcomeRan, idle)
	x.within("the first copy is on its way", fault.Caught())
	fault.Deliver()
	x.within("the first copy is executed", fault.Executed())
	e.runs(b.Cron(x.name, standBy), tick, redislock.OutcomeElsewhere, func(context.Context) error {
		t.Error("the tick ran twice")
		return nil
	})
}

// The same holds for the status.
func TestALateCopyDoesNotBringAJobBackToLife(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	e := &env{T: t, raw: x.raw}
	fault := x.proxy.HoldRequest(requests("record", "redislock:{cron:"+x.name+"}"))
	e.runs(x.behind(3).Cron(x.name), e.tick(), redislock.OutcomeRan, idle)
	fault.Deliver()
	x.within("the first copy is executed", fault.Executed())
	if s, err := x.look.CronStatus(t.Context(), x.name); err != nil || s.Outcome != redislock.OutcomeRan {
		t.Errorf("%v, %v", s.Outcome, err)
	}
}

// If the lock was held all the time and the job succeeded, the tick is done, even if Redis was away meanwhile.
func TestATickThatEndedInAnOutageIsNotRunAgain(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		ctx := context.Background()
		line := &fakenet.Network{Dial: n.Dial}
		a, b := e.clientOn(line), e.client()
		tick := e.tick()
		ended := make(chan struct{})
		var runs atomic.Int32
		begun := make(chan struct{})
		lease := redislock.WithLease(5 * time.Minute)
		go func() {
			defer close(ended)
			outcome, err := a.Cron("report", lease).Run(ctx, tick, func(context.Context) error {
				runs.Add(1)
				close(begun)
				time.Sleep(time.Second)
				line.Cut()
				return nil
			})
			if outcome != redislock.OutcomeRan {
				e.Errorf("%v, %v", outcome, err)
			}
		}()
		<-begun
		other := make(chan struct{})
		go func() {
			defer close(other)
			e.runs(b.Cron("report", redislock.WithRetry(10*time.Minute), lease), tick, redislock.OutcomeElsewhere, func(context.Context) error { runs.Add(1); return nil })
		}()
		time.Sleep(30 * time.Second)
		line.Mend()
		<-ended
		<-other
		if runs.Load() != 1 {
			e.Errorf("the tick was run %d times", runs.Load())
		}
	})
}

// While memory is short the end of a tick cannot be recorded, but the locks can still show it.
func TestATickThatEndedOutOfMemoryIsNotRunAgain(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	e := &env{T: t, real: single(s), raw: s.Connect()}
	e.connect = func() redis.UniversalClient { return s.Connect() }
	tick := e.tick()
	e.runs(e.client().Cron("report"), tick, redislock.OutcomeRan, func(ctx context.Context) error {
		return e.raw.ConfigSet(ctx, "maxmemory", "1").Err()
	})
	if err := e.raw.ConfigSet(context.Background(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	e.runs(e.client().Cron("report", redislock.WithRetry(time.Second)), tick, redislock.OutcomeElsewhere, func(context.Context) error {
		t.Error("the tick ran twice")
		return nil
	})
}

// A success while the Client closes counts.
func TestAJobThatEndsWhileItsClientClosesHasRun(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		tick := e.tick()
		closed := make(chan error, 1)
		e.runs(a.Cron("report"), tick, redislock.OutcomeRan, func(inner context.Context) error {
			go func() { closed <- a.Close(ctx) }()
			<-inner.Done()
			return nil
		})
		if err := <-closed; err != nil {
			e.Error(err)
		}
		e.runs(b.Cron("report", standBy), tick, redislock.OutcomeElsewhere, func(context.Context) error {
			e.Error("the tick ran twice")
			return nil
		})
	})
}

// I10: the record before the job may take longer than the leases last.
func TestAJobDoesNotBeginWithoutItsLocks(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		tick := e.tick()
		slow := once(e.T)
		a := e.tapped(&tap{after: func(text string) error {
			if strings.Contains(text, digest("record")) && slow() {
				time.Sleep(time.Second)
			}
			return nil
		}})
		warm := e.client()
		e.runs(warm.Cron("warm"), tick, redislock.OutcomeRan, idle)
		outcome, err := a.Cron("report", redislock.WithLease(300*time.Millisecond), redislock.WithoutRenewal()).Run(context.Background(), tick, func(ctx context.Context) error {
			l, _ := redislock.FromContext(ctx)
			e.Errorf("it began after its locks were lost: %v (its context says %v)", l.Err(), ctx.Err())
			return nil
		})
		if err == nil {
			e.Errorf("%v without an error", outcome)
		}
	})
}

// A node that is told to stop leaves the tick to a node that stands by, whatever WithAtLeast says.
func TestADistanceDoesNotKeepATickFromWhoStandsBy(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		tick := e.tick()
		ctx, stop := context.WithCancel(context.Background())
		begun := make(chan struct{})
		opts := []redislock.CronOption{redislock.WithAtLeast(5 * time.Minute), redislock.WithRetry(30 * time.Minute)}
		var all sync.WaitGroup
		all.Go(func() {
			_, err := e.client().Cron("report", opts...).Run(ctx, tick, func(ctx context.Context) error {
				close(begun)
				<-ctx.Done()
				return ctx.Err()
			})
			if !errors.Is(err, context.Canceled) {
				e.Error(err)
			}
		})
		<-begun
		all.Go(func() { e.runs(e.client().Cron("report", opts...), tick, redislock.OutcomeRan, idle) })
		time.Sleep(time.Second)
		stop()
		all.Wait()
	})
}

// A default of the Client for its locks does not change the policy of a job.
func TestSkippingDoesNotEndTheEarlierRun(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		tick := e.tick()
		steals := redislock.WithDefaults(redislock.WithStealAfter(time.Minute))
		a, b := e.client(steals), e.client(steals)
		var all sync.WaitGroup
		all.Go(func() {
			e.runs(a.Cron("report"), tick, redislock.OutcomeRan, func(ctx context.Context) error {
				select {
				case <-time.After(3 * time.Minute):
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			})
		})
		time.Sleep(2 * time.Minute)
		e.runs(b.Cron("report"), tick, redislock.OutcomeElsewhere, idle) // a node that fires late
		e.runs(b.Cron("report"), tick.Add(2*time.Minute), redislock.OutcomeSkipped, idle)
		all.Wait()
	})
}

// An earlier tick that is fired late does not end a later one.
func TestAnEarlierTickDoesNotReplaceALaterOne(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		tick := e.tick()
		replace := redislock.WithOverlap(redislock.OverlapReplace)
		var all sync.WaitGroup
		all.Go(func() {
			e.runs(e.client().Cron("report", replace), tick.Add(time.Minute), redislock.OutcomeRan, func(ctx context.Context) error {
				select {
				case <-time.After(10 * time.Second):
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			})
		})
		time.Sleep(time.Second)
		_, _ = e.client().Cron("report", replace).Run(context.Background(), tick, idle)
		all.Wait()
	})
}

// The name of one job says nothing about the ticks of another.
func TestNoJobIsNamedLikeATickOfAnother(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c, tick := e.client(), e.tick()
		other := "report@" + tick.UTC().Format(time.RFC3339Nano)
		e.runs(c.Cron(other), tick, redislock.OutcomeRan, idle)
		e.runs(c.Cron("report"), tick, redislock.OutcomeRan, idle)
		if s, err := c.CronStatus(context.Background(), other); err != nil || s.Outcome != redislock.OutcomeRan {
			e.Errorf("%+v, %v", s, err)
		}
	})
}

// WithMaxHold and WithoutRenewal are about the run, not about the wait for an earlier one.
func TestATickWaitsLongerThanItMayRun(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		tick := e.tick()
		for job, opt := range map[string]redislock.Option{"max hold": redislock.WithMaxHold(time.Minute), "no renewal": redislock.WithoutRenewal()} {
			var all sync.WaitGroup
			all.Go(func() {
				e.runs(e.client().Cron(job), tick, redislock.OutcomeRan, func(context.Context) error { time.Sleep(2 * time.Minute); return nil })
			})
			time.Sleep(time.Second)
			e.runs(e.client().Cron(job, opt, redislock.WithOverlap(redislock.OverlapWait)), tick.Add(time.Second), redislock.OutcomeRan, idle)
			all.Wait()
		}
	})
}

// An outage in which the runner loses only the job's lock is a loss like any other: a node that stands by runs the
// tick.
func TestWhoStandsByTakesOverFromANodeThatLostTheJobsLockAlone(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		tick := e.tick()
		line := &fakenet.Network{Dial: n.Dial}
		a, b := e.clientOn(line), e.client()
		opts := []redislock.CronOption{redislock.WithOverlap(redislock.OverlapWait), redislock.WithRetry(10 * time.Minute)}
		first := e.acquire(b, "cron:report")
		var all sync.WaitGroup
		all.Go(func() {
			outcome, err := a.Cron("report", opts...).Run(context.Background(), tick, func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			})
			if outcome != redislock.OutcomeFailed || !errors.Is(err, redislock.ErrLost) {
				e.Errorf("%v, %v", outcome, err)
			}
		})
		time.Sleep(5 * time.Second) // the tick's lock is renewed at 10 s and 20 s, the job's, after its claim, at 6 s and 16 s
		e.release(first)
		time.Sleep(time.Second)
		all.Go(func() { e.runs(b.Cron("report", opts...), tick, redislock.OutcomeRan, idle) })
		time.Sleep(15 * time.Second)
		line.Cut()
		time.Sleep(27 * time.Second)
		line.Mend()
		all.Wait()
	})
}

// A node whose clock is minutes or hours fast does not take the tick from those whose clocks are right.
func TestATickThatAFastClockRingsForIsLeftToTheOthers(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		fast, right := e.client().Cron("report"), e.client().Cron("report")
		for _, ahead := range []time.Duration{23 * time.Hour, time.Hour, redislock.DefaultTickAhead + 2*time.Second} {
			tick := e.tick().Add(ahead)
			outcome, err := fast.Run(context.Background(), tick, func(context.Context) error {
				e.Errorf("the tick ran %v before its time", ahead)
				return nil
			})
			if outcome != 0 || !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("%v ahead: %v, %v", ahead, outcome, err)
			}
			time.Sleep(ahead)
			e.runs(right, tick, redislock.OutcomeRan, idle)
		}
		e.runs(fast, e.tick().Add(redislock.DefaultTickAhead), redislock.OutcomeRan, idle)
	})
}

func TestWithTickAheadSaysHowEarlyATickRuns(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		for ahead, want := range map[time.Duration]redislock.Outcome{time.Hour: redislock.OutcomeRan, time.Hour + 2*time.Second: 0} {
			outcome, err := c.Cron("report", redislock.WithTickAhead(time.Hour)).Run(context.Background(), e.tick().Add(ahead), idle)
			if outcome != want || (err != nil) != (want == 0) {
				e.Errorf("%v ahead: %v, %v", ahead, outcome, err)
			}
		}
		if outcome, err := c.Cron("report", redislock.WithTickAhead(0)).Run(context.Background(), e.tick().Add(time.Second), idle); outcome != 0 || !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("a second too early: %v, %v", outcome, err)
		}
	})
}

// The time between such a tick and now is longer than a Duration can hold.
func TestATickCenturiesAwayIsNotRun(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		for _, opts := range [][]redislock.CronOption{nil, {redislock.WithTickMemory(365 * 24 * time.Hour), redislock.WithTickAhead(365 * 24 * time.Hour)}} {
			g := c.Cron("report", opts...)
			for _, year := range []int{-5000, 1, 2, 1500, 1969} {
				e.runs(g, time.Date(year, 1, 1, 0, 0, 1, 0, time.UTC), redislock.OutcomeMissed, idle)
			}
			for _, year := range []int{2500, 9999, 20000} {
				if outcome, err := g.Run(context.Background(), time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC), idle); outcome != 0 || !errors.Is(err, redislock.ErrInvalid) {
					e.Errorf("year %d: %v, %v", year, outcome, err)
				}
			}
		}
	})
}

// Fences stay ahead if the server's clock once was ahead. The clock counts, not the fence.
func TestATickIsComparedWithTheServersClockAndNotWithAFence(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		tick, now := e.tick(), e.now()
		e.mini.SetTime(now.Add(10 * time.Hour))
		c := e.client(redislock.WithRetention(24 * time.Hour))
		e.release(e.acquire(c, tickLock("report", tick)))
		e.mini.SetTime(now)
		e.runs(c.Cron("report", redislock.WithTickMemory(time.Hour)), tick, redislock.OutcomeRan, idle)
	})
}

// Whether an earlier tick still runs is asked when the tick is due by the server's clock, not when a fast clock fires
// it.
func TestATickIsNotLeftOutBeforeItIsDue(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		first, c := e.client(), e.client()
		due := e.tick().Add(30 * time.Second)
		for ends, want := range map[time.Duration]redislock.Outcome{-time.Second: redislock.OutcomeRan, time.Second: redislock.OutcomeSkipped} {
			due = due.Add(time.Minute)
			time.Sleep(time.Until(due.Add(-30 * time.Second)))
			l := e.acquire(first, "cron:report")
			time.AfterFunc(time.Until(due.Add(ends)), func() { e.release(l) })
			e.runs(c.Cron("report"), due, want, func(context.Context) error {
				if now := e.now(); now.Before(due) {
					e.Errorf("it began %v before its time", due.Sub(now))
				}
				return nil
			})
			time.Sleep(5 * time.Second)
		}
	})
}

// A WithAtLeast as long as the period leaves no time in which the next tick could begin.
func TestAnAtLeastThatLeavesTheNextTickOutIsRefused(t *testing.T) {
	both(t, func(e *env) {
		c, tick := e.client(), e.tick()
		every := func(d time.Duration) redislock.CronOption {
			return redislock.WithSchedule(func(after time.Time) time.Time { return after.Add(d) })
		}
		for name, test := range map[string]struct {
			opts []redislock.CronOption
			ok   bool
		}{
			"the period":       {[]redislock.CronOption{redislock.WithAtLeast(time.Minute), every(time.Minute)}, false},
			"more":             {[]redislock.CronOption{every(time.Minute), redislock.WithAtLeast(time.Hour)}, false},
			"less":             {[]redislock.CronOption{redislock.WithAtLeast(time.Millisecond), every(time.Minute)}, true},
			"not a second one": {[]redislock.CronOption{redislock.WithAtLeast(time.Millisecond), redislock.WithSchedule(func(time.Time) time.Time { return time.Time{} })}, true},
			"one that waits":   {[]redislock.CronOption{redislock.WithAtLeast(time.Millisecond), every(time.Millisecond), redislock.WithOverlap(redislock.OverlapWait)}, true},
		} {
			outcome, err := c.Cron(name, test.opts...).Run(context.Background(), tick, idle)
			if test.ok && (outcome != redislock.OutcomeRan || err != nil) || !test.ok && (outcome != 0 || !errors.Is(err, redislock.ErrInvalid)) {
				e.Errorf("%s: %v, %v", name, outcome, err)
			}
		}
	})
}

// A next tick that cannot be recorded is left out, and does not keep the job from running.
func TestANextTickWithoutAYearDoesNotKeepAJobFromRunning(t *testing.T) {
	both(t, func(e *env) {
		c, tick := e.client(), e.tick()
		for i, next := range []time.Time{{}, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), tick.Add(time.Hour).In(time.FixedZone("far", 30*3600))} {
			tick = tick.Add(-time.Second)
			e.runs(c.Cron("report", redislock.WithSchedule(func(time.Time) time.Time { return next })), tick, redislock.OutcomeRan, idle)
			status, err := c.CronStatus(context.Background(), "report")
			if err != nil || status.Outcome != redislock.OutcomeRan || status.Next.IsZero() == (i == 3) {
				e.Errorf("next %v: %+v, %v", next, status, err)
			}
		}
	})
}

// The earlier tick looks, and the later one begins before the earlier has the lock.
func TestAnEarlierTickThatComesLateNeverEndsALaterOne(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		for _, pause := range []time.Duration{time.Millisecond, time.Second, 40 * time.Second} { // the last is more than a lease
			tick := e.tick()
			first := once(e.T)
			looks := e.tapped(&tap{after: func(text string) error {
				if isLook(text, "cron:report") && first() {
					time.Sleep(pause)
				}
				return nil
			}})
			replace := redislock.WithOverlap(redislock.OverlapReplace)
			work := func(ctx context.Context) error {
				select {
				case <-time.After(5 * time.Minute):
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			var earlier atomic.Value
			done := make(chan struct{})
			go func() {
				defer close(done)
				outcome, _ := looks.Cron("report", replace).Run(context.Background(), tick.Add(-time.Second), work)
				earlier.Store(outcome)
			}()
			time.Sleep(pause / 2)
			e.runs(e.client().Cron("report", replace), tick, redislock.OutcomeRan, work)
			<-done
			if outcome := earlier.Load(); outcome == redislock.OutcomeRan {
				e.Errorf("paused for %v: the earlier one ran beside it", pause)
			}
			e.untouched("cron:report")
			e.untouched("tick:report@replace")
			time.Sleep(time.Minute)
		}
	})
}
