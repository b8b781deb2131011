package gocronlock_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/google/uuid"
	"github.com/jonboulle/clockwork"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	gocronlock "example.com/redislock/adapters/gocron"
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

// newScheduler makes a scheduler that is shut down at the end of the test.
func newScheduler(t testing.TB, opts ...gocron.SchedulerOption) gocron.Scheduler {
	t.Helper()
	s, err := gocron.NewScheduler(append([]gocron.SchedulerOption{gocron.WithLocation(time.UTC)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown() }) // a test may have done it already
	return s
}

// addJob adds a job whose lock errors go to the journal.
func addJob(t testing.TB, s gocron.Scheduler, name string, when gocron.JobDefinition, task any, j *journal, opts ...gocron.JobOption) gocron.Job {
	t.Helper()
	job, err := s.NewJob(when, gocron.NewTask(task), append(opts, gocron.WithName(name), gocron.WithEventListeners(
		gocron.AfterLockError(func(_ uuid.UUID, _ string, err error) { j.refused(err) }),
		gocron.AfterJobRunsWithError(func(_ uuid.UUID, _ string, err error) { j.failed(err) }),
	))...)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

// clock is that of an instance whose time is off.
type clock struct {
	clockwork.Clock
	by time.Duration
}

func skewed(by time.Duration) clock { return clock{clockwork.NewRealClock(), by} }

func (c clock) Now() time.Time { return c.Clock.Now().Add(c.by) }

func (c clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

func (c clock) Until(t time.Time) time.Duration { return t.Sub(c.Now()) }

// options of a Locker on an instance with that clock.
func (c clock) locker(opts ...gocronlock.Option) []gocronlock.Option {
	return append(opts, gocronlock.WithClock(c.Now))
}

// journal has the outcomes of a job on all instances.
type journal struct {
	mu       sync.Mutex
	running  int
	overlaps int
	runs     []time.Time
	locks    []error // from Lock
	results  []error // from the job
}

// run is the job: over at once.
func (j *journal) run() {
	j.enter()
	j.leave()
}

func (j *journal) enter() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.running++; j.running > 1 {
		j.overlaps++
	}
	j.runs = append(j.runs, time.Now())
}

func (j *journal) leave() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.running--
}

func (j *journal) refused(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.locks = append(j.locks, err)
}

func (j *journal) failed(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.results = append(j.results, err)
}

// read returns a copy.
func (j *journal) read() (runs []time.Time, locks, results []error, overlaps int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append(runs, j.runs...), append(locks, j.locks...), append(results, j.results...), j.overlaps
}

// perMinute is how often the job ran around each full minute.
func (j *journal) perMinute() map[time.Time]int {
	runs, _, _, _ := j.read()
	all := map[time.Time]int{}
	for _, at := range runs {
		all[at.UTC().Round(time.Minute)]++
	}
	return all
}

func eventually(t testing.TB, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
		time.Sleep(2 * time.Millisecond)
	}
}
