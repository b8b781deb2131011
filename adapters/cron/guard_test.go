package cronlock_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/robfig/cron/v3"

	"example.com/redislock"
	cronlock "example.com/redislock/adapters/cron"
	"example.com/redislock/internal/servertest"
	"example.com/redislock/redislocktest"
)

// Five nodes whose clocks are up to five seconds off run two hundred ticks of a job that is over at once. gocron#841
// and ShedLock's lockAtLeastFor are about this.
func TestEachTickRunsOnceOnNodesWithDifferentClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ticks = 200
		server := redislocktest.New(t)
		log := &journal{}
		schedule := parse(t, "* * * * *")
		running, runs := make(chan struct{}, 1), 0
		began := time.Now()
		for _, by := range []time.Duration{-5 * time.Second, -1300 * time.Millisecond, 0, 2 * time.Second, 5 * time.Second} {
			c := newCron(t)
			g := cronlock.New(server.NewClient(), "report", schedule, quiet(cronlock.WithLocation(time.UTC), cronlock.WithHandler(log.handle),
				cronlock.WithClock(func() time.Time { return time.Now().Add(by) }))...)
			c.Schedule(ahead{schedule, by}, g.Job(func(ctx context.Context) error {
				select {
				case running <- struct{}{}:
				default:
					t.Error("two runs at a time")
				}
				runs++
				<-running
				if l, ok := redislock.FromContext(ctx); !ok || l.Fence() == 0 {
					t.Error("a run without a fence")
				}
				return nil
			}))
			c.Start()
		}
		time.Sleep(ticks*time.Minute + 30*time.Second)
		synctest.Wait()

		ran := log.count(redislock.OutcomeRan)
		for i := range ticks {
			tick := began.UTC().Truncate(time.Minute).Add(time.Duration(i+1) * time.Minute)
			if ran[tick] != 1 {
				t.Errorf("the tick %v was run %d times", tick, ran[tick])
			}
		}
		if elsewhere := log.count(redislock.OutcomeElsewhere); runs != len(ran) || len(elsewhere) != len(ran) {
			t.Errorf("%d runs of %d ticks, to which other nodes came too", runs, len(elsewhere))
		}
		if errs := log.errors(); len(errs) > 0 {
			t.Error(errs)
		}
	})
}

func TestEachTickRunsOnceOnARealServer(t *testing.T) {
	t.Parallel()
	server := servertest.Start(t)
	log := &journal{}
	var runs atomic.Int64
	for range 4 {
		c := newCron(t, cron.WithSeconds())
		_, err := cronlock.AddFunc(c, "* * * * * *", newClient(t, server.Connect()), "report", func(context.Context) error {
			runs.Add(1)
			return nil
		}, quiet(cronlock.WithHandler(log.handle))...)
		if err != nil {
			t.Fatal(err)
		}
		c.Start()
	}
	deadline := time.Now().Add(time.Minute)
	for len(log.count(redislock.OutcomeElsewhere)) < 3 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	ran := log.count(redislock.OutcomeRan)
	for tick := range log.count(redislock.OutcomeElsewhere) {
		if ran[tick] > 1 {
			t.Errorf("the tick %v was run %d times", tick, ran[tick])
		}
		if tick.Nanosecond() != 0 {
			t.Errorf("the tick %v is none", tick)
		}
	}
	if errs := log.errors(); len(errs) > 0 || len(ran) < 2 {
		t.Errorf("%d ticks were run, %v", len(ran), errs)
	}
}

// The activations of "@every" differ between processes that started at different times. There is one run in each
// interval all the same.
func TestEveryRunsOnceInEachSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := redislocktest.New(t)
		log := &journal{}
		for range 3 {
			time.Sleep(97 * time.Second)
			c := newCron(t)
			if _, err := cronlock.AddFunc(c, "@every 5m", server.NewClient(), "report", func(context.Context) error { return nil },
				quiet(cronlock.WithHandler(log.handle))...); err != nil {
				t.Fatal(err)
			}
			c.Start()
		}
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		ran := log.count(redislock.OutcomeRan)
		if len(ran) < 119 || len(ran) > 121 {
			t.Errorf("%d runs in ten hours, not 120", len(ran))
		}
		for tick, n := range ran {
			if n != 1 || tick.Unix()%300 != 0 {
				t.Errorf("the tick %v was run %d times", tick, n)
			}
		}
	})
}

func TestAddFuncReadsTheSpecAsTheCronDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokyo, err := time.LoadLocation("Asia/Tokyo")
		if err != nil {
			t.Fatal(err)
		}
		server := redislocktest.New(t)
		log := &journal{}
		c := newCron(t, cron.WithLocation(tokyo), cron.WithSeconds())
		fn := func(context.Context) error { return nil }
		opts := quiet(cronlock.WithHandler(log.handle))
		if _, err := cronlock.AddFunc(c, "* * * * *", server.Client, "report", fn, opts...); err == nil {
			t.Error("five fields, where the cron wants six")
		}
		if len(c.Entries()) != 0 {
			t.Error("a job was added all the same")
		}
		c.Start() // also while it runs
		id, err := cronlock.AddFunc(c, "30 0 9 * * *", server.Client, "report", fn, opts...)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // announced
		if s, err := server.Client.CronStatus(t.Context(), "report"); err != nil || s.Outcome != redislock.OutcomePending || !s.Next.Equal(time.Date(2000, 1, 1, 0, 0, 30, 0, time.UTC)) {
			t.Errorf("before its first run: %+v, %v", s, err)
		}
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		want := []time.Time{time.Date(2000, 1, 2, 0, 0, 30, 0, time.UTC), time.Date(2000, 1, 1, 0, 0, 30, 0, time.UTC)}
		if got := slices.SortedFunc(maps.Keys(log.count(redislock.OutcomeRan)), func(a, b time.Time) int { return b.Compare(a) }); !slices.Equal(got, want) {
			t.Errorf("ran %v, want %v", got, want)
		}
		c.Remove(id)
		if len(c.Entries()) != 0 {
			t.Error("not removed")
		}
	})
}

func TestWhatGoesWrongIsToldAndLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := redislocktest.New(t)
		log, lines := &journal{}, &logger{}
		oh := errors.New("oh")
		c := newCron(t)
		begun := make(chan struct{}, 1)
		if _, err := cronlock.AddFunc(c, "* * * * *", server.Client, "report", func(ctx context.Context) error {
			switch begun <- struct{}{}; time.Now().Minute() {
			case 1:
				return oh
			case 2:
				if _, err := server.Client.Break(context.WithoutCancel(ctx), "cron:report", "too late"); err != nil {
					t.Error(err)
				}
				<-ctx.Done()
				return nil // the loss is in the error even so
			default:
				return nil
			}
		}, cronlock.WithHandler(log.handle), cronlock.WithLogger(lines)); err != nil {
			t.Fatal(err)
		}
		c.Start()
		for range 3 {
			<-begun
		}
		synctest.Wait()
		if errs := log.errors(); len(errs) != 2 || !errors.Is(errs[0], oh) || !errors.Is(errs[1], redislock.ErrStolen) {
			t.Errorf("told: %v", errs)
		}
		if len(lines.errs) != 2 || !errors.Is(lines.errs[0], oh) || lines.infos != 1 || len(lines.spoken) != 6 {
			t.Errorf("logged: %v, %d times all was well, last %v", lines.errs, lines.infos, lines.spoken)
		}
	})
}

// I10: nothing runs without the lock.
func TestWithoutRedisNothingRuns(t *testing.T) {
	t.Parallel()
	server := servertest.Start(t)
	client := newClient(t, server.Connect(func(o *redis.Options) { o.ReadTimeout, o.MaxRetries = 100*time.Millisecond, -1 }))
	server.Pause()
	defer server.Resume()
	log := &journal{}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	schedule := parse(t, "* * * * * *")
	cronlock.New(client, "report", schedule, quiet(cronlock.WithHandler(log.handle), cronlock.WithContext(ctx))...).Job(func(context.Context) error {
		t.Error("it ran")
		return nil
	}).Run()
	if errs := log.errors(); len(errs) != 1 || log.runs[0].Outcome != 0 {
		t.Errorf("told: %+v", log.runs)
	}
}

func TestAWrappedJobRunsOncePerTickToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := redislocktest.New(t)
		var runs atomic.Int64
		for range 3 {
			schedule := parse(t, "* * * * *")
			g := cronlock.New(server.NewClient(), "report", schedule, quiet(cronlock.WithLocation(time.UTC))...)
			c := newCron(t, cron.WithChain(g.Wrapper(), cron.SkipIfStillRunning(cron.DiscardLogger)))
			c.Schedule(schedule, cron.FuncJob(func() { runs.Add(1) }))
			c.Start()
		}
		time.Sleep(10*time.Minute + time.Second)
		synctest.Wait()
		if n := runs.Load(); n != 10 {
			t.Errorf("%d runs in ten minutes", n)
		}
	})
}

func TestTheContextOfTheGuardEndsRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := redislocktest.New(t)
		log := &journal{}
		ctx, cancel := context.WithCancel(t.Context())
		c := newCron(t)
		begun := make(chan struct{}, 1)
		if _, err := cronlock.AddFunc(c, "* * * * *", server.Client, "report", func(ctx context.Context) error {
			begun <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}, quiet(cronlock.WithContext(ctx), cronlock.WithHandler(log.handle))...); err != nil {
			t.Fatal(err)
		}
		c.Start()
		<-begun
		cancel()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if failed := log.count(redislock.OutcomeFailed); len(failed) != 1 {
			t.Errorf("%d runs were ended, not 1", len(failed))
		}
		if nothing := log.count(0); len(nothing) != 2 || len(begun) != 0 {
			t.Errorf("%d runs did not begin, not 2", len(nothing))
		}
	})
}

func TestOptionsReachTheGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := redislocktest.New(t)
		schedule := parse(t, "* * * * *")
		for _, test := range []struct {
			opt  redislock.CronOption
			want error
		}{
			{redislock.WithAtMost(time.Second), context.DeadlineExceeded},
			{redislock.WithLease(time.Nanosecond), redislock.ErrInvalid},
			{redislock.WithMaxHold(time.Second), redislock.ErrLost},
		} {
			time.Sleep(time.Minute)
			log := &journal{}
			g := cronlock.New(server.Client, "report", schedule, quiet(cronlock.WithGuard(test.opt), cronlock.WithHandler(log.handle))...)
			g.Job(func(ctx context.Context) error {
				<-ctx.Done()
				return context.Cause(ctx)
			}).Run()
			if errs := log.errors(); len(errs) != 1 || !errors.Is(errs[0], test.want) {
				t.Errorf("%v, want %v", errs, test.want)
			}
		}
		status, err := server.Client.CronStatus(t.Context(), "report")
		if err != nil || status.Outcome == 0 {
			t.Errorf("%+v, %v", status, err)
		}
	})
}

func TestWhoLooksAtAJobSeesWhenItRunsNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := redislocktest.New(t)
		c := newCron(t)
		if _, err := cronlock.AddFunc(c, "TZ=Asia/Tokyo 30 4 * * *", server.Client, "report", func(context.Context) error { return nil }, quiet()...); err != nil {
			t.Fatal(err)
		}
		c.Start()
		time.Sleep(25 * time.Hour)
		status, err := server.Client.CronStatus(t.Context(), "report")
		if err != nil || !status.Next.Equal(status.Tick.Add(24*time.Hour)) || status.Tick.UTC().Format("15:04") != "19:30" {
			t.Errorf("the tick %v, then %v, %v", status.Tick, status.Next, err)
		}
	})
}
