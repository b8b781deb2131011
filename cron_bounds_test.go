package redislock_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// A node whose clock is minutes or hours fast does not take the tick from those whose clocks are right.
func TestATickThatAFastClockRingsForIsLeftToTheOthers(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		fast, right := e.client().Cron("report"), e.client().Cron("report")
		for _, ahead := range []time.Duration{23 * time.Hour, time.Hour, redislock.DefaultTickAhead + 2*time.Second} {
			tick := e.tick().Add(ahead)
			outcome, err := fast.Run(context.Background(), tick, func(context.Context) error {
				t.Errorf("the tick ran %v before its time", ahead)
				return nil
			})
			if outcome != 0 || !errors.Is(err, redislock.ErrInvalid) {
				t.Errorf("%v ahead: %v, %v", ahead, outcome, err)
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
				t.Errorf("%v ahead: %v, %v", ahead, outcome, err)
			}
		}
		if outcome, err := c.Cron("report", redislock.WithTickAhead(0)).Run(context.Background(), e.tick().Add(time.Second), idle); outcome != 0 || !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("a second too early: %v, %v", outcome, err)
		}
	})
}

// The time between such a tick and now is more than a Duration can say.
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
					t.Errorf("year %d: %v, %v", year, outcome, err)
				}
			}
		}
	})
}

// Fences stay ahead where the server's clock once was ahead. What counts is the clock.
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

// Whether an earlier one is still running is asked when the tick is due, not when a fast clock rings.
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
					t.Errorf("it began %v before its time", due.Sub(now))
				}
				return nil
			})
			time.Sleep(5 * time.Second)
		}
	})
}

// A distance of the whole period leaves no moment in which the next tick could begin.
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
				t.Errorf("%s: %v, %v", name, outcome, err)
			}
		}
	})
}

// What cannot be written down is not told, and keeps nothing from running.
func TestANextTickWithoutAYearDoesNotKeepAJobFromRunning(t *testing.T) {
	both(t, func(e *env) {
		c, tick := e.client(), e.tick()
		for i, next := range []time.Time{{}, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), tick.Add(time.Hour).In(time.FixedZone("far", 30*3600))} {
			tick = tick.Add(-time.Second)
			e.runs(c.Cron("report", redislock.WithSchedule(func(time.Time) time.Time { return next })), tick, redislock.OutcomeRan, idle)
			status, err := c.CronStatus(context.Background(), "report")
			if err != nil || status.Outcome != redislock.OutcomeRan || status.Next.IsZero() == (i == 3) {
				t.Errorf("next %v: %+v, %v", next, status, err)
			}
		}
	})
}

// The earlier one looks, and before it has the lock the later one begins.
func TestAnEarlierTickThatComesLateNeverEndsALaterOne(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		for _, pause := range []time.Duration{time.Millisecond, time.Second, 40 * time.Second} { // the last is more than a lease
			tick := e.tick()
			first := once(t)
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
				t.Errorf("paused for %v: the earlier one ran beside it", pause)
			}
			e.untouched("cron:report")
			e.untouched("tick:report@replace")
			time.Sleep(time.Minute)
		}
	})
}
