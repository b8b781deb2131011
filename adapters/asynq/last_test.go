package asynqlock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"example.com/redislock"
	asynqlock "example.com/redislock/adapters/asynq"
)

// crowd takes the lock of a key and enqueues more tasks of it than a server has workers, all on their last attempt.
func crowd(f *fleet) *redislock.Lock {
	f.t.Helper()
	lock, err := f.outside.Acquire(f.t.Context(), "invoice/42")
	if err != nil {
		f.t.Fatal(err)
	}
	for range 8 {
		f.enqueue("invoice/42", asynq.MaxRetry(0))
	}
	f.enqueue("another", asynq.MaxRetry(0))
	return lock
}

func TestTasksOfOneKeyOnTheirLastAttemptLeaveWorkersToTheOthers(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	ran := make(chan string, 10)
	lock := crowd(f)
	f.serve(unique(), func(_ context.Context, task *asynq.Task) error { ran <- payload(task); return nil })
	if got := arrives(t, "another key has its turn", ran); got != "another" {
		t.Errorf("%s ran, which is held", got)
	}
	eventually(t, "one waits", func() bool {
		info, err := f.outside.Inspect(t.Context(), "invoice/42")
		return err == nil && info.Waiting == 1
	})
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := arrives(t, "who waited has its turn", ran); got != "invoice/42" {
		t.Errorf("%s ran again", got)
	}
	f.finished()
	if i := f.info(); i.Archived != 7 || f.count(asynqlock.ErrBusy) != 7 {
		t.Errorf("%d archived, %d busy", i.Archived, f.count(asynqlock.ErrBusy))
	}
}

func TestTasksThatAreEnqueuedAnewAreAllDoneAndLeaveAllWorkersToTheOthers(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	ran := make(chan string, 10)
	lock := crowd(f)
	anew := asynqlock.WithRequeue(func(ctx context.Context, task *asynq.Task) error {
		_, err := f.asynq.EnqueueContext(ctx, task, asynq.MaxRetry(0), asynq.ProcessIn(time.Millisecond))
		return err
	})
	f.serve(unique(anew), func(_ context.Context, task *asynq.Task) error { ran <- payload(task); return nil })
	if got := arrives(t, "another key has its turn", ran); got != "another" {
		t.Errorf("%s ran, which is held", got)
	}
	if info, err := f.outside.Inspect(t.Context(), "invoice/42"); err != nil || info.Waiting != 0 {
		t.Errorf("%d wait, %v", info.Waiting, err)
	}
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		arrives(t, "each has its turn", ran)
	}
	f.finished()
	if i := f.info(); i.Archived != 0 || len(f.told()) != 0 {
		t.Errorf("%d archived, errors %v", i.Archived, f.told())
	}
}

func TestATaskThatCannotBeEnqueuedAnewSaysWhy(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	lock := crowd(f)
	full := errors.New("the queue is full")
	f.serve(unique(asynqlock.WithRequeue(func(context.Context, *asynq.Task) error { return full })), func(context.Context, *asynq.Task) error { return nil })
	f.finished()
	if f.count(full) != 8 || f.count(asynqlock.ErrBusy) != 8 || f.info().Archived != 8 {
		t.Errorf("%d archived, errors %v", f.info().Archived, f.told())
	}
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}
