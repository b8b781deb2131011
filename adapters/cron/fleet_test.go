package cronlock_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/robfig/cron/v3"

	"example.com/redislock"
	cronlock "example.com/redislock/adapters/cron"
)

// newClient makes a Client that must close without a lock left behind.
func newClient(t testing.TB, rdb redis.UniversalClient) *redislock.Client {
	t.Helper()
	client, err := redislock.New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := client.Close(ctx); err != nil {
			t.Errorf("a lock was left behind: %v", err)
		}
	})
	return client
}

// newCron makes a cron.Cron that is stopped, with its jobs, at the end of the test.
func newCron(t testing.TB, opts ...cron.Option) *cron.Cron {
	t.Helper()
	c := cron.New(append([]cron.Option{cron.WithLocation(time.UTC), cron.WithLogger(cron.DiscardLogger)}, opts...)...)
	t.Cleanup(func() { <-c.Stop().Done() })
	return c
}

// ahead is a schedule as a node follows it whose clock is ahead.
type ahead struct {
	cron.Schedule
	by time.Duration
}

func (a ahead) Next(t time.Time) time.Time {
	next := a.Schedule.Next(t.Add(a.by))
	if next.IsZero() {
		return next
	}
	return next.Add(-a.by)
}

// journal has what the nodes reported for each tick.
type journal struct {
	mu   sync.Mutex
	runs []cronlock.Run
}

func (j *journal) handle(r cronlock.Run) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.runs = append(j.runs, r)
}

// count is how many nodes had an outcome, for each tick in UTC.
func (j *journal) count(outcome redislock.Outcome) map[time.Time]int {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := map[time.Time]int{}
	for _, r := range j.runs {
		if r.Outcome == outcome {
			all[r.Tick.UTC()]++
		}
	}
	return all
}

func (j *journal) errors() (all []error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range j.runs {
		if r.Err != nil {
			all = append(all, r.Err)
		}
	}
	return all
}

// logger is a cron.Logger that keeps what it is told.
type logger struct {
	mu     sync.Mutex
	errs   []error
	infos  int
	spoken []any // keys and values of the last
}

func (l *logger) Info(msg string, keysAndValues ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if msg == "cron job" {
		l.infos++
		l.spoken = keysAndValues
	}
}

func (l *logger) Error(err error, _ string, keysAndValues ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
	l.spoken = keysAndValues
}

func quiet(opts ...cronlock.Option) []cronlock.Option {
	return append([]cronlock.Option{cronlock.WithLogger(cron.DiscardLogger)}, opts...)
}
