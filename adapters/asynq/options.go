package asynqlock

import (
	"context"
	"time"

	"github.com/hibiken/asynq"

	"example.com/redislock"
)

// Option shapes [Unique] and [Once]. A value that cannot work fails every task with [redislock.ErrInvalid]; no handler
// runs.
type Option func(*settings)

type settings struct {
	wait time.Duration
	drop bool
	lock []redislock.Option

	requeue func(context.Context, *asynq.Task) error
}

// WithWait lets a task wait for its key, in the order of arrival, before it is retried later or dropped. It occupies
// its worker meanwhile, and its deadline runs. The wait ends before the deadline, at which asynq would count a
// failure. The default is 0: no wait.
func WithWait(d time.Duration) Option {
	return func(s *settings) { s.wait = d }
}

// WithDrop makes a task whose key is held succeed without having run, since another task does its work. It is for work
// that is done for all tasks by any one of them, such as a refresh. If the task that holds the key fails, only that one
// is retried.
//
// A task is never dropped because an earlier run of itself holds the key, as that run may fail while asynq no longer
// waits for it. Such a task is retried later.
func WithDrop() Option {
	return func(s *settings) { s.drop = true }
}

// WithRequeue calls f when a task is on its last attempt and its key is held. Every attempt of a task with asynq.MaxRetry(0)
// is its last. asynq would archive the task, whatever IsFailure says; f is to enqueue it anew, and this delivery then
// succeeds without having run. f gets the context of the task, in which asynq has its ID and queue. The new task has another
// ID, and the options that f gives it, such as asynq.ProcessIn for the delay. If f fails, the task is archived with
// [ErrBusy] and the error of f. If the worker dies after f enqueued the task and before asynq knows that this delivery
// succeeded, the task is delivered twice, as can happen with asynq at other times.
//
// Without WithRequeue one such task of each key waits in each process, and occupies a worker. The others are archived
// at once, so that tasks of one key cannot occupy all workers.
func WithRequeue(f func(context.Context, *asynq.Task) error) Option {
	return func(s *settings) { s.requeue = f }
}

// WithLock sets options of the lock, such as [redislock.WithLease], or for [Unique] [redislock.WithMode] with a Semaphore
// for a few workers on a key instead of one. The options of the lock for waiting and for metadata have no effect: [WithWait]
// sets the wait, and the metadata is the task's queue and ID.
func WithLock(opts ...redislock.Option) Option {
	return func(s *settings) { s.lock = append(s.lock, opts...) }
}
