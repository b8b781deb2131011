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

// A server that is shut down gives the tasks of its workers back to the queue, and the workers go on until the process
// ends: the real way to be delivered twice.
func TestATaskThatIsDeliveredAgainAfterItWasDoneDoesNotRunAgain(t *testing.T) {
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
	first := f.serve(once(time.Hour, nil), handle)
	task := f.enqueue("invoice/42", asynq.Retention(time.Hour))
	arrives(t, "it runs", started)
	first.Shutdown()
	if state := f.task(task.ID).State; state != asynq.TaskStatePending {
		t.Fatalf("not given back, but %v", state)
	}
	f.serve(once(time.Hour, nil), handle)
	eventually(t, "the second delivery is turned away", func() bool { return f.count(asynqlock.ErrBusy) > 0 })
	close(gate)
	eventually(t, "it is complete", func() bool { return f.task(task.ID).State == asynq.TaskStateCompleted })
	if n := c.all.Load(); n != 1 {
		t.Errorf("done %d times", n)
	}
}

func TestATaskThatFailedIsDoneAgainUntilItSucceeds(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var c counter
	handle := func(context.Context, *asynq.Task) error {
		defer c.leave()
		if c.enter() < 3 {
			return errors.New("not yet")
		}
		return nil
	}
	f.serve(once(time.Hour, nil), handle)
	f.serve(once(time.Hour, nil), handle)
	for range 2 { // the second time it is done already
		f.enqueue("invoice/42", asynq.TaskID("42"))
		eventually(t, "it has run three times", func() bool { return c.all.Load() == 3 })
		f.finished()
	}
	if n := c.all.Load(); n != 3 {
		t.Errorf("%d runs", n)
	}

	if err := f.outside.OnceReset(t.Context(), asynqlock.OnceName(queue, "42")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is done again for whoever says so", func() bool {
		_, err := f.asynq.Enqueue(asynq.NewTask("work", []byte("invoice/42")), asynq.TaskID("42"))
		return c.all.Load() == 4 || err != nil && !errors.Is(err, asynq.ErrTaskIDConflict)
	})
}

func TestTasksOfOneKeyAreDoneOnceInTheWindow(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var c counter
	handle := func(context.Context, *asynq.Task) error {
		c.enter()
		defer c.leave()
		return nil
	}
	const window = 2 * time.Second
	f.serve(once(window, payload), handle)
	f.serve(once(window, payload), handle)
	for range 5 {
		f.enqueue("report")
	}
	f.finished()
	if n := c.all.Load(); n != 1 {
		t.Errorf("%d runs in one window", n)
	}
	f.enqueue("another report")
	eventually(t, "another key is done", func() bool { return c.all.Load() == 2 })

	eventually(t, "the window ends", func() bool {
		done, err := f.outside.OnceDone(t.Context(), "report")
		return err == nil && !done
	})
	f.enqueue("report")
	eventually(t, "it is done again after the window", func() bool { return c.all.Load() == 3 })
}

func TestWorkWhoseLockWasLostIsNotDone(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var c counter
	locks := make(chan string, 1)
	handle := func(ctx context.Context, _ *asynq.Task) error {
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
	}
	f.serve(once(time.Hour, nil), handle)
	f.enqueue("invoice/42")
	if _, err := f.outside.Break(t.Context(), arrives(t, "it runs", locks), "wrong file"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs again", func() bool { return c.all.Load() == 2 })
	f.finished()
	if n := f.count(redislock.ErrLost); n != 1 {
		t.Errorf("asynq was told %v", f.told())
	}
}
