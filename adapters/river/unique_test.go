package riverlock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"example.com/redislock"
	riverlock "example.com/redislock/adapters/river"
)

func TestOneWorkerAtATimeWorksOnAKeyAndEveryJobIsDone(t *testing.T) {
	for name, opts := range map[string][]riverlock.Option{
		"snoozed":          nil,
		"waiting":          {riverlock.WithWait(time.Minute)},
		"waiting a little": {riverlock.WithWait(time.Millisecond)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const jobs = 20
			f := newFleet(t)
			var c counter
			handle := func(context.Context, *river.Job[work]) error {
				c.enter()
				defer c.leave()
				time.Sleep(2 * time.Millisecond) // the work: time in which another run would be noticed
				return nil
			}
			for range jobs {
				f.insert("invoice/42", 1) // one attempt is enough, as a snooze counts as none
			}
			f.serve(unique(opts...), handle)
			f.serve(unique(opts...), handle)
			eventually(t, "all are completed", func() bool { return f.states() == fmt.Sprintf("completed %d", jobs) })
			if c.most.Load() != 1 || c.all.Load() != jobs {
				t.Errorf("%d workers at once on one key, %d runs of %d jobs", c.most.Load(), c.all.Load(), jobs)
			}
		})
	}
}

func TestDifferentKeysAreWorkedOnAtTheSameTime(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var both sync.WaitGroup
	both.Add(2)
	met := make(chan struct{})
	go func() { both.Wait(); close(met) }()
	f.serve(unique(), func(context.Context, *river.Job[work]) error {
		both.Done()
		select {
		case <-met:
			return nil
		case <-time.After(patience):
			return errors.New("alone")
		}
	})
	f.insert("invoice/1", 1)
	f.insert("invoice/2", 1)
	arrives(t, "two runs at once", met)
	eventually(t, "both are completed", func() bool { return f.states() == "completed 2" })
}

func TestAFewWorkersAtATimeWithASemaphore(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var c counter
	gate := make(chan struct{})
	f.serve(unique(riverlock.WithLock(redislock.WithMode(redislock.Semaphore(2)))), func(context.Context, *river.Job[work]) error {
		c.enter()
		defer c.leave()
		<-gate
		return nil
	})
	for range 4 {
		f.insert("partner", 1)
	}
	eventually(t, "two at work and others turned away", func() bool { return c.now.Load() == 2 && f.count(riverlock.ErrBusy) > 2 })
	close(gate)
	eventually(t, "all are completed", func() bool { return f.states() == "completed 4" })
	if c.most.Load() != 2 || c.all.Load() != 4 {
		t.Errorf("%d at once, %d runs", c.most.Load(), c.all.Load())
	}
}

func TestABusyJobIsSnoozedAndLosesNoAttempt(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	lock, err := f.outside.Acquire(t.Context(), "invoice/42", redislock.WithMetadata("the accountant"))
	if err != nil {
		t.Fatal(err)
	}
	job := f.insert("invoice/42", 1)
	f.serve(unique(), func(context.Context, *river.Job[work]) error { return nil })
	eventually(t, "it was turned away more often than it may fail", func() bool { return f.count(riverlock.ErrBusy) >= 3 })
	held, is := errors.AsType[*redislock.HeldError](f.told()[0])
	if !is || held.Holder.Metadata != "the accountant" {
		t.Errorf("the error does not say who has it: %v", f.told()[0])
	}
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if done := f.becomes(job.ID, rivertype.JobStateCompleted); len(done.Errors) != 0 || done.Attempt != 1 {
		t.Errorf("attempt %d, errors %v", done.Attempt, done.Errors)
	}
}

func TestAJobThatFindsItsKeyHeldEndsAsItIsTold(t *testing.T) {
	for name, test := range map[string]struct {
		opt    riverlock.Option
		state  rivertype.JobState
		errors int
	}{
		"dropped":   {riverlock.WithDrop(), rivertype.JobStateCompleted, 0},
		"cancelled": {riverlock.WithCancel(), rivertype.JobStateCancelled, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			var c counter
			started, gate := make(chan struct{}, 10), make(chan struct{})
			handle := func(context.Context, *river.Job[work]) error {
				c.enter()
				defer c.leave()
				started <- struct{}{}
				<-gate
				return nil
			}
			f.serve(unique(test.opt), handle)
			f.serve(unique(test.opt), handle)
			first := f.insert("cache", 1)
			arrives(t, "the first runs", started)
			for range 5 {
				if job := f.becomes(f.insert("cache", 1).ID, test.state); len(job.Errors) != test.errors {
					t.Errorf("errors %v", job.Errors)
				}
			}
			close(gate)
			f.becomes(first.ID, rivertype.JobStateCompleted)
			if c.all.Load() != 1 {
				t.Errorf("%d runs", c.all.Load())
			}
		})
	}
}

func TestALostLockEndsTheWorkerAndTheJobIsRetried(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	fences := make(chan int64, 2)
	f.serve(unique(), func(ctx context.Context, job *river.Job[work]) error {
		lock, ok := redislock.FromContext(ctx)
		if !ok || lock.Name() != job.Args.Key {
			return river.JobCancel(errors.New("the context is not that of the lock"))
		}
		fences <- lock.Fence()
		if job.Attempt == 1 {
			select {
			case <-ctx.Done():
			case <-time.After(patience):
				return river.JobCancel(errors.New("the loss was not told"))
			}
		}
		return nil // after a loss this result does not count
	})
	job := f.insert("invoice/42", 2)
	first := arrives(t, "the job runs", fences)
	if _, err := f.outside.Break(t.Context(), "invoice/42", "wrong file"); err != nil {
		t.Fatal(err)
	}
	second := arrives(t, "the job runs again", fences)
	done := f.becomes(job.ID, rivertype.JobStateCompleted)
	if second <= first {
		t.Errorf("fence %d after %d", second, first)
	}
	if done.Attempt != 2 || len(done.Errors) != 1 || f.count(redislock.ErrStolen) != 1 {
		t.Errorf("attempt %d, errors %v", done.Attempt, done.Errors)
	}
}

func TestAWorkerThatOverstaysKeepsItsOwnRescuedJobOut(t *testing.T) {
	for name, opts := range map[string][]riverlock.Option{
		"snoozed":       nil,
		"not dropped":   {riverlock.WithDrop()},
		"not cancelled": {riverlock.WithCancel()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			var c counter
			started, gate := make(chan struct{}, 1), make(chan struct{})
			handle := func(context.Context, *river.Job[work]) error {
				defer c.leave()
				if c.enter() > 1 {
					return nil
				}
				started <- struct{}{}
				<-gate
				return errors.New("it failed, and nobody asks")
			}
			f.serve(unique(opts...), handle)
			f.serve(unique(opts...), handle)
			job := f.insert("invoice/42", 5)
			arrives(t, "it runs", started)
			f.rescue(job.ID)
			eventually(t, "it is turned away, and comes back", func() bool { return f.count(riverlock.ErrBusy) >= 3 })
			if n := c.all.Load(); n != 1 {
				t.Errorf("%d runs while the first goes on", n)
			}
			close(gate)
			f.becomes(job.ID, rivertype.JobStateCompleted)
			if c.most.Load() != 1 || c.all.Load() < 2 { // River may take the failure of the first for that of the second
				t.Errorf("%d at once, %d runs", c.most.Load(), c.all.Load())
			}
		})
	}
}

func TestAStoppedClientGivesItsWaitingJobBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	lock, err := f.outside.Acquire(t.Context(), "cache")
	if err != nil {
		t.Fatal(err)
	}
	job := f.insert("cache", 1)
	client := f.serve(unique(riverlock.WithWait(time.Hour), riverlock.WithDrop()), func(context.Context, *river.Job[work]) error { return nil })
	eventually(t, "it waits", func() bool {
		info, err := f.outside.Inspect(t.Context(), "cache")
		return err == nil && info.Waiting == 1
	})
	f.stop(client)
	if back := f.job(job.ID); back.State != rivertype.JobStateAvailable || back.Attempt != 0 {
		t.Errorf("%s, attempt %d, errors %v", back.State, back.Attempt, back.Errors)
	}
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestSuccessStandsIfRedisDoesNotAnswerTheRelease(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var c counter
	f.serve(unique(), func(context.Context, *river.Job[work]) error {
		defer c.leave()
		if c.enter() == 1 {
			f.redis.Kill()
		}
		return nil
	})
	job := f.insert("invoice/42", 1)
	f.becomes(job.ID, rivertype.JobStateCompleted)
	if c.all.Load() != 1 || len(f.told()) != 0 {
		t.Errorf("%d runs, errors %v", c.all.Load(), f.told())
	}
	f.redis.Restart() // so that the Clients can be closed
}
