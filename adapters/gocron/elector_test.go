package gocronlock_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	gocronlock "example.com/redislock/adapters/gocron"
	"example.com/redislock/internal/servertest"
	"example.com/redislock/redislocktest"
)

// newElector makes an Elector that is closed at the end of the test.
func newElector(t testing.TB, client *redislock.Client, opts ...redislock.Option) *gocronlock.Elector {
	t.Helper()
	e := gocronlock.NewElector(client, "scheduler", opts...)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestOnlyTheLeaderRunsJobsAndWhenItGoesTheNextDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := redislocktest.New(t)
		log := &journal{}
		var electors []*gocronlock.Elector
		var schedulers []gocron.Scheduler
		var ran [3]atomic.Int64
		for i := range ran {
			e := newElector(t, server.NewClient())
			s := newScheduler(t, gocron.WithDistributedElector(e))
			addJob(t, s, "report", gocron.CronJob("* * * * *", false), func() { log.run(); ran[i].Add(1) }, log)
			s.Start()
			electors, schedulers = append(electors, e), append(schedulers, s)
		}
		for terms := 1; terms <= 3; terms++ {
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			leaders, runners := 0, 0
			for i, e := range electors {
				if e.IsLeader(t.Context()) == nil {
					leaders++
					if ran[i].Load() < 9 {
						t.Errorf("the leader ran %d times", ran[i].Load())
					}
				}
				if ran[i].Load() > 0 {
					runners++
				}
			}
			if leaders != 1 || runners != terms {
				t.Errorf("%d leaders, %d have run, after %d terms", leaders, runners, terms)
			}
			for i, e := range electors {
				if e.IsLeader(t.Context()) == nil && terms < 3 {
					if err := schedulers[i].Shutdown(); err != nil {
						t.Error(err)
					}
					if err := e.Close(t.Context()); err != nil {
						t.Error(err)
					}
					if err := e.IsLeader(t.Context()); !errors.Is(err, redislock.ErrNotHeld) {
						t.Errorf("after its Close: %v", err)
					}
					break
				}
			}
		}
		if runs, _, _, overlaps := log.read(); len(runs) < 29 || len(runs) > 30 || overlaps > 0 {
			t.Errorf("%d runs in thirty minutes, %d beside another", len(runs), overlaps)
		}
	})
}

// A leader that cannot reach Redis any more knows by its own clock that its leadership has ended, before the next one
// leads.
func TestAVanishedLeaderStopsBeforeTheNextBegins(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server := servertest.Start(t)
	proxy := servertest.NewProxy(t, server.Addr())
	lease := redislock.WithLease(time.Second)
	first := newElector(t, newClient(t, proxy.Connect(func(o *redis.Options) { o.ReadTimeout = 100 * time.Millisecond })), lease)
	eventually(t, func() bool { return first.IsLeader(ctx) == nil })
	second := newElector(t, newClient(t, server.Connect()), lease)

	ended := make(chan error, 1)
	log := &journal{}
	s := newScheduler(t, gocron.WithDistributedElector(first))
	begun := make(chan struct{})
	addJob(t, s, "report", gocron.CronJob("* * * * * *", true), first.Task(func(ctx context.Context) error {
		if l, ok := redislock.FromContext(ctx); !ok || l.Name() != "elect:scheduler" {
			t.Error("a run without the leader's lock")
		}
		close(begun)
		<-ctx.Done()
		if second.IsLeader(ctx) == nil {
			t.Error("two leaders")
		}
		ended <- context.Cause(ctx)
		return nil
	}), log, gocron.WithLimitedRuns(1))
	s.Start()
	<-begun
	proxy.Mute()
	eventually(t, func() bool {
		next := second.IsLeader(ctx) == nil // in this order
		if next && first.IsLeader(ctx) == nil {
			t.Error("two leaders")
		}
		return next
	})
	if err := <-ended; !errors.Is(err, redislock.ErrLost) {
		t.Errorf("the job was ended by %v", err)
	}
	eventually(t, func() bool { _, _, results, _ := log.read(); return len(results) > 0 })
	if _, _, results, _ := log.read(); !errors.Is(results[0], redislock.ErrLost) {
		t.Errorf("the job's result: %v", results)
	}
	if err := first.Task(func(context.Context) error { t.Error("it ran"); return nil })(ctx); !errors.Is(err, redislock.ErrNotHeld) {
		t.Errorf("a Task of who does not lead: %v", err)
	}
	proxy.Unmute()
}

func TestIsLeaderSendsNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := servertest.Start(t)
	leads, waits := newElector(t, newClient(t, server.Connect())), newElector(t, newClient(t, server.Connect()))
	eventually(t, func() bool { return (leads.IsLeader(ctx) == nil) != (waits.IsLeader(ctx) == nil) })
	server.Pause()
	defer server.Resume()
	for range 1000 {
		if (leads.IsLeader(ctx) == nil) == (waits.IsLeader(ctx) == nil) {
			t.Fatal("not one leader")
		}
	}
}

func TestAnElectorThatCannotStandSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		server := redislocktest.New(t)
		e := newElector(t, server.Client, redislock.WithLease(1))
		synctest.Wait()
		if err := e.IsLeader(ctx); !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("a lease of a nanosecond: %v", err)
		}
		closed := server.NewClient()
		e = newElector(t, closed)
		synctest.Wait()
		if err := e.IsLeader(ctx); err != nil {
			t.Errorf("the only one: %v", err)
		}
		if err := closed.Close(ctx); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if err := e.IsLeader(ctx); !errors.Is(err, redislock.ErrClosed) {
			t.Errorf("after the end of its Client: %v", err)
		}
	})
}
