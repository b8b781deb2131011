package asynqlock_test

import (
	"context"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	asynqlock "example.com/redislock/adapters/asynq"
)

// asynq archives a task that returns an error on its last attempt, whether or not IsFailure counts the error.
func TestATaskOnItsLastAttemptWaitsForItsKey(t *testing.T) {
	for name, opts := range map[string][]asynqlock.Option{
		"at once":        nil,
		"after its wait": {asynqlock.WithWait(10 * time.Millisecond)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			ran := make(chan struct{}, 1)
			handle := func(context.Context, *asynq.Task) error { ran <- struct{}{}; return nil }
			lock, err := f.outside.Acquire(t.Context(), "invoice/42")
			if err != nil {
				t.Fatal(err)
			}
			f.enqueue("invoice/42", asynq.MaxRetry(0))
			f.serve(unique(opts...), handle)
			eventually(t, "it waits", func() bool {
				info, err := f.outside.Inspect(t.Context(), "invoice/42")
				return err == nil && info.Waiting == 1
			})
			if err := lock.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
			arrives(t, "it runs when the key is free", ran)
			f.finished()
			if i := f.info(); i.Archived != 0 || f.count(asynqlock.ErrBusy) != 0 {
				t.Errorf("%d archived, %d busy", i.Archived, f.count(asynqlock.ErrBusy))
			}
		})
	}
}

func TestWaitingEndsBeforeTheTasksDeadline(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	lock, err := f.outside.Acquire(t.Context(), "invoice/42")
	if err != nil {
		t.Fatal(err)
	}
	task := f.enqueue("invoice/42", asynq.Timeout(2*time.Second), asynq.MaxRetry(1))
	f.serve(unique(asynqlock.WithWait(time.Hour)), func(context.Context, *asynq.Task) error { return nil })
	eventually(t, "the task comes back", func() bool { return len(f.told()) > 0 })
	if f.count(asynqlock.ErrBusy) == 0 {
		t.Errorf("asynq was told %v", f.told())
	}
	if i := f.task(task.ID); i.Retried != 0 {
		t.Errorf("it counts as a failure")
	}
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.finished()
}

// asynq retries a task at its deadline, whether or not the handler has ended.
func TestAHandlerThatOverstaysItsDeadlineKeepsItsOwnRetryOut(t *testing.T) {
	for name, test := range map[string]struct {
		opts    []asynqlock.Option
		timeout time.Duration
		retries int
	}{
		"retried later":                   {nil, time.Second, 25},
		"not dropped":                     {[]asynqlock.Option{asynqlock.WithDrop()}, time.Second, 25},
		"not dropped on the last attempt": {[]asynqlock.Option{asynqlock.WithDrop()}, 3 * time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			var c counter
			gate, first := make(chan struct{}), make(chan struct{})
			handle := func(ctx context.Context, _ *asynq.Task) error {
				defer c.leave()
				if c.enter() > 1 {
					return nil
				}
				defer close(first)
				<-gate // and not ctx
				return ctx.Err()
			}
			f.serve(unique(test.opts...), handle)
			f.serve(unique(test.opts...), handle)
			f.enqueue("invoice/42", asynq.Timeout(test.timeout), asynq.MaxRetry(test.retries))
			eventually(t, "its retry is turned away, or waits", func() bool {
				info, err := f.outside.Inspect(t.Context(), "invoice/42")
				return f.count(asynqlock.ErrBusy) > 0 || err == nil && info.Waiting == 1
			})
			if n := c.all.Load(); n != 1 {
				t.Errorf("%d runs while the first goes on", n)
			}
			close(gate)
			arrives(t, "the first run ends", first)
			eventually(t, "the retry runs", func() bool { return c.all.Load() == 2 })
			f.finished()
			if i := f.info(); c.most.Load() != 1 || i.Archived != 0 {
				t.Errorf("%d at once, %d archived", c.most.Load(), i.Archived)
			}
		})
	}
}

func TestADroppedTaskIsLeftToTheOneAtWork(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var c counter
	started, gate := make(chan struct{}, 10), make(chan struct{})
	handle := func(context.Context, *asynq.Task) error {
		c.enter()
		defer c.leave()
		started <- struct{}{}
		<-gate
		return nil
	}
	f.serve(unique(asynqlock.WithDrop()), handle)
	f.serve(unique(asynqlock.WithDrop()), handle)
	f.enqueue("cache")
	arrives(t, "the first runs", started)
	for range 5 {
		f.enqueue("cache", asynq.MaxRetry(0))
	}
	eventually(t, "the others are gone", func() bool { i := f.info(); return i.Active == 1 && i.Size == 1 })
	close(gate)
	f.finished()
	if i := f.info(); c.all.Load() != 1 || i.Archived != 0 || len(f.told()) != 0 {
		t.Errorf("%d runs, %d archived, errors %v", c.all.Load(), i.Archived, f.told())
	}
}
