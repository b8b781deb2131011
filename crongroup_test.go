package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// lasting is a job that takes this long.
func lasting(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestAPauseIsFromTheEndOfARunToTheNext(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		tick := e.tick()
		pause := redislock.WithPause(10 * time.Minute)
		a := e.client()
		e.runs(a.Cron("report", pause), tick, redislock.OutcomeRan, lasting(5*time.Minute))
		ended := time.Now()
		if err := a.Close(context.Background()); err != nil { // the process may end
			e.Error(err)
		}
		b := e.client()
		var all sync.WaitGroup
		for i := range 9 { // the ticks of every minute
			time.Sleep(time.Minute)
			e.runs(b.Cron("report", pause), tick.Add(time.Duration(6+i)*time.Minute), redislock.OutcomeSkipped, idle)
		}
		for _, o := range []redislock.Overlap{redislock.OverlapWait, redislock.OverlapReplace} {
			all.Go(func() {
				e.runs(b.Cron("report", redislock.WithOverlap(o)), tick.Add(14*time.Minute+time.Duration(o)*time.Second), redislock.OutcomeRan, func(context.Context) error {
					if after := time.Since(ended); after < 10*time.Minute {
						e.Errorf("the next one ran %v after the end of the first", after)
					}
					return nil
				})
			})
		}
		all.Wait()
		if after := time.Since(ended); after > 11*time.Minute {
			e.Errorf("the next ones ran %v after the end of the first", after)
		}
	})
}

// A run that another node will begin anew is not over. If no node stands by, it is over.
func TestAPauseDoesNotKeepATickFromWhoStandsBy(t *testing.T) {
	for _, stands := range []bool{true, false} {
		embedded(t, 0, func(e *env, _ *fakenet.Network) {
			tick := e.tick()
			a, b := e.client(), e.client()
			opts := []redislock.CronOption{redislock.WithPause(time.Hour)}
			if stands {
				opts = append(opts, standBy)
			}
			ctx, stop := context.WithCancel(context.Background())
			begun, ended := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(ended)
				_, _ = a.Cron("report", opts...).Run(ctx, tick, func(ctx context.Context) error { close(begun); return untilOver(ctx) })
			}()
			<-begun
			time.AfterFunc(time.Second, stop)
			if stands {
				e.runs(b.Cron("report", opts...), tick, redislock.OutcomeRan, idle)
				<-ended
			} else {
				<-ended
				e.runs(b.Cron("report", opts...), tick.Add(time.Second), redislock.OutcomeSkipped, idle)
			}
			if took := time.Since(tick); took > 10*time.Second {
				e.Errorf("it took %v", took)
			}
			time.Sleep(2 * time.Hour)
		})
	}
}

func TestAtMostSoManyJobsOfAGroupRunAtATime(t *testing.T) {
	both(t, func(e *env) {
		tick := e.tick()
		var running, most, ran atomic.Int32
		var all sync.WaitGroup
		lasts := 20 * time.Millisecond
		for range 3 {
			c := e.client()
			for i := range 8 {
				g := c.Cron(fmt.Sprint("job-", i), redislock.WithGroup("reports", 3))
				all.Go(func() {
					outcome, err := g.Run(context.Background(), tick, func(ctx context.Context) error {
						n := running.Add(1)
						defer running.Add(-1)
						for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
						}
						ran.Add(1)
						if l, ok := redislock.FromContext(ctx); !ok || l.Name() != "cron:"+g.Job() {
							e.Errorf("the lock of %s is not found", g.Job())
						}
						return lasting(lasts)(ctx)
					})
					if err != nil || outcome != redislock.OutcomeRan && outcome != redislock.OutcomeElsewhere {
						e.Errorf("%v, %v", outcome, err)
					}
				})
			}
		}
		all.Wait()
		if ran.Load() != 8 || most.Load() > 3 || e.mini != nil && most.Load() != 3 {
			e.Errorf("%d of 8 jobs ran, at most %d at a time", ran.Load(), most.Load())
		}
		e.untouched("group:reports")
	})
}

func TestWhatBecomesOfATickThatFindsItsGroupFull(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		tick := e.tick()
		a, b := e.client(), e.client()
		group := func(opts ...redislock.Option) redislock.CronOption { return redislock.WithGroup("g", 1, opts...) }
		var all sync.WaitGroup
		all.Go(func() {
			e.runs(a.Cron("long", redislock.WithGroup("g", 1)), tick, redislock.OutcomeRan, lasting(time.Hour))
		})
		time.Sleep(time.Second)
		// A node that does not wait leaves the tick out, for all nodes.
		for i, opt := range []redislock.Option{redislock.WithWait(0), redislock.WithWait(time.Minute)} {
			job, begun := fmt.Sprint("impatient-", i), time.Now()
			e.runs(b.Cron(job, group(opt)), tick, redislock.OutcomeSkipped, idle)
			if took, want := time.Since(begun), time.Duration(i)*time.Minute; took < want || took > want+time.Second {
				e.Errorf("%s waited for %v", job, took)
			}
			e.runs(a.Cron(job, group()), tick, redislock.OutcomeElsewhere, idle)
		}
		// A node that waits gets its place, and the later ticks of its job are left out.
		order := make(chan string, 9)
		waits := func(job string, opts ...redislock.Option) {
			all.Go(func() {
				e.runs(b.Cron(job, group(opts...)), tick, redislock.OutcomeRan, func(context.Context) error {
					order <- job
					return nil
				})
			})
			time.Sleep(time.Second)
		}
		waits("second")
		waits("third")
		e.runs(a.Cron("second", group()), tick.Add(time.Minute), redislock.OutcomeSkipped, idle)
		e.runs(b.Cron("crowded", group(redislock.WithMaxQueue(2))), tick, redislock.OutcomeSkipped, idle)
		if s, err := a.CronStatus(context.Background(), "second"); err != nil || s.Outcome != 0 {
			e.Errorf("it waits, and has not begun: %+v, %v", s, err)
		}
		all.Wait()
		if first, then := <-order, <-order; first != "second" || then != "third" {
			e.Errorf("%s before %s", first, then)
		}
		s, err := a.CronStatus(context.Background(), "second")
		if err != nil || s.Start.Sub(tick) < time.Hour || s.Start.Sub(tick) > time.Hour+10*time.Second || s.Duration > time.Second {
			e.Errorf("it began when it had its place: %+v, %v", s, err)
		}
		e.untouched("cron:second")
	})
}

func TestAJobMayTakeSeveralPlacesOfItsGroup(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		tick := e.tick()
		c := e.client()
		var all sync.WaitGroup
		begun := time.Now()
		all.Go(func() {
			e.runs(c.Cron("light", redislock.WithGroup("g", 2)), tick, redislock.OutcomeRan, lasting(time.Hour))
		})
		time.Sleep(time.Second)
		e.runs(c.Cron("heavy", redislock.WithGroup("g", 2, redislock.WithWeight(2))), tick, redislock.OutcomeRan, func(context.Context) error {
			if took := time.Since(begun); took < time.Hour {
				e.Errorf("begun after %v, beside the light one", took)
			}
			return nil
		})
		all.Wait()
	})
}

// The place of a node that dies is free when its lease ends, not earlier and not later.
func TestANodeThatDiesMidRunGivesItsPlaceBack(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		tick := e.tick()
		line := &fakenet.Network{Dial: n.Dial}
		a, b := e.clientOn(line), e.client()
		begun := make(chan struct{})
		var ended atomic.Int64
		go func() {
			_, _ = a.Cron("first", redislock.WithGroup("g", 1)).Run(context.Background(), tick, func(ctx context.Context) error {
				close(begun)
				<-ctx.Done()
				ended.Store(time.Now().UnixNano())
				return ctx.Err()
			})
		}()
		<-begun
		line.Cut()
		cut := time.Now()
		e.runs(b.Cron("second", redislock.WithGroup("g", 1)), tick, redislock.OutcomeRan, func(context.Context) error {
			if at := ended.Load(); at == 0 || at > time.Now().UnixNano() {
				e.Error("both jobs ran at a time")
			}
			if took := time.Since(cut); took > redislock.DefaultLease+5*time.Second {
				e.Errorf("the place was free after %v", took)
			}
			return nil
		})
		line.Mend()
		time.Sleep(time.Minute)
	})
}

func TestANodeThatDiesWhileItWaitsForItsGroupLeavesTheTickToWhoStandsBy(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		tick := e.tick()
		line := &fakenet.Network{Dial: n.Dial}
		a, b, c := e.client(), e.clientOn(line), e.client()
		group := redislock.WithGroup("g", 1)
		stand := redislock.WithRetry(time.Hour)
		var all sync.WaitGroup
		all.Go(func() { e.runs(a.Cron("first", group), tick, redislock.OutcomeRan, lasting(10*time.Minute)) })
		time.Sleep(time.Second)
		all.Go(func() {
			outcome, err := b.Cron("second", group, stand).Run(context.Background(), tick, func(context.Context) error { e.Error("it ran on the node that was cut off"); return nil })
			if outcome != 0 || err == nil {
				e.Errorf("%v, %v", outcome, err)
			}
		})
		time.Sleep(time.Second)
		all.Go(func() { e.runs(c.Cron("second", group, stand), tick, redislock.OutcomeRan, idle) })
		time.Sleep(time.Second)
		line.Cut()
		all.Wait()
		if took := time.Since(tick); took < 10*time.Minute || took > 11*time.Minute {
			e.Errorf("it took %v", took)
		}
		line.Mend()
		time.Sleep(time.Minute)
	})
}

func TestTheLossOfAPlaceEndsARun(t *testing.T) {
	both(t, func(e *env) {
		tick, c, other := e.tick(), e.client(), e.client()
		outcome, err := c.Cron("report", redislock.WithGroup("g", 2)).Run(context.Background(), tick, func(ctx context.Context) error {
			if _, err := other.Break(context.Background(), "group:g", "test"); err != nil {
				e.Error(err)
			}
			<-ctx.Done()
			return nil
		})
		if outcome != redislock.OutcomeFailed || !errors.Is(err, redislock.ErrStolen) {
			e.Errorf("%v, %v", outcome, err)
		}
		e.untouched("cron:report")
	})
}

// The documented way to keep two jobs of a group from running on one node: a group for the node.
func TestTwoJobsOfAGroupDoNotRunOnOneNode(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		tick := e.tick()
		var all sync.WaitGroup
		running, ran := make([]atomic.Int32, 3), atomic.Int32{}
		for node := range running {
			c := e.client()
			for i := range 9 {
				g := c.Cron(fmt.Sprint("job-", i), redislock.WithGroup("reports", 2), redislock.WithGroup(fmt.Sprint("reports@node-", node), 1))
				all.Go(func() {
					_, err := g.Run(context.Background(), tick, func(ctx context.Context) error {
						if running[node].Add(1) > 1 {
							e.Errorf("two jobs on node %d", node)
						}
						defer running[node].Add(-1)
						ran.Add(1)
						return lasting(time.Minute)(ctx)
					})
					if err != nil {
						e.Error(err)
					}
				})
			}
		}
		all.Wait()
		if ran.Load() != 9 {
			e.Errorf("%d of 9 jobs ran", ran.Load())
		}
	})
}

// Forty nodes have one crontab of three jobs, two of which may run at a time. Their clocks are up to 20 s slow, one is cut off in the
// middle of a run, and Redis is away for a while.
func TestFortyNodesWithOneCrontabAndAGroup(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, n *fakenet.Network) {
		const nodes, ticks = 40, 4
		first := e.tick().Add(time.Second)
		begun, fleet := time.Now(), &fakenet.Network{Dial: n.Dial, Delay: time.Millisecond}
		mortal := &fakenet.Network{Dial: n.Dial, Delay: time.Millisecond}
		var mu sync.Mutex
		runs, running := map[string]int{}, 0
		var all sync.WaitGroup
		for node := range nodes {
			line := fleet
			if node == 0 { // its clock is right, so it is the first
				line = mortal
			}
			c := e.clientOn(line)
			for _, job := range []string{"a", "b", "c"} {
				g := c.Cron(job, redislock.WithGroup("g", 2), redislock.WithPause(2*time.Second), redislock.WithOverlap(redislock.OverlapWait), redislock.WithHistory(3))
				for i := range ticks {
					all.Go(func() {
						tick := first.Add(time.Duration(i) * time.Minute)
						time.Sleep(time.Until(begun.Add(time.Duration(i)*time.Minute + time.Duration(node)*500*time.Millisecond)))
						_, _ = g.Run(context.Background(), tick, func(ctx context.Context) error {
							mu.Lock()
							runs[fmt.Sprint(job, i)]++
							if running++; running > 2 {
								e.Errorf("%d jobs of the group run", running)
							}
							mu.Unlock()
							defer func() {
								mu.Lock()
								running--
								mu.Unlock()
							}()
							if i == 1 && line == mortal {
								mortal.Cut()
							}
							return lasting(5 * time.Second)(ctx)
						})
					})
				}
			}
		}
		time.AfterFunc(2*time.Minute+40*time.Second, fleet.Cut)
		time.AfterFunc(2*time.Minute+50*time.Second, fleet.Mend)
		all.Wait()
		mortal.Mend()
		for tick, n := range runs {
			if n > 1 {
				e.Errorf("%s ran %d times", tick, n)
			}
		}
		if len(runs) < 3*ticks-2 { // the ticks that the cut-off node had begun, or waited with, are left out
			e.Errorf("of %d ticks ran: %v", 3*ticks, runs)
		}
		time.Sleep(2 * time.Minute)
	})
}

func TestCronRefusesAGroupThatCannotBe(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c, tick := e.client(), e.tick()
		for what, o := range map[string][]redislock.CronOption{
			"no name":               {redislock.WithGroup("", 1)},
			"a long name":           {redislock.WithGroup(strings.Repeat("g", redislock.MaxName), 1)},
			"no place":              {redislock.WithGroup("g", 0)},
			"many places":           {redislock.WithGroup("g", redislock.MaxUnits+1)},
			"more places than are":  {redislock.WithGroup("g", 2, redislock.WithWeight(3))},
			"a group twice":         {redislock.WithGroup("g", 2), redislock.WithGroup("g", 3)},
			"a mode":                {redislock.WithGroup("g", 2, redislock.WithMode(redislock.Read))},
			"a lease of its own":    {redislock.WithGroup("g", 2, redislock.WithLease(time.Minute))},
			"a steal":               {redislock.WithGroup("g", 2, redislock.WithStealAfter(time.Minute))},
			"a turn":                {redislock.WithGroup("g", 2, redislock.WithTurn(time.Millisecond))},
			"a nil option":          {redislock.WithGroup("g", 2, nil)},
			"replaced, and skipped": {redislock.WithOverlap(redislock.OverlapReplace), redislock.WithGroup("g", 2, redislock.WithWait(0))},
			"or in a short queue":   {redislock.WithGroup("g", 2, redislock.WithMaxQueue(1)), redislock.WithOverlap(redislock.OverlapReplace)},
			"a negative pause":      {redislock.WithPause(-1)},
			"a pause of a week":     {redislock.WithPause(7 * 24 * time.Hour)},
			"a negative history":    {redislock.WithHistory(-1)},
			"a history without end": {redislock.WithHistory(redislock.MaxHistory + 1)},
		} {
			if outcome, err := c.Cron("x", o...).Run(context.Background(), tick, idle); outcome != 0 || !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("%s: %v, %v", what, outcome, err)
			}
		}
		g := c.Cron("outer", redislock.WithGroup("g", 2))
		e.runs(g, tick, redislock.OutcomeRan, func(ctx context.Context) error {
			if outcome, err := c.Cron("inner", redislock.WithGroup("g", 2)).Run(ctx, tick, idle); outcome != 0 || !errors.Is(err, redislock.ErrDeadlock) {
				e.Errorf("a job inside another of its group: %v, %v", outcome, err)
			}
			return nil
		})
	})
}

func TestTheHistoryOfAJobIsItsLastRuns(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		ctx := context.Background()
		tick, watch := e.tick(), e.client()
		line := &fakenet.Network{Dial: n.Dial}
		mortal, node := e.clientOn(line), e.client(redislock.WithName("node"))
		history := redislock.WithHistory(3)
		want := []string{}
		is := func() {
			e.Helper()
			s, err := watch.CronStatus(ctx, "report")
			got := []string{}
			for _, r := range s.Earlier {
				got = append(got, fmt.Sprintf("%v at %v by %s in %v %.20s", r.Outcome, r.Tick.Sub(tick), r.Node.Client, r.Duration.Round(time.Second), r.Err))
				if r.Fence >= s.Fence || r.Start.Before(tick) || !r.Start.Before(s.Start) || r.Node.Metadata != "" || len(r.Err) > 200 {
					e.Errorf("%+v", r)
				}
			}
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want[:min(len(want), 3)]) {
				e.Errorf("%q, %v; not %q", got, err, want[:min(len(want), 3)])
			}
		}
		e.runs(node.Cron("report", history), tick, redislock.OutcomeRan, lasting(time.Second))
		time.Sleep(time.Hour)
		is()
		want = append([]string{"ran at 0s by node in 1s "}, want...)
		_, _ = node.Cron("report", history).Run(ctx, tick.Add(time.Minute), func(context.Context) error { is(); return errors.New(strings.Repeat("oh ", 1000)) })
		is() // the tick before it
		want = append([]string{"failed at 1m0s by node in 0s oh oh oh oh oh oh oh"}, want...)
		go func() {
			_, _ = mortal.Cron("report", history).Run(ctx, tick.Add(2*time.Minute), func(ctx context.Context) error { line.Cut(); return untilOver(ctx) })
		}()
		time.Sleep(5 * time.Minute)
		is()
		want = append([]string{"died at 2m0s by " + filepath.Base(os.Args[0]) + " in 0s "}, want...)
		for i := range 3 {
			e.runs(node.Cron("report", history), tick.Add(time.Duration(5+i)*time.Minute), redislock.OutcomeRan, lasting(2*time.Second))
			is()
			want = append([]string{fmt.Sprintf("ran at %dm0s by node in 2s ", 5+i)}, want...)
		}
		key := "redislock:r:{cron:report}"
		if n := len(e.raw.Get(ctx, key).Val()); n > 2000 {
			e.Errorf("the record has %d bytes", n)
		}
		e.runs(node.Cron("report"), tick.Add(10*time.Minute), redislock.OutcomeRan, idle) // a run without WithHistory removes the history
		want = nil
		is()
		if err := e.raw.Set(ctx, key, "junk", time.Hour).Err(); err != nil {
			e.Fatal(err)
		}
		e.runs(node.Cron("report", history), tick.Add(11*time.Minute), redislock.OutcomeRan, idle) // the history begins anew
		is()
		line.Mend()
		time.Sleep(time.Minute)
	})
}
