package redislock_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// tick is a scheduled time near the server's time, the same for all nodes.
func (e *env) tick() time.Time {
	e.Helper()
	now, err := e.raw.Time(context.Background()).Result()
	if err != nil {
		e.Fatal(err)
	}
	return now.Truncate(time.Second)
}

// runs has a guard run a tick and expects an outcome.
func (e *env) runs(g *redislock.CronGuard, tick time.Time, want redislock.Outcome, fn func(context.Context) error) {
	e.Helper()
	if got, err := g.Run(context.Background(), tick, fn); got != want || err != nil && want != redislock.OutcomeFailed {
		e.Errorf("tick %v: %v, %v; not %v", tick, got, err, want)
	}
}

func idle(context.Context) error { return nil }

func TestATickRunsOnceWhoeverFiresAndWhenever(t *testing.T) {
	both(t, func(e *env) {
		tick := e.tick()
		zone := time.FixedZone("elsewhere", 5*3600)
		var runs atomic.Int32
		var all sync.WaitGroup
		for i := range 8 {
			g := e.client().Cron("report")
			all.Go(func() {
				at := tick
				if i%2 == 0 {
					at = at.In(zone)
				}
				outcome, err := g.Run(context.Background(), at, func(context.Context) error { runs.Add(1); time.Sleep(20 * time.Millisecond); return nil })
				if err != nil || outcome != redislock.OutcomeRan && outcome != redislock.OutcomeElsewhere {
					e.Errorf("%v, %v", outcome, err)
				}
			})
		}
		all.Wait()
		late := e.client().Cron("report")
		e.runs(late, tick, redislock.OutcomeElsewhere, idle)
		if runs.Load() != 1 {
			e.Errorf("%d runs", runs.Load())
		}
		e.runs(late, tick.Add(time.Nanosecond), redislock.OutcomeRan, idle)
		e.runs(late, tick.Add(-time.Second), redislock.OutcomeRan, idle) // another tick is run, however late
		e.runs(e.client().Cron("other"), tick, redislock.OutcomeRan, idle)
		e.untouched("cron:report")
	})
}

func TestAJobThatFailsIsNotRunAgain(t *testing.T) {
	both(t, func(e *env) {
		tick, oh := e.tick(), errors.New("oh")
		for _, opts := range [][]redislock.CronOption{nil, {redislock.WithRetry(time.Minute)}} {
			tick = tick.Add(time.Second)
			g := e.client().Cron("report", opts...)
			outcome, err := g.Run(context.Background(), tick, func(context.Context) error { return oh })
			if outcome != redislock.OutcomeFailed || !errors.Is(err, oh) {
				e.Errorf("%v, %v", outcome, err)
			}
			e.runs(e.client().Cron("report", opts...), tick, redislock.OutcomeElsewhere, idle)
			status, err := e.client().CronStatus(context.Background(), "report")
			if err != nil || status.Outcome != redislock.OutcomeFailed || status.Err != "oh" {
				e.Errorf("%+v, %v", status, err)
			}
		}
	})
}

func TestWhatBecomesOfATickWhileAnEarlierOneRuns(t *testing.T) {
	both(t, func(e *env) {
		tick := e.tick()
		for policy, want := range map[redislock.Overlap]redislock.Outcome{
			redislock.OverlapSkip: redislock.OutcomeSkipped, redislock.OverlapWait: redislock.OutcomeRan, redislock.OverlapReplace: redislock.OutcomeRan,
		} {
			job := "job" + string(rune('0'+policy))
			begun, end := make(chan struct{}), make(chan struct{})
			first := make(chan error, 1)
			var running atomic.Int32
			go func() {
				outcome, err := e.client().Cron(job).Run(context.Background(), tick, func(ctx context.Context) error {
					running.Add(1)
					defer running.Add(-1)
					close(begun)
					select {
					case <-end:
						return nil
					case <-ctx.Done():
						return context.Cause(ctx)
					}
				})
				if want := redislock.OutcomeFailed; policy == redislock.OverlapReplace && (outcome != want || !errors.Is(err, redislock.ErrStolen)) {
					e.Errorf("the replaced one: %v, %v", outcome, err)
				}
				first <- err
			}()
			<-begun
			second := make(chan struct{})
			go func() {
				defer close(second)
				e.runs(e.client().Cron(job, redislock.WithOverlap(policy)), tick.Add(time.Second), want, func(context.Context) error {
					if running.Load() != 0 {
						e.Error("two at a time")
					}
					return nil
				})
			}()
			switch policy {
			case redislock.OverlapSkip:
				<-second
				close(end)
				<-first
				e.runs(e.client().Cron(job, redislock.WithOverlap(policy)), tick.Add(time.Second), redislock.OutcomeElsewhere, idle) // the tick is left out for all nodes
			case redislock.OverlapWait:
				e.queued(e.client(), "cron:"+job, 1)
				close(end)
				<-second
				<-first
			case redislock.OverlapReplace:
				<-second
				<-first
			}
			e.untouched("cron:" + job)
		}
	})
}

func TestAJobKeepsItsDistanceAndItsEnd(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		tick := e.tick()
		a := e.client()
		g := a.Cron("fast", redislock.WithAtLeast(500*time.Millisecond))
		begun := time.Now()
		e.runs(g, tick, redislock.OutcomeRan, idle)
		if took := time.Since(begun); e.mini != nil && took > 400*time.Millisecond {
			e.Errorf("Run waited for %v", took)
		}
		if err := a.Close(ctx); err != nil { // the process may end
			e.Error(err)
		}
		b := e.client()
		e.runs(b.Cron("fast"), tick.Add(-time.Second), redislock.OutcomeSkipped, idle) // whichever tick it is
		e.runs(b.Cron("fast", redislock.WithOverlap(redislock.OverlapReplace)), tick.Add(2*time.Second), redislock.OutcomeRan, idle)
		if after := time.Since(begun); after < 495*time.Millisecond {
			e.Errorf("the next one ran %v after the first began", after)
		}

		outcome, err := b.Cron("slow", redislock.WithAtMost(50*time.Millisecond)).Run(ctx, tick, func(ctx context.Context) error {
			if _, err := e.client().TryAcquire(context.Background(), "cron:slow"); !errors.Is(err, redislock.ErrHeld) {
				e.Errorf("its lock: %v", err)
			}
			<-ctx.Done()
			if l, ok := redislock.FromContext(ctx); !ok || l.Name() != "cron:slow" || l.Err() != nil {
				e.Error("its lock was not held to the end")
			}
			return context.Cause(ctx)
		})
		if outcome != redislock.OutcomeFailed || !errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("%v, %v", outcome, err)
		}
	})
}

func TestWhoStandsByTakesOverFromADeadNode(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		tick := e.tick()
		for retry, want := range map[time.Duration]int{0: 0, 10 * time.Second: 0, time.Minute: 1} {
			tick = tick.Add(time.Second)
			mortal := &fakenet.Network{Dial: n.Dial}
			doomed := e.clientOn(mortal)
			begun, died := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(died)
				outcome, err := doomed.Cron("report").Run(context.Background(), tick, func(ctx context.Context) error {
					close(begun)
					<-ctx.Done() // when its lease is over
					return nil
				})
				if outcome != redislock.OutcomeFailed || !errors.Is(err, redislock.ErrLost) {
					e.Errorf("the dead node: %v, %v", outcome, err)
				}
			}()
			<-begun
			mortal.Cut()
			var runs atomic.Int32
			var all sync.WaitGroup
			for range 3 {
				c := e.client()
				all.Go(func() {
					var opts []redislock.CronOption
					if retry > 0 {
						opts = append(opts, redislock.WithRetry(retry))
					}
					outcome, err := c.Cron("report", opts...).Run(context.Background(), tick, func(context.Context) error { runs.Add(1); return nil })
					if err != nil || outcome != redislock.OutcomeRan && outcome != redislock.OutcomeElsewhere {
						e.Errorf("standing by for %v: %v, %v", retry, outcome, err)
					}
				})
			}
			all.Wait()
			if int(runs.Load()) != want {
				e.Errorf("%d took over within %v", runs.Load(), retry)
			}
			<-died
			mortal.Mend()
			time.Sleep(time.Minute)
		}
	})
}

func TestANodeThatIsToldToStopLeavesTheTickToWhoStandsBy(t *testing.T) {
	both(t, func(e *env) {
		tick := e.tick()
		ctx, stop := context.WithCancel(context.Background())
		begun, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			outcome, err := e.client().Cron("report").Run(ctx, tick, func(ctx context.Context) error {
				close(begun)
				<-ctx.Done()
				return ctx.Err()
			})
			if outcome != redislock.OutcomeFailed || !errors.Is(err, context.Canceled) {
				e.Errorf("%v, %v", outcome, err)
			}
		}()
		<-begun
		other := make(chan struct{})
		go func() {
			defer close(other)
			e.runs(e.client().Cron("report", redislock.WithRetry(time.Minute)), tick, redislock.OutcomeRan, idle)
		}()
		e.queued(e.client(), "tick:report@"+tick.UTC().Format(time.RFC3339Nano), 1)
		stop()
		<-other
		<-stopped
		e.runs(e.client().Cron("report", redislock.WithRetry(time.Minute)), tick, redislock.OutcomeElsewhere, idle)
	})
}

func TestCronStatusTellsOfTheLastRun(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		ctx := context.Background()
		tick, watch := e.tick(), e.client()
		if s, err := watch.CronStatus(ctx, "report"); err != nil || !reflect.DeepEqual(s, redislock.CronStatus{Job: "report"}) {
			e.Errorf("before the first run: %+v, %v", s, err)
		}
		mortal := &fakenet.Network{Dial: n.Dial}
		node := e.clientOn(mortal)
		is := func(want redislock.Outcome, took time.Duration) redislock.CronStatus {
			e.Helper()
			s, err := watch.CronStatus(ctx, "report")
			if err != nil || s.Outcome != want || s.Duration.Round(time.Millisecond) != took || !s.Tick.Equal(tick) || s.Node.Metadata != "nightly" || s.Node.PID == 0 {
				e.Errorf("%+v, %v; not %v in %v", s, err, want, took)
			}
			return s
		}
		g := node.Cron("report", redislock.WithMetadata("nightly"))
		e.runs(g, tick, redislock.OutcomeRan, func(context.Context) error {
			time.Sleep(3 * time.Second)
			is(redislock.OutcomeRunning, 3*time.Second)
			time.Sleep(4 * time.Second)
			return nil
		})
		s := is(redislock.OutcomeRan, 7*time.Second)
		if s.End.Sub(s.Start).Round(time.Millisecond) != 7*time.Second || s.Start.Before(tick) || s.Start.After(tick.Add(2*time.Second)) {
			e.Errorf("from %v to %v", s.Start, s.End)
		}
		tick = tick.Add(10 * time.Second)
		_, _ = g.Run(ctx, tick, func(context.Context) error {
			mortal.Cut()
			time.Sleep(redislock.DefaultLease + time.Second)
			if s := is(redislock.OutcomeDied, 0); !s.End.IsZero() {
				e.Errorf("it ended %v", s.End)
			}
			mortal.Mend()
			return nil
		})
	})
}

func TestATickTooOldOrTooFarAheadIsNotRun(t *testing.T) {
	both(t, func(e *env) {
		tick := e.tick()
		g := e.client().Cron("report", redislock.WithTickMemory(time.Hour), redislock.WithTickAhead(time.Hour))
		e.runs(g, tick.Add(-time.Hour-time.Second), redislock.OutcomeMissed, idle)
		e.runs(g, tick.Add(-time.Hour+10*time.Second), redislock.OutcomeRan, idle)
		ahead := tick.Add(time.Hour - 10*time.Second)
		e.runs(g, ahead, redislock.OutcomeRan, idle)
		if _, err := g.Run(context.Background(), tick.Add(time.Hour+time.Minute), idle); !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("too far ahead: %v", err)
		}
		key := "redislock:r:{tick:report@" + ahead.UTC().Format(time.RFC3339Nano) + "}"
		if left := e.raw.PTTL(context.Background(), key).Val(); left < 119*time.Minute || left > 2*time.Hour {
			e.Errorf("a tick in an hour is remembered for %v", left)
		}
	})
}

func TestCronRefusesWhatItCannotDo(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c, tick := e.client(), e.tick()
		for what, g := range map[string]*redislock.CronGuard{
			"no job":               c.Cron(""),
			"a long job":           c.Cron(strings.Repeat("j", redislock.MaxName-35)),
			"a negative at least":  c.Cron("x", redislock.WithAtLeast(-1)),
			"at most nothing":      c.Cron("x", redislock.WithAtMost(0)),
			"no time to stand by":  c.Cron("x", redislock.WithRetry(0)),
			"a policy of its own":  c.Cron("x", redislock.WithOverlap(7)),
			"no memory":            c.Cron("x", redislock.WithTickMemory(0)),
			"ahead of nothing":     c.Cron("x", redislock.WithTickAhead(-1)),
			"years ahead":          c.Cron("x", redislock.WithTickAhead(2*365*24*time.Hour)),
			"a mode":               c.Cron("x", redislock.WithMode(redislock.Read)),
			"a nil option":         c.Cron("x", nil),
			"a lease of a moment ": c.Cron("x", redislock.WithLease(1)),
		} {
			if outcome, err := g.Run(ctx, tick, idle); outcome != 0 || !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("%s: %v, %v", what, outcome, err)
			}
		}
		g := c.Cron("x")
		for what, run := range map[string]func() (redislock.Outcome, error){
			"no tick":     func() (redislock.Outcome, error) { return g.Run(ctx, time.Time{}, idle) },
			"no function": func() (redislock.Outcome, error) { return g.Run(ctx, tick, nil) },
		} {
			if outcome, err := run(); outcome != 0 || !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("%s: %v, %v", what, outcome, err)
			}
		}
		e.runs(g, tick, redislock.OutcomeRan, func(ctx context.Context) error {
			for _, at := range []time.Time{tick, tick.Add(time.Second)} {
				if outcome, err := g.Run(ctx, at, idle); outcome != 0 || !errors.Is(err, redislock.ErrDeadlock) {
					e.Errorf("inside itself: %v, %v", outcome, err)
				}
			}
			return nil
		})
		panicked := func() (p any) {
			defer func() { p = recover() }()
			_, _ = g.Run(ctx, tick.Add(2*time.Second), func(context.Context) error { panic("oh") })
			return nil
		}()
		if panicked != "oh" {
			e.Errorf("the panic became %v", panicked)
		}
		e.runs(c.Cron("x", redislock.WithRetry(time.Minute)), tick.Add(2*time.Second), redislock.OutcomeElsewhere, idle)
		if s, err := c.CronStatus(ctx, "x"); err != nil || s.Outcome != redislock.OutcomeFailed || s.Err != "panic" {
			e.Errorf("%+v, %v", s, err)
		}
		e.untouched("cron:x")
	})
}

// A node was paused before it recorded that it begins the tick. It finds that another node has begun and run it meanwhile.
func TestANodeThatWasPausedBeforeItBeganLeavesTheTickAlone(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		tick := e.tick()
		e.runs(e.client().Cron("warm"), tick, redislock.OutcomeRan, idle)
		slow := once(e.T)
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
				e.Errorf("the paused one: %v, %v", outcome, err)
			}
		})
		time.Sleep(time.Second)
		if _, err := e.client().Break(context.Background(), "tick:report@"+tick.UTC().Format(time.RFC3339Nano), "as if its lease had ended"); err != nil {
			e.Fatal(err)
		}
		if _, err := e.client().Break(context.Background(), "cron:report", "likewise"); err != nil {
			e.Fatal(err)
		}
		e.runs(e.client().Cron("report"), tick, redislock.OutcomeRan, run)
		all.Wait()
		if runs.Load() != 1 {
			e.Errorf("%d runs", runs.Load())
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
					e.Error(err)
				}
				select {
				case <-ctx.Done():
				case <-time.After(5 * time.Second):
					e.Errorf("%s was lost, and the context goes on", name)
				}
				return nil
			})
			if outcome != redislock.OutcomeFailed || !errors.Is(err, redislock.ErrLost) {
				e.Errorf("%s was lost: %v, %v", name, outcome, err)
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
				e.Errorf("%v", outcome)
			}
			waited <- err
		}()
		e.queued(other, "cron:report", 1)
		if _, err := other.Break(ctx, tickLock("report", tick), "test"); err != nil {
			e.Error(err)
		}
		if err := <-waited; !errors.Is(err, redislock.ErrLost) {
			e.Error(err)
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
			e.Errorf("%v, %v", outcome, err)
		}
		e.runs(e.client().Cron("report", standBy), tick, redislock.OutcomeElsewhere, idle)
	})
}

// A node that lost the tick does not record its end, as the tick is another's now.
func TestWhoLostATickDoesNotEndIt(t *testing.T) {
	both(t, func(e *env) {
		tick, other := e.tick(), e.client()
		outcome, _ := e.client().Cron("report").Run(context.Background(), tick, func(ctx context.Context) error {
			_, err := other.Break(context.Background(), tickLock("report", tick), "test")
			<-ctx.Done()
			return err
		})
		if outcome != redislock.OutcomeFailed {
			e.Errorf("%v", outcome)
		}
		e.runs(other.Cron("report", standBy), tick, redislock.OutcomeRan, idle)
	})
}

// If the caller gives up, that is no outcome of the tick.
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
					e.Errorf("%s: %v, %v", name, outcome, err)
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

// The status takes two looks. Between them a run may end, or another may begin.
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
				e.Errorf("%v, %v", s.Outcome, err)
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
		first := once(e.T)
		watch := e.tapped(&tap{after: func(text string) error {
			if strings.Contains(text, digest("recall")) && first() {
				close(end)
				<-ended
			}
			return nil
		}})
		if s, err := watch.CronStatus(context.Background(), "report"); err != nil || s.Outcome != redislock.OutcomeRan {
			e.Errorf("%v, %v", s.Outcome, err)
		}
	})
}

// The options of the lock do not shorten the wait of WithRetry.
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

// The dead node's lock of the job may last longer than its lock of the tick. That does not count as an earlier tick
// that still runs.
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
