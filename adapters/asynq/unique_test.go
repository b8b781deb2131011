package asynqlock_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"example.com/redislock"
	asynqlock "example.com/redislock/adapters/asynq"
	"example.com/redislock/internal/servertest"
)

func TestOneWorkerAtATimeWorksOnAKeyAndEveryTaskIsDone(t *testing.T) {
	for name, opts := range map[string][]asynqlock.Option{
		"retried later":           nil,
		"waiting":                 {asynqlock.WithWait(time.Minute)},
		"waiting a little":        {asynqlock.WithWait(time.Millisecond)},
		"of a semaphore with one": {asynqlock.WithLock(redislock.WithMode(redislock.Semaphore(1)))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const tasks = 20
			f := newFleet(t)
			var c counter
			handle := func(context.Context, *asynq.Task) error {
				c.enter()
				defer c.leave()
				time.Sleep(2 * time.Millisecond) // the work: time in which another run would be noticed
				return nil
			}
			for range tasks {
				f.enqueue("invoice/42")
			}
			f.serve(unique(opts...), handle)
			f.serve(unique(opts...), handle)
			eventually(t, "every task has run", func() bool { return c.all.Load() == tasks })
			f.finished()
			if most := c.most.Load(); most != 1 {
				t.Errorf("%d workers at once on one key", most)
			}
			if i := f.info(); c.all.Load() != tasks || i.Archived != 0 || i.Failed != 0 {
				t.Errorf("%d runs of %d tasks; asynq counts %d failures, %d archived", c.all.Load(), tasks, i.Failed, i.Archived)
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
	handle := func(ctx context.Context, _ *asynq.Task) error {
		both.Done()
		select {
		case <-met:
			return nil
		case <-time.After(patience):
			return errors.New("alone")
		}
	}
	f.serve(unique(), handle)
	f.enqueue("invoice/1", asynq.MaxRetry(0))
	f.enqueue("invoice/2", asynq.MaxRetry(0))
	arrives(t, "two runs at once", met)
	f.finished()
	if i := f.info(); i.Archived != 0 {
		t.Errorf("%d failed", i.Archived)
	}
}

func TestAFewWorkersAtATimeWithASemaphore(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var c counter
	gate := make(chan struct{})
	handle := func(context.Context, *asynq.Task) error {
		c.enter()
		defer c.leave()
		<-gate
		return nil
	}
	two := unique(asynqlock.WithLock(redislock.WithMode(redislock.Semaphore(2))))
	f.serve(two, handle)
	for range 4 {
		f.enqueue("partner")
	}
	eventually(t, "two at work and others turned away", func() bool { return c.now.Load() == 2 && f.count(asynqlock.ErrBusy) > 2 })
	close(gate)
	f.finished()
	if c.most.Load() != 2 || c.all.Load() != 4 {
		t.Errorf("%d at once, %d runs", c.most.Load(), c.all.Load())
	}
}

func TestATaskThatIsBusyIsNotAFailure(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	ran := make(chan struct{}, 1)
	handle := func(context.Context, *asynq.Task) error { ran <- struct{}{}; return nil }

	lock, err := f.outside.Acquire(t.Context(), "invoice/42", redislock.WithMetadata("the accountant"))
	if err != nil {
		t.Fatal(err)
	}
	task := f.enqueue("invoice/42", asynq.MaxRetry(1))
	f.serve(unique(), handle)
	eventually(t, "it was turned away more often than it may fail", func() bool { return f.count(asynqlock.ErrBusy) >= 3 })
	if i := f.task(task.ID); i.Retried != 0 || i.State == asynq.TaskStateArchived {
		t.Errorf("retried %d times, %v", i.Retried, i.State)
	}
	held, is := errors.AsType[*redislock.HeldError](f.told()[0])
	if !is || held.Holder.Metadata != "the accountant" {
		t.Errorf("the error does not say who has it: %v", f.told()[0])
	}
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	arrives(t, "it runs when the key is free", ran)
}

func TestALostLockEndsTheHandlerAndTheTaskIsRetried(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	fences := make(chan int64, 2)
	handle := func(ctx context.Context, task *asynq.Task) error {
		lock, ok := redislock.FromContext(ctx)
		if id, known := asynq.GetTaskID(ctx); !ok || !known || lock.Name() != payload(task) {
			return errors.New("the context is not that of the task and the lock: " + id)
		}
		fences <- lock.Fence()
		if n, _ := asynq.GetRetryCount(ctx); n == 0 {
			select {
			case <-ctx.Done():
			case <-time.After(patience):
				return errors.New("the loss was not told")
			}
		}
		return nil // after a loss this result does not count
	}
	f.serve(unique(), handle)
	f.enqueue("invoice/42")
	first := arrives(t, "the task runs", fences)
	if _, err := f.outside.Break(t.Context(), "invoice/42", "wrong file"); err != nil {
		t.Fatal(err)
	}
	second := arrives(t, "the task runs again", fences)
	f.finished()
	if second <= first {
		t.Errorf("fence %d after %d", second, first)
	}
	if n := f.count(redislock.ErrStolen); n != 1 || len(f.told()) != 1 {
		t.Errorf("asynq was told %v", f.told())
	}
}

func TestSuccessStandsIfRedisDoesNotAnswerTheRelease(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.locks = servertest.Start(t)
	var c counter
	f.serve(unique(), func(context.Context, *asynq.Task) error {
		defer c.leave()
		if c.enter() == 1 {
			f.locks.Kill()
		}
		return nil
	})
	task := f.enqueue("invoice/42", asynq.Retention(time.Hour))
	eventually(t, "the task is complete", func() bool { return f.task(task.ID).State == asynq.TaskStateCompleted })
	if c.all.Load() != 1 || len(f.told()) != 0 {
		t.Errorf("%d runs, errors %v", c.all.Load(), f.told())
	}
	f.locks.Restart() // so that the Clients can be closed
}
