package riverlock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"example.com/redislock"
	riverlock "example.com/redislock/adapters/river"
)

func TestAJobThatIsDeliveredAgainAfterItWasDoneDoesNotRunAgain(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var c counter
	started, gate := make(chan struct{}, 1), make(chan struct{})
	handle := func(context.Context, *river.Job[work]) error {
		defer c.leave()
		if c.enter() == 1 {
			started <- struct{}{}
			<-gate
		}
		return nil
	}
	f.serve(once(time.Hour, nil), handle)
	f.serve(once(time.Hour, nil), handle)
	job := f.insert("invoice/42", 2)
	arrives(t, "it runs", started)
	f.rescue(job.ID)
	eventually(t, "the second delivery is turned away", func() bool { return f.count(riverlock.ErrBusy) > 0 })
	close(gate)
	f.becomes(job.ID, rivertype.JobStateCompleted)
	if n := c.all.Load(); n != 1 {
		t.Errorf("done %d times", n)
	}

	retry := func() {
		t.Helper()
		if _, err := f.inserter.JobRetry(t.Context(), job.ID); err != nil {
			t.Fatal(err)
		}
		f.becomes(job.ID, rivertype.JobStateCompleted)
	}
	retry()
	if n := c.all.Load(); n != 1 {
		t.Errorf("done %d times", n)
	}
	if err := f.outside.OnceReset(t.Context(), riverlock.ByJob(f.job(job.ID))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is done again for whoever says so", func() bool { retry(); return c.all.Load() == 2 })
}

func TestAJobThatFailedIsDoneAgainUntilItSucceeds(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var c counter
	handle := func(context.Context, *river.Job[work]) error {
		defer c.leave()
		if c.enter() < 3 {
			return errors.New("not yet")
		}
		return nil
	}
	f.serve(once(time.Hour, nil), handle)
	f.serve(once(time.Hour, nil), handle)
	if job := f.becomes(f.insert("invoice/42", 5).ID, rivertype.JobStateCompleted); job.Attempt != 3 || c.all.Load() != 3 {
		t.Errorf("attempt %d, %d runs", job.Attempt, c.all.Load())
	}
	f.becomes(f.insert("invoice/42", 1).ID, rivertype.JobStateCompleted) // another job, with the same arguments
	if n := c.all.Load(); n != 4 {
		t.Errorf("%d runs", n)
	}
}

func TestJobsOfOneKeyAreDoneOnceInTheWindow(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var c counter
	handle := func(context.Context, *river.Job[work]) error {
		c.enter()
		defer c.leave()
		return nil
	}
	const window = 2 * time.Second
	for range 5 {
		f.insert("report", 1)
	}
	f.serve(once(window, byKey), handle)
	f.serve(once(window, byKey), handle)
	eventually(t, "all are completed", func() bool { return f.states() == "completed 5" })
	if n := c.all.Load(); n != 1 {
		t.Errorf("%d runs in one window", n)
	}
	f.becomes(f.insert("another report", 1).ID, rivertype.JobStateCompleted)
	if n := c.all.Load(); n != 2 {
		t.Errorf("%d runs of two keys", n)
	}
	eventually(t, "the window ends", func() bool {
		done, err := f.outside.OnceDone(t.Context(), "report")
		return err == nil && !done
	})
	f.becomes(f.insert("report", 1).ID, rivertype.JobStateCompleted)
	if n := c.all.Load(); n != 3 {
		t.Errorf("%d runs after the window", n)
	}
}

func TestWorkWhoseLockWasLostIsNotDone(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var c counter
	locks := make(chan string, 1)
	f.serve(once(time.Hour, nil), func(ctx context.Context, _ *river.Job[work]) error {
		defer c.leave()
		if c.enter() > 1 {
			return nil
		}
		lock, ok := redislock.FromContext(ctx)
		if !ok {
			return errors.New("no lock in the context")
		}
		locks <- lock.Name()
		select {
		case <-ctx.Done():
		case <-time.After(patience):
		}
		return nil
	})
	job := f.insert("invoice/42", 2)
	if _, err := f.outside.Break(t.Context(), arrives(t, "it runs", locks), "wrong file"); err != nil {
		t.Fatal(err)
	}
	f.becomes(job.ID, rivertype.JobStateCompleted)
	if c.all.Load() != 2 || f.count(redislock.ErrLost) != 1 {
		t.Errorf("%d runs, errors %v", c.all.Load(), f.told())
	}
}
