package redislock_test

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

var hourly = redislock.WithSchedule(func(after time.Time) time.Time { return after.Add(time.Hour) })

// jobs are all known jobs, by name.
func (e *env) jobs() map[string]redislock.CronStatus {
	e.Helper()
	all := map[string]redislock.CronStatus{}
	for status, err := range e.operator().CronJobs(context.Background()) {
		if err != nil {
			e.Errorf("cron jobs: %q: %v", status.Job, err)
		}
		if _, twice := all[status.Job]; twice {
			e.Errorf("%q is listed twice", status.Job)
		}
		all[status.Job] = status
	}
	return all
}

func (e *env) status(job string) redislock.CronStatus {
	e.Helper()
	status, err := e.client().CronStatus(context.Background(), job)
	if err != nil {
		e.Error(err)
	}
	return status
}

func (e *env) announce(job string, opts ...redislock.CronOption) {
	e.Helper()
	if err := e.client(redislock.WithName("api")).Cron(job, opts...).Announce(context.Background()); err != nil {
		e.Error(err)
	}
}

func TestAnAnnouncedJobIsPendingUntilItsFirstRun(t *testing.T) {
	both(t, func(e *env) {
		const job = "odd {name}%"
		before := e.now()
		e.announce(job, hourly, redislock.WithMetadata("nightly"))
		s := e.status(job)
		if s.Outcome != redislock.OutcomePending || s.Node.Client != "api" || s.Node.Metadata != "nightly" || !s.Tick.IsZero() || !s.Start.IsZero() || !s.End.IsZero() || s.Fence != 0 {
			e.Errorf("%+v", s)
		}
		if first := s.Next.Sub(before); first < time.Hour || first > time.Hour+time.Minute {
			e.Errorf("the first run is %v later", first)
		}
		if all := e.jobs(); len(all) != 1 || !reflect.DeepEqual(all[job], s) {
			e.Errorf("jobs: %+v", all)
		}
		var keys []string
		look := func(ctx context.Context, rdb redis.UniversalClient) {
			keys = append(keys, rdb.Keys(ctx, "*announced").Val()...)
		}
		if cluster, is := e.raw.(*redis.ClusterClient); is {
			var mu sync.Mutex
			_ = cluster.ForEachMaster(context.Background(), func(ctx context.Context, master *redis.Client) error {
				mu.Lock()
				defer mu.Unlock()
				look(ctx, master)
				return nil
			})
		} else {
			look(context.Background(), e.raw)
		}
		if len(keys) != 1 {
			e.Fatalf("the keys are %q", keys)
		}
		if left := e.raw.PTTL(context.Background(), keys[0]).Val(); left <= 399*24*time.Hour || left > 400*24*time.Hour { // I4
			e.Errorf("it is kept for %v", left)
		}

		tick := e.tick()
		e.runs(e.client().Cron(job, hourly), tick, redislock.OutcomeRan, idle)
		e.announce(job, hourly)
		if all := e.jobs(); len(all) != 1 || all[job].Outcome != redislock.OutcomeRan || !all[job].Next.Equal(tick.Add(time.Hour)) {
			e.Errorf("after a run: %+v", all)
		}
	})
}

// If each start of a process moved the first tick on, its job would never be overdue.
func TestTheFirstTickStaysAsAnnouncedUnlessTheScheduleChanges(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		onTheHour := redislock.WithSchedule(func(after time.Time) time.Time { return after.Truncate(time.Hour).Add(time.Hour) })
		for _, schedule := range []redislock.CronOption{hourly, onTheHour} {
			e.announce("report", schedule)
			first := e.status("report").Next
			time.Sleep(100 * time.Minute)
			e.announce("report", schedule)
			if s := e.status("report"); s.Outcome != redislock.OutcomePending || !s.Next.Equal(first) {
				e.Errorf("announced again: %+v, want %v", s, first)
			}
		}
		daily := redislock.WithSchedule(func(after time.Time) time.Time { return after.AddDate(0, 0, 1) })
		e.announce("report", daily)
		if s := e.status("report"); !s.Next.Equal(time.Now().AddDate(0, 0, 1)) {
			e.Errorf("with another schedule: %+v", s)
		}
		e.announce("report", redislock.WithSchedule(func(time.Time) time.Time { return time.Time{} }))
		if s := e.status("report"); s.Outcome != 0 || len(e.jobs()) != 0 {
			e.Errorf("with a schedule without ticks: %+v", s)
		}
	})
}

// After the clock was ahead for a while, no job looks as if its first tick were still to come, and no run as if it
// had not begun.
func TestAClockThatWasAheadIsNotBelievedOfAJob(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		e.mini.SetTime(e.now().Add(24 * time.Hour))
		e.announce("report", hourly)
		e.mini.SetTime(e.now().Add(-24 * time.Hour))
		e.announce("report", hourly)
		if first := e.status("report").Next.Sub(e.now()); first != time.Hour {
			e.Errorf("the first run is %v later", first)
		}
		c := e.client()
		e.runs(c.Cron("running"), e.tick(), redislock.OutcomeRan, func(context.Context) error {
			e.mini.SetTime(e.now().Add(-time.Hour))
			if s := e.status("running"); s.Outcome != redislock.OutcomeRunning || s.Duration != 0 {
				e.Errorf("while it runs: %+v", s)
			}
			return nil
		})
	})
}

func TestAJobThatIsNoMoreIsForgotten(t *testing.T) {
	both(t, func(e *env) {
		ctx, c, tick := context.Background(), e.client(), e.tick()
		e.runs(c.Cron("ran"), tick, redislock.OutcomeRan, idle)
		e.announce("pending", hourly)
		for _, job := range []string{"ran", "pending", "unknown"} {
			if err := c.CronReset(ctx, job); err != nil {
				e.Error(err)
			}
		}
		if all := e.jobs(); len(all) != 0 {
			e.Errorf("jobs: %+v", all)
		}
		e.runs(c.Cron("ran"), tick, redislock.OutcomeElsewhere, idle) // a tick that was run is not run again
		e.runs(c.Cron("ran"), tick.Add(time.Second), redislock.OutcomeRan, func(context.Context) error { return c.CronReset(ctx, "ran") })
		if s := e.status("ran"); s.Outcome != redislock.OutcomeRan {
			e.Errorf("a run that was under way: %+v", s)
		}
	})
}

func TestAnAnnouncementThatCannotBeIsRefused(t *testing.T) {
	both(t, func(e *env) {
		ctx, c := context.Background(), e.client()
		var none *redislock.CronGuard
		for what, g := range map[string]*redislock.CronGuard{
			"no schedule": c.Cron("x"), "no guard": none, "no job": c.Cron("", hourly), "a faulty option": c.Cron("x", hourly, redislock.WithRetry(0)),
			"a faulty lease": c.Cron("x", hourly, redislock.WithLease(1)), "a mode": c.Cron("x", hourly, redislock.WithMode(redislock.Read)),
		} {
			if err := g.Announce(ctx); !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("%s: %v", what, err)
			}
		}
		if all := e.jobs(); len(all) != 0 {
			e.Errorf("jobs: %+v", all)
		}
		for what, text := range map[string]string{"no announcement": "theirs", "no time": "00000000000000000{}", "a time that cannot be": `00000000000000000{"first":"9999-12-31T23:59:59-05:00"}`} {
			e.raw.Set(ctx, "redislock:r:{cron:x}:announced", text, time.Hour)
			if _, err := c.CronStatus(ctx, "x"); !errors.Is(err, redislock.ErrDamaged) {
				e.Errorf("%s: %v", what, err)
			}
			e.announce("x", hourly)
			if s := e.status("x"); s.Outcome != redislock.OutcomePending {
				e.Errorf("after %s: %+v", what, s)
			}
		}
	})
}
