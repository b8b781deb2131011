package gocronlock_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	gocronlock "example.com/redislock/adapters/gocron"
	"example.com/redislock/internal/servertest"
	"example.com/redislock/redislocktest"
)

var skews = []time.Duration{-5 * time.Second, -1300 * time.Millisecond, 0, 2 * time.Second, 5 * time.Second}

func crontab(t testing.TB, spec string) gocronlock.TickFunc {
	t.Helper()
	tick, err := gocronlock.Crontab(spec, true, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return tick
}

// gocron#841: the clocks of the instances differ, and the job is over before the next instance comes to the tick.
func TestEachTickRunsOnceOnInstancesWithDifferentClocks(t *testing.T) {
	const ticks = 100
	for name, test := range map[string]struct {
		when func() gocron.JobDefinition
		tick gocronlock.TickFunc
	}{
		"a CronJob":     {func() gocron.JobDefinition { return gocron.CronJob("* * * * *", false) }, crontab(t, "* * * * *")},
		"a DurationJob": {func() gocron.JobDefinition { return gocron.DurationJob(time.Minute) }, gocronlock.Every(time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := redislocktest.New(t)
				log := &journal{}
				for _, by := range skews {
					c := skewed(by)
					locker := gocronlock.NewLocker(server.NewClient(), c.locker(gocronlock.WithTick(test.tick))...)
					s := newScheduler(t, gocron.WithDistributedLocker(locker), gocron.WithClock(c))
					addJob(t, s, "report", test.when(), log.run, log)
					s.Start()
				}
				time.Sleep(ticks*time.Minute + 30*time.Second)
				synctest.Wait()

				runs, locks, _, overlaps := log.read()
				if n := len(runs); n < ticks || n > ticks+1 { // slow clocks still come to the tick at which the test begins
					t.Errorf("%d runs of %d ticks", n, ticks)
				}
				if overlaps > 0 {
					t.Errorf("%d runs beside another", overlaps)
				}
				if n := len(locks); n < (len(skews)-1)*(ticks-1) {
					t.Errorf("the others came to %d ticks only", n)
				}
				for _, err := range locks {
					if !errors.Is(err, redislock.ErrHeld) {
						t.Error(err)
					}
				}
				if status, err := server.Client.CronStatus(t.Context(), "report"); err != nil || status.Outcome != redislock.OutcomeRan || status.Tick.Second() != 0 {
					t.Errorf("%+v, %v", status, err)
				}
			})
		})
	}
}

// Without ticks the lock is kept for longer than the clocks differ.
func TestTheMinimumHoldKeepsAFastJobFromRunningTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const minutes = 30
		server := redislocktest.New(t)
		log := &journal{}
		for _, by := range []time.Duration{-2 * time.Second, 0, 2 * time.Second} {
			s := newScheduler(t, gocron.WithDistributedLocker(gocronlock.NewLocker(server.NewClient())), gocron.WithClock(skewed(by)))
			addJob(t, s, "report", gocron.CronJob("* * * * *", false), log.run, log)
			s.Start()
		}
		time.Sleep(minutes*time.Minute + 30*time.Second)
		synctest.Wait()
		for minute, n := range log.perMinute() {
			if n != 1 {
				t.Errorf("%d runs at %v", n, minute)
			}
		}
		if runs, locks, _, _ := log.read(); len(runs) < minutes || len(locks) < 2*minutes {
			t.Errorf("%d runs, %d instances came later", len(runs), len(locks))
		}
	})
}

func TestEachTickRunsOnceOnARealServer(t *testing.T) {
	t.Parallel()
	server := servertest.Start(t)
	log := &journal{}
	var ticks atomic.Int64 // the last, in seconds
	began := time.Now()
	for range 3 {
		client := newClient(t, server.Connect())
		locker := gocronlock.NewLocker(client, gocronlock.WithTick(func(job string, now time.Time) time.Time {
			tick := crontab(t, "* * * * * *")(job, now)
			ticks.Store(tick.Unix())
			return tick
		}))
		s := newScheduler(t, gocron.WithDistributedLocker(locker))
		addJob(t, s, "report", gocron.CronJob("* * * * * *", true), log.run, log)
		s.Start()
	}
	eventually(t, func() bool { _, locks, _, _ := log.read(); return len(locks) >= 6 })
	runs, locks, _, _ := log.read()
	if most := ticks.Load() - began.Unix(); int64(len(runs)) > most || len(runs) < 2 {
		t.Errorf("%d runs of %d ticks", len(runs), most)
	}
	for _, err := range locks {
		if !errors.Is(err, redislock.ErrHeld) {
			t.Error(err)
		}
	}
}

func TestAJobMayHaveALockerOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := redislocktest.New(t)
		alone, everywhere := &journal{}, &journal{}
		for range 3 {
			s := newScheduler(t)
			addJob(t, s, "report", gocron.CronJob("*/2 * * * *", false), alone.run, alone,
				gocron.WithDistributedJobLocker(gocronlock.NewLocker(server.NewClient(), gocronlock.WithTick(crontab(t, "*/2 * * * *")))))
			addJob(t, s, "metrics", gocron.CronJob("* * * * *", false), everywhere.run, everywhere)
			s.Start()
		}
		time.Sleep(10*time.Minute + time.Second)
		synctest.Wait()
		if runs, _, _, _ := alone.read(); len(runs) != 5 {
			t.Errorf("with its locker: %d runs in 5 ticks", len(runs))
		}
		if runs, _, _, _ := everywhere.read(); len(runs) != 30 {
			t.Errorf("without: %d runs in 10 ticks on 3 instances", len(runs))
		}
	})
}

func TestATaskIsToldThatItsLockWasLost(t *testing.T) {
	for name, tick := range map[string]bool{"with ticks": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := redislocktest.New(t)
				operator := server.NewClient()
				log := &journal{}
				told := make(chan error, 1)
				opts := []gocronlock.Option{gocronlock.WithOnLost(func(job string, err error) {
					if job != "report" {
						t.Errorf("job %q", job)
					}
					told <- err
				})}
				if tick {
					opts = append(opts, gocronlock.WithTick(crontab(t, "* * * * *")))
				}
				locker := gocronlock.NewLocker(server.Client, opts...)
				s := newScheduler(t, gocron.WithDistributedLocker(locker))
				addJob(t, s, "report", gocron.CronJob("* * * * *", false), locker.Task(func(ctx context.Context) error {
					l, ok := redislock.FromContext(ctx)
					if !ok || l.Name() != "cron:report" || l.Err() != nil {
						t.Error("a run without its lock")
					}
					if _, err := operator.Break(context.WithoutCancel(ctx), "cron:report", "too late"); err != nil {
						t.Error(err)
					}
					<-ctx.Done()
					return nil
				}), log)
				s.Start()
				if err := <-told; !errors.Is(err, redislock.ErrStolen) {
					t.Errorf("told: %v", err)
				}
				synctest.Wait()
				if _, _, results, _ := log.read(); len(results) != 1 || !errors.Is(results[0], redislock.ErrStolen) {
					t.Errorf("the job's results: %v", results)
				}
				if status, err := operator.CronStatus(t.Context(), "report"); tick && (err != nil || status.Outcome != redislock.OutcomeFailed) {
					t.Errorf("%+v, %v", status, err)
				}
				if err := s.Shutdown(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestTheStatusKnowsHowATaskEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := redislocktest.New(t)
		log := &journal{}
		locker := gocronlock.NewLocker(server.Client, gocronlock.WithTick(crontab(t, "* * * * *")))
		s := newScheduler(t, gocron.WithDistributedLocker(locker))
		addJob(t, s, "report", gocron.CronJob("* * * * *", false), locker.Task(func(context.Context) error { return errors.New("no paper") }), log)
		addJob(t, s, "clean-up", gocron.CronJob("* * * * *", false), locker.Task(func(context.Context) error { panic("oh") }), log,
			gocron.WithEventListeners(gocron.AfterJobRunsWithPanic(func(uuid.UUID, string, any) {})))
		s.Start()
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		for job, want := range map[string]string{"report": "no paper", "clean-up": "panic"} {
			status, err := server.Client.CronStatus(t.Context(), job)
			if err != nil || status.Outcome != redislock.OutcomeFailed || status.Err != want {
				t.Errorf("%s: %+v, %v", job, status, err)
			}
		}
	})
}

// A loss may make gocron run a job again while the first run still goes on, with the same context.
func TestEachRunOfATaskHasItsOwnLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		server := redislocktest.New(t)
		locker := gocronlock.NewLocker(server.Client, gocronlock.WithAtLeast(0))
		var fences []int64
		task := locker.Task(func(ctx context.Context) error {
			l, ok := redislock.FromContext(ctx)
			if !ok {
				t.Error("a run without a lock")
				return nil
			}
			fences = append(fences, l.Fence())
			return ctx.Err()
		})
		first, err := locker.Lock(ctx, "report")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := server.NewClient().Break(ctx, "cron:report", "test"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		second, err := locker.Lock(ctx, "report")
		if err != nil {
			t.Fatal(err)
		}
		if err := task(ctx); !errors.Is(err, redislock.ErrStolen) {
			t.Errorf("the first: %v", err)
		}
		if err := task(ctx); err != nil {
			t.Errorf("the second: %v", err)
		}
		if len(fences) != 2 || fences[0] >= fences[1] {
			t.Errorf("fences: %d", fences)
		}
		if err := task(ctx); !errors.Is(err, redislock.ErrNotHeld) {
			t.Errorf("a third: %v", err)
		}
		if err := first.Unlock(ctx); !errors.Is(err, redislock.ErrNotHeld) {
			t.Errorf("the first Unlock: %v", err)
		}
		if err := second.Unlock(ctx); err != nil {
			t.Errorf("the second Unlock: %v", err)
		}

		third, err := locker.Lock(ctx, "report")
		if err != nil {
			t.Fatal(err)
		}
		if err := third.Unlock(ctx); err != nil {
			t.Error(err)
		}
		if err := task(ctx); !errors.Is(err, redislock.ErrNotHeld) {
			t.Errorf("after the Unlock: %v", err)
		}
	})
}

// I10: nothing runs without the lock.
func TestATaskDoesNotRunWithoutALock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := redislocktest.New(t)
		log := &journal{}
		task := gocronlock.NewLocker(server.Client).Task(func(context.Context) error { t.Error("it ran"); return nil })
		other := gocronlock.NewLocker(server.NewClient())
		for _, s := range []gocron.Scheduler{newScheduler(t), newScheduler(t, gocron.WithDistributedLocker(other))} {
			addJob(t, s, "report", gocron.CronJob("* * * * *", false), task, log)
			s.Start()
		}
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		_, _, results, _ := log.read()
		for _, err := range results {
			if !errors.Is(err, redislock.ErrNotHeld) {
				t.Error(err)
			}
		}
		if len(results) != 2 {
			t.Errorf("%d results", len(results))
		}
	})
}

func TestWithoutRedisNothingRuns(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]gocronlock.Option{"with ticks": {gocronlock.WithTick(crontab(t, "* * * * * *"))}, "without": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := servertest.Start(t)
			client := newClient(t, server.Connect(func(o *redis.Options) { o.ReadTimeout, o.MaxRetries = 100*time.Millisecond, -1 }))
			server.Pause()
			defer server.Resume()
			log := &journal{}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			s := newScheduler(t, gocron.WithDistributedLocker(gocronlock.NewLocker(client, opts...)))
			addJob(t, s, "report", gocron.CronJob("* * * * * *", true), func() { t.Error("it ran"); cancel() }, log, gocron.WithContext(ctx))
			s.Start()
			time.AfterFunc(1500*time.Millisecond, cancel) // Lock waits for an answer until the job's context ends
			eventually(t, func() bool { _, locks, _, _ := log.read(); return len(locks) > 0 })
			if _, locks, _, _ := log.read(); errors.Is(locks[0], redislock.ErrHeld) {
				t.Error(locks[0])
			}
		})
	}
}

func TestAShutdownFreesTheLockAtOnce(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]gocronlock.Option{
		"with ticks": {gocronlock.WithTick(crontab(t, "* * * * * *"))},
		"without":    {gocronlock.WithAtLeast(0)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := servertest.Start(t)
			client := newClient(t, server.Connect())
			log := &journal{}
			locker := gocronlock.NewLocker(client, append(opts, gocronlock.WithGuard(redislock.WithLease(time.Hour)))...)
			s := newScheduler(t, gocron.WithDistributedLocker(locker))
			begun := make(chan struct{})
			addJob(t, s, "report", gocron.CronJob("* * * * * *", true), locker.Task(func(ctx context.Context) error {
				close(begun)
				<-ctx.Done()
				return ctx.Err()
			}), log)
			s.Start()
			<-begun
			if err := s.Shutdown(); err != nil {
				t.Error(err)
			}
			if info, err := client.Inspect(context.Background(), "cron:report"); err != nil || len(info.Holds) != 0 {
				t.Errorf("%+v, %v", info.Holds, err)
			}
		})
	}
}

func TestWhatCannotWorkIsAnErrorOfTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		server := redislocktest.New(t)
		tick := gocronlock.WithTick(crontab(t, "* * * * *"))
		for name, opts := range map[string][]gocronlock.Option{
			"a lease of a nanosecond":            {gocronlock.WithGuard(redislock.WithLease(1))},
			"the same, with ticks":               {tick, gocronlock.WithGuard(redislock.WithLease(1))},
			"a hold of two days":                 {gocronlock.WithAtLeast(48 * time.Hour)},
			"the same, with ticks ":              {tick, gocronlock.WithAtLeast(48 * time.Hour)},
			"a negative one":                     {gocronlock.WithAtLeast(-1)},
			"an option of a guard without ticks": {gocronlock.WithGuard(redislock.WithAtMost(time.Minute))},
			"no option":                          {tick, gocronlock.WithGuard(nil)},
		} {
			_, err := gocronlock.NewLocker(server.Client, opts...).Lock(ctx, "report")
			if !errors.Is(err, redislock.ErrInvalid) || strings.Contains(name, "without ticks") != strings.Contains(err.Error(), "WithTick") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// A tick that is older than the records is not run. The error says so, and is no ErrHeld, which would mean that all
// is well.
func TestAMissedTickIsNoMatterOfCourse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := redislocktest.New(t)
		locker := gocronlock.NewLocker(server.Client, gocronlock.WithTick(func(_ string, now time.Time) time.Time { return now.Add(-48 * time.Hour) }))
		if _, err := locker.Lock(t.Context(), "report"); err == nil || errors.Is(err, redislock.ErrHeld) {
			t.Errorf("%v", err)
		}
	})
}

// The mode stays exclusive, whatever the options or the Client's defaults say.
func TestALockIsExclusiveWhateverTheOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		server := redislocktest.New(t, redislock.WithDefaults(redislock.WithMode(redislock.Read)))
		locker := gocronlock.NewLocker(server.Client, gocronlock.WithGuard(redislock.WithMode(redislock.Semaphore(3)), redislock.WithWeight(2)))
		lock, err := locker.Lock(ctx, "report")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := locker.Lock(ctx, "report"); !errors.Is(err, redislock.ErrHeld) {
			t.Errorf("a second one: %v", err)
		}
		if err := lock.Unlock(ctx); err != nil {
			t.Error(err)
		}
		if _, err := locker.Lock(ctx, "report"); !errors.Is(err, redislock.ErrHeld) {
			t.Errorf("within the minimum hold: %v", err)
		}
		time.Sleep(gocronlock.DefaultAtLeast + time.Second)
		err = server.Client.Do(ctx, "cron:report", func(ctx context.Context) error { _, err := locker.Lock(ctx, "report"); return err },
			redislock.WithMode(redislock.Exclusive))
		if !errors.Is(err, redislock.ErrDeadlock) {
			t.Errorf("under its own hold: %v", err)
		}
	})
}

func TestAnnouncedJobsAreListedBeforeTheirFirstRunAndWhenTheyAreOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := redislocktest.New(t)
		locker := gocronlock.NewLocker(server.NewClient(), gocronlock.WithTick(func(job string, now time.Time) time.Time {
			if job == "without" {
				return time.Time{}
			}
			return crontab(t, "0 * * * *")(job, now)
		}))
		log := &journal{}
		s := newScheduler(t, gocron.WithDistributedLocker(locker))
		for _, name := range []string{"report", "quiet"} {
			addJob(t, s, name, gocron.CronJob("0 * * * *", false), locker.Task(func(context.Context) error { log.run(); return nil }), log)
		}
		if err := locker.Announce(t.Context(), "without", "report"); !errors.Is(err, redislock.ErrInvalid) || !strings.Contains(err.Error(), `"without"`) {
			t.Errorf("a job without ticks: %v", err)
		}
		began := time.Now()
		first := began.Truncate(time.Hour).Add(time.Hour)
		of := func(job string) redislock.CronStatus {
			status, err := server.Client.CronStatus(t.Context(), job)
			if err != nil {
				t.Error(err)
			}
			return status
		}
		if got := of("report"); got.Outcome != redislock.OutcomePending || !got.Next.Equal(first) {
			t.Errorf("before its first run: %+v", got)
		}
		s.Start()
		time.Sleep(time.Until(first) + time.Minute)
		synctest.Wait()
		if got := of("report"); got.Outcome != redislock.OutcomeRan || !got.Tick.Equal(first) || !got.Next.Equal(first.Add(time.Hour)) {
			t.Errorf("after it: %+v", got)
		}
		if got := of("quiet"); got.Outcome != redislock.OutcomeRan || !got.Next.IsZero() {
			t.Errorf("a job that was not announced: %+v", got)
		}
		if err := s.Shutdown(); err != nil { // the only instance ends
			t.Error(err)
		}
		time.Sleep(3 * time.Hour)
		if got := of("report"); !got.Next.Equal(first.Add(time.Hour)) {
			t.Errorf("overdue: %+v", got)
		}
		known := 0
		for status, err := range server.Client.CronJobs(t.Context()) {
			if known++; err != nil {
				t.Error(status, err)
			}
		}
		if known != 2 {
			t.Errorf("%d jobs are listed", known)
		}
	})
}
