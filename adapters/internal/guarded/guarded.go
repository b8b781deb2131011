// Package guarded has what the adapters for task queues share: it runs a delivered task under the lock of its key, and
// tells why a task could not run.
package guarded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"example.com/redislock"
)

// Run runs fn under the lock of that name: [redislock.Client.Do], or what [Once] makes.
type Run func(ctx context.Context, name string, fn func(context.Context) error, lock ...redislock.Option) error

// Once is [redislock.Client.Once], which forgets after the window.
func Once(client *redislock.Client, window time.Duration) Run {
	return func(ctx context.Context, name string, fn func(context.Context) error, lock ...redislock.Option) error {
		opts := []redislock.OnceOption{redislock.WithForget(window)}
		for _, opt := range lock {
			opts = append(opts, opt)
		}
		return client.Once(ctx, name, fn, opts...)
	}
}

// Task is one delivery of a task to a worker.
type Task struct {
	run  Run
	key  string
	mark string
	lock []redislock.Option
	work func(context.Context) error

	err  error
	held *redislock.HeldError
}

// New makes a Task whose lock has the name key and the metadata mark, which says of which task this is a delivery, and
// these options but for the wait. work gets the context of the lock.
func New(run Run, key, mark string, lock []redislock.Option, work func(context.Context) error) *Task {
	mark = mark[:min(len(mark), redislock.MaxMetadata)]
	return &Task{run: run, key: key, mark: mark, lock: append(slices.Clip(lock), redislock.WithMetadata(mark)), work: work}
}

// Try runs the work of the task if its key is free, or becomes free within that time.
func (t *Task) Try(ctx context.Context, wait time.Duration) {
	var ran bool
	var result error
	err := t.run(ctx, t.key, func(ctx context.Context) error {
		ran = true
		result = t.work(ctx)
		return result
	}, append(slices.Clip(t.lock), redislock.WithWait(wait))...)
	switch {
	case ran && result == nil && !spoilt(err):
		err = nil // Redis did not answer a release or a record: doing the work again would be worse
	case !ran && t.held != nil && errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, redislock.ErrHeld) && ctx.Err() == nil:
		return // the wait was too short for an answer of Redis: the key is held, as the last answer said
	}
	t.err, t.held = err, nil
	if held, is := errors.AsType[*redislock.HeldError](err); is && !ran && ctx.Err() == nil {
		t.held = held
	}
}

// spoilt reports whether work that succeeded may not have been protected to its end.
func spoilt(err error) bool {
	return errors.Is(err, redislock.ErrLost) || errors.Is(err, redislock.ErrNotHeld) || errors.Is(err, redislock.ErrOrder)
}

// Err is the result of the last Try: nil if the work was done now or before, otherwise the error of the work or of
// the lock.
func (t *Task) Err() error { return t.err }

// Held reports whether the last Try found the key held, and was not cancelled: the work was not begun.
func (t *Task) Held() bool { return t.held != nil }

// HeldByAnother reports whether the key is known to be held by something else than another delivery of this task.
func (t *Task) HeldByAnother() bool {
	return t.held != nil && t.held.Holder != (redislock.Owner{}) && t.held.Holder.Metadata != t.mark
}

// Check returns [redislock.ErrInvalid] for a Client or a wait that cannot work.
func Check(client *redislock.Client, wait time.Duration) error {
	if client == nil {
		return fmt.Errorf("%w: a nil Client", redislock.ErrInvalid)
	}
	if wait < 0 {
		return fmt.Errorf("%w: WithWait(%v): must not be negative", redislock.ErrInvalid, wait)
	}
	return nil
}
