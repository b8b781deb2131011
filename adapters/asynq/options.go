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

// WithWait lets a task wait for its key, in the order of arrival, before it is retried later or dropped. It keeps its
// worker meanwhile, and its deadline runs: it never waits up to that, since asynq would count it as a failure. The
// default is 0, not to wait.
func WithWait(d time.Duration) Option {
	return func(s *settings) { s.wait = d }
}

// WithDrop makes a task whose key is held succeed without having run: somebody else is at it. For work where the
// newest task does what all of them want, such as a refresh. If the one who has the key fails, only its own retry runs.
//
// A task is never dropped because of an earlier run of itself, which may have failed without asynq waiting for it: it is
// retried later.
func WithDrop() Option {
	return func(s *settings) { s.drop = true }
}

// WithRequeue has f enqueue a task anew that is on its last attempt, such as every one with asynq.MaxRetry(0), while its key
// is held: asynq would archive it, whatever IsFailure says. This delivery then succeeds without having run. f gets the
// context of the task, in which asynq has its ID and queue; the new task has the options that f gives it, such as
// asynq.ProcessIn for how long it stays away, and another ID. If f fails, the task is archived, with [ErrBusy] and that
// error. A worker that dies between the two leaves the task delivered twice, as asynq does elsewhere.
//
// Without it one such task of each key waits for the key on its worker, in each process, and the others are archived at
// once: so that tasks of one key cannot occupy all workers.
func WithRequeue(f func(context.Context, *asynq.Task) error) Option {
	return func(s *settings) { s.requeue = f }
}

// WithLock sets options of the lock, such as [redislock.WithLease], or for [Unique] [redislock.WithMode] with a Semaphore
// for a few workers on a key instead of one. Waiting is said by [WithWait] and the metadata is the task's queue and ID: of these
// two the lock's own options mean nothing.
func WithLock(opts ...redislock.Option) Option {
	return func(s *settings) { s.lock = append(s.lock, opts...) }
}
