package riverlock

import (
	"time"

	"example.com/redislock"
)

// DefaultSnooze is the time after which a job whose key was held is tried again, unless [WithSnooze] says otherwise.
const DefaultSnooze = 5 * time.Second

// Option shapes [Unique] and [Once]. A value that cannot work fails every job with [redislock.ErrInvalid]; no worker runs.
type Option func(*settings)

type settings struct {
	wait   time.Duration
	snooze time.Duration
	held   outcome
	lock   []redislock.Option
}

// outcome is what becomes of a job whose key is held.
type outcome int

const (
	snoozed outcome = iota
	completed
	cancelled
)

// WithWait lets a job wait for its key, in the order of arrival, before it is snoozed, dropped or cancelled. It occupies
// its worker slot meanwhile. River's job timeout begins after the wait, but RescueStuckJobsAfter counts the wait too: d
// must be well below that. The default is 0: no wait.
func WithWait(d time.Duration) Option {
	return func(s *settings) { s.wait = d }
}

// WithSnooze snoozes a job whose key is held for d to 1.5 d, spread so that jobs of one key do not all come at once. That
// is the default, with [DefaultSnooze]. A snooze counts as no attempt, so the job comes back until it gets its key.
func WithSnooze(d time.Duration) Option {
	return func(s *settings) { s.held, s.snooze = snoozed, d }
}

// WithDrop completes a job whose key is held without running it, since another job does its work. It is for work that
// is done for all jobs by any one of them, such as a refresh. If the job that holds the key fails, only that one is
// retried.
//
// A job is never dropped because an earlier run of itself holds the key, as that run may fail while River no longer waits
// for it. Such a job is snoozed.
func WithDrop() Option {
	return func(s *settings) { s.held = completed }
}

// WithCancel is [WithDrop], but the job ends as cancelled, with an error that names the holder of the key.
func WithCancel() Option {
	return func(s *settings) { s.held = cancelled }
}

// WithLock sets options of the lock, such as [redislock.WithLease], or for [Unique] [redislock.WithMode] with a Semaphore
// for a few workers on a key instead of one. The options of the lock for waiting and for metadata have no effect:
// [WithWait] sets the wait, and the metadata is the job's kind and ID.
func WithLock(opts ...redislock.Option) Option {
	return func(s *settings) { s.lock = append(s.lock, opts...) }
}
