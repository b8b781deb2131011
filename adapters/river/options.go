package riverlock

import (
	"time"

	"example.com/redislock"
)

// DefaultSnooze is after how long a job whose key was held is tried again, unless [WithSnooze] says otherwise.
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

// WithWait lets a job wait for its key, in the order of arrival, before it is snoozed, dropped or cancelled. It keeps its
// worker slot meanwhile. River's job timeout begins after it, but RescueStuckJobsAfter does not: stay well below that.
// The default is 0, not to wait.
func WithWait(d time.Duration) Option {
	return func(s *settings) { s.wait = d }
}

// WithSnooze snoozes a job whose key is held for d to 1.5 d, spread so that jobs of one key do not all come at once. That
// is what is done by default, with [DefaultSnooze]. It costs no attempt, so the job comes back until it gets its key.
func WithSnooze(d time.Duration) Option {
	return func(s *settings) { s.held, s.snooze = snoozed, d }
}

// WithDrop completes a job whose key is held, without having run it: somebody else is at it. For work where the newest
// job does what all of them want, such as a refresh. If the one who has the key fails, only its own retry runs.
//
// A job is never dropped because of an earlier run of itself, which may fail without River waiting for it: it is snoozed.
func WithDrop() Option {
	return func(s *settings) { s.held = completed }
}

// WithCancel is [WithDrop], but the job ends as cancelled, with an error that says who has the key.
func WithCancel() Option {
	return func(s *settings) { s.held = cancelled }
}

// WithLock sets options of the lock, such as [redislock.WithLease], or for [Unique] [redislock.WithMode] with a Semaphore
// for a few workers on a key instead of one. Waiting is said by [WithWait] and the metadata is the job's kind and ID: of
// these two the lock's own options mean nothing.
func WithLock(opts ...redislock.Option) Option {
	return func(s *settings) { s.lock = append(s.lock, opts...) }
}
