// Package riverlock puts jobs of [River] queues under locks in Redis, for the workers of a whole fleet. [Unique] is a
// middleware that lets at most one worker at a time work on a key. [Once] is a middleware that keeps work that is done
// from being done again, however often it is delivered.
//
//	config := &river.Config{
//		Plugins: []rivertype.Plugin{riverlock.Unique(client, nil)}, // for all jobs of this river.Client
//		Queues:  queues,
//		Workers: workers,
//	}
//
// For the jobs of one worker alone, return the middleware from its method Middleware. There [By] makes the key of a
// job's arguments.
//
// River's UniqueOpts keep a second job from being inserted. They do not keep two workers off the same work: different jobs
// may concern the same thing, and River starts a job again when it has run for RescueStuckJobsAfter, whether or not the
// earlier run has ended. If all that a job writes is in the database of its queue, one transaction with
// river.JobCompleteTx in it promises more than any lock. This package is for work outside of that database.
//
// The worker gets the context of the lock, which ends if the lock is lost. [redislock.FromContext] finds the lock in
// it, with the fence that the worker sends with each write.
//
// [River]: https://pkg.go.dev/github.com/riverqueue/river
package riverlock

import (
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"example.com/redislock"
	"example.com/redislock/adapters/internal/guarded"
)

// Unique returns a middleware: of all workers that use it with the client's prefix, at most one at a time works on a
// job of the same key. The function key returns the whole name of the lock, so that other code can take the lock too;
// nil stands for [ByArgs].
//
// When the key is held, the job is snoozed ([ErrBusy]), unless an [Option] says otherwise. The lock is renewed while the
// worker runs, also when River no longer waits for the worker: one that runs too long keeps the rescued run of its job
// out. If the lock is lost, the worker's context ends, and the job fails with [redislock.ErrLost] even if the worker
// returned nil, so River retries it. If only the answer to the release is missing, the worker's success stands: the lock
// was held until the worker returned, and expires with its lease.
//
// Without the lock the worker does not run: an empty or too long key, or an option that cannot work, fails the job with
// [redislock.ErrInvalid], and an unreachable Redis with the network's error. Both are attempts like any other.
func Unique(client *redislock.Client, key func(*rivertype.JobRow) string, opts ...Option) river.WorkerMiddlewareFunc {
	if key == nil {
		key = ByArgs
	}
	return newGuard(client, client.Do, key, opts).work
}

// Once returns a middleware: a worker that returned nil for a key does not run again for that key during the window,
// wherever the job is delivered; the job is then completed at once. A worker that failed runs again. While a worker runs
// for the key, no other does, as with [Unique]: the name of its lock is "once:" and the key.
//
// A nil key stands for [ByJob]. That covers a job that was done, but that River delivers again because the success
// could not be recorded. The window should be longer than River may take to deliver again, RescueStuckJobsAfter and
// downtime included. It is counted from the success, and bounds how long Redis keeps its record, one small key for each
// name.
//
// Work done twice becomes much rarer, but this is not exactly-once: if a process dies between the last effect of the
// worker and the record of its success, the work is done again. The fence, or a transaction, covers that. If Redis does
// not answer when the success is to be recorded, the job is completed all the same, and another delivery would do the
// work again.
func Once(client *redislock.Client, window time.Duration, key func(*rivertype.JobRow) string, opts ...Option) river.WorkerMiddlewareFunc {
	if key == nil {
		key = ByJob
	}
	return newGuard(client, guarded.Once(client, window), key, opts).work
}
