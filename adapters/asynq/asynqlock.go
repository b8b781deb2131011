// Package asynqlock puts tasks of [asynq] queues under locks in Redis, for the workers of a whole fleet. [Unique] is
// a middleware that lets at most one worker at a time work on a key. [Once] is a middleware that keeps work that is
// done from being done again, however often it is delivered.
//
//	mux := asynq.NewServeMux()
//	mux.Use(asynqlock.Unique(client, func(t *asynq.Task) string { return "account/" + string(t.Payload()) }))
//	server := asynq.NewServer(redis, asynq.Config{IsFailure: asynqlock.IsFailure})
//
// asynq's own Unique and TaskID keep a second task from being enqueued. They do not keep two workers off the same
// work: asynq delivers at least once. It starts a task again when the deadline of the task has passed, when nothing
// was heard of its worker for a while, and when a server is shut down, whether or not the earlier run has ended.
//
// The handler gets the context of the lock, which ends if the lock is lost. [redislock.FromContext] finds the lock in
// it, with the fence that the handler sends with each write.
//
// [asynq]: https://pkg.go.dev/github.com/hibiken/asynq
package asynqlock

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/hibiken/asynq"

	"example.com/redislock"
	"example.com/redislock/adapters/internal/guarded"
)

// Unique returns a middleware: of all workers that use it with the client's prefix, at most one at a time runs a
// handler for the same key. The function key returns the whole name of the lock, so that other code can take the lock
// too; nil stands for [ByPayload].
//
// When the key is held, the task is retried later ([ErrBusy]), unless an [Option] says otherwise. The lock is renewed
// while the handler runs, also when asynq no longer waits for the handler: one that runs past the deadline of its task
// keeps the retry of that task out. If the lock is lost, the handler's context ends, and the task fails with
// [redislock.ErrLost] even if the handler returned nil, so asynq retries it. If only the answer to the release is
// missing, the handler's success stands: the lock was held until the handler returned, and expires with its lease.
//
// Without the lock the handler does not run: an empty or too long key, or an option that cannot work, fails the task
// with [redislock.ErrInvalid], and an unreachable Redis with the network's error.
func Unique(client *redislock.Client, key func(*asynq.Task) string, opts ...Option) asynq.MiddlewareFunc {
	if key == nil {
		key = ByPayload
	}
	g := newGuard(client, opts)
	g.run = client.Do
	g.key = func(_ context.Context, t *asynq.Task) string { return key(t) }
	return g.middleware
}

// Once returns a middleware: a handler that returned nil for a key does not run again for that key during the window,
// wherever the task is delivered; the task then succeeds at once. A handler that failed runs again. While a handler runs
// for the key, no other does, as with [Unique]: the name of its lock is "once:" and the key.
//
// A nil key means the task itself ([OnceName]). That covers a task that was done, but that asynq delivers again
// because the worker could not report it. The window should be longer than asynq may take to deliver again, retries
// and downtime included. It is counted from the success, and bounds how long Redis keeps its record, one small key
// for each name.
//
// Work done twice becomes much rarer, but this is not exactly-once: if a worker dies between the last effect of the
// handler and the record of its success, the work is done again. The fence, or a transaction, covers that. If Redis does
// not answer when the success is to be recorded, the task succeeds all the same, and another delivery would do the work
// again.
func Once(client *redislock.Client, window time.Duration, key func(*asynq.Task) string, opts ...Option) asynq.MiddlewareFunc {
	g := newGuard(client, opts)
	g.run = guarded.Once(client, window)
	g.key = func(ctx context.Context, t *asynq.Task) string {
		if key != nil {
			return key(t)
		}
		queue, _ := asynq.GetQueueName(ctx)
		id, _ := asynq.GetTaskID(ctx)
		return OnceName(queue, id)
	}
	return g.middleware
}

// ByPayload is the key of [Unique] unless another is given: the type of the task and a hash of its payload, as in
// "asynq/unique/mail:send/2c26b46b68ffc68ff99b453c1d304134". Queue, ID and headers play no part.
func ByPayload(t *asynq.Task) string {
	sum := sha256.Sum256(t.Payload())
	return fmt.Sprintf("asynq/unique/%s/%x", t.Type(), sum[:16])
}

// OnceName is the key of [Once] for a task, unless another is given. [redislock.Client.OnceReset] with it lets a task
// be done again. That is needed for a task that an operator runs anew from the archive, and for a task whose ID the
// application chose, as asynq accepts that ID again once the earlier task is gone.
func OnceName(queue, id string) string { return "asynq/task/" + queue + "/" + id }
