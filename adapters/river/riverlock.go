// Package riverlock lets the workers of a fleet that share [River] queues keep out of each other's way by locks in Redis.
// [Unique] is a middleware by which at most one worker at a time works on a key; [Once] one by which work that was done
// is not done again, however often it is delivered.
//
//	config := &river.Config{
//		Plugins: []rivertype.Plugin{riverlock.Unique(client, nil)}, // for all jobs of this river.Client
//		Queues:  queues,
//		Workers: workers,
//	}
//
// For the jobs of one worker alone, its Middleware method returns it. There [By] makes the key of a job's arguments.
//
// River's UniqueOpts keep a second job from being inserted. They do not keep two workers off the same work: different jobs
// may concern the same thing, and River starts a job again when it has run for RescueStuckJobsAfter, whether or not the
// earlier run has ended. Where all that a job writes is in the database of its queue, its transaction, and
// river.JobCompleteTx in it, promise more than any lock; this is for what is outside of it.
//
// What the worker gets is the context of a lock: it ends when the lock is lost, and [redislock.FromContext] has the
// fence, which goes along with what the worker writes.
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

// Unique is a middleware: of all workers that use it with the client's prefix, at most one at a time works on a job of
// the same key. key gives the whole name of the lock, so that other code can take it too; nil is [ByArgs].
//
// When the key is held, the job is snoozed ([ErrBusy]), unless an [Option] says otherwise. The lock is renewed while the
// worker runs, also when River no longer waits for it: a worker that overstays keeps its rescued job out. If the lock is
// lost, the worker's context ends, and the job fails with [redislock.ErrLost] even where the worker returned nil, so that
// River retries it. If only the answer to the release is missing, the worker's success stands: the lock was held to its
// end, and lapses by its lease.
//
// Without the lock the worker does not run: an empty or too long key, or an option that cannot work, fails the job with
// [redislock.ErrInvalid], and an unreachable Redis with the network's error. Both are attempts like any other.
func Unique(client *redislock.Client, key func(*rivertype.JobRow) string, opts ...Option) river.WorkerMiddlewareFunc {
	if key == nil {
		key = ByArgs
	}
	return newGuard(client, client.Do, key, opts).work
}

// Once is a middleware: a worker that returned nil for a key does not run again for that key during the window, wherever
// the job is delivered; the job is then completed at once. One that failed is run again. While a worker runs for the key,
// no other does, as with [Unique]: it holds the lock "once:" and the key.
//
// A nil key is [ByJob]: what River delivers again after the work was done, since that could not be written down, is not
// done twice. The window should be longer than River may take for that, RescueStuckJobsAfter and downtime included. It
// is counted from the success, and it bounds what Redis keeps: one small key for each name.
//
// This makes at-least-once a good deal rarer, not exactly-once: a process that dies between the last effect of the worker
// and the record of its success leaves the work to be done again. The fence, or a transaction, covers that. Where Redis
// does not answer when the success is to be recorded, the job is completed all the same, and another delivery would do it
// again.
func Once(client *redislock.Client, window time.Duration, key func(*rivertype.JobRow) string, opts ...Option) river.WorkerMiddlewareFunc {
	if key == nil {
		key = ByJob
	}
	return newGuard(client, guarded.Once(client, window), key, opts).work
}
