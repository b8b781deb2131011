// Package asynqlock lets the workers of a fleet that share [asynq] queues keep out of each other's way by locks in
// Redis. [Unique] is a middleware by which at most one worker at a time works on a key; [Once] one by which work that
// was done is not done again, however often it is delivered.
//
//	mux := asynq.NewServeMux()
//	mux.Use(asynqlock.Unique(client, func(t *asynq.Task) string { return "account/" + string(t.Payload()) }))
//	server := asynq.NewServer(redis, asynq.Config{IsFailure: asynqlock.IsFailure})
//
// asynq's own Unique and TaskID keep a second task from being enqueued. They do not keep two workers off the same
// work: asynq delivers at least once, and starts a task again when its deadline has passed, when its worker was not
// heard of for a while, and when a server is shut down, whether or not the earlier run has ended.
//
// What the handler gets is the context of a lock: it ends when the lock is lost, and [redislock.FromContext] has the
// fence, which goes along with what the handler writes.
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

// Unique is a middleware: of all workers that use it with the client's prefix, at most one at a time runs a handler for
// the same key. key gives the whole name of the lock, so that other code can take it too; nil is [ByPayload].
//
// When the key is held, the task is retried later ([ErrBusy]), unless an [Option] says otherwise. The lock is renewed
// while the handler runs, also when asynq no longer waits for it: a handler that overstays the task's deadline keeps its
// own retry out. If the lock is lost, the handler's context ends, and the task fails with [redislock.ErrLost] even where
// the handler returned nil, so that asynq retries it. If only the answer to the release is missing, the handler's success
// stands: the lock was held to its end, and lapses by its lease.
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

// Once is a middleware: a handler that returned nil for a key does not run again for that key during the window,
// wherever the task is delivered; the task then succeeds at once. One that failed is run again. While a handler runs for
// the key, no other does, as with [Unique]: it holds the lock "once:" and the key.
//
// A nil key means the task itself ([OnceName]): what asynq delivers again after the work was done, since the worker
// could not say so, is not done twice. The window should be longer than asynq may take for that, retries and downtime
// included. It is counted from the success, and it bounds what Redis keeps: one small key for each name.
//
// This makes at-least-once a good deal rarer, not exactly-once: a worker that dies between the last effect of the handler
// and the record of its success leaves the work to be done again. The fence, or a transaction, covers that. Where Redis
// does not answer when the success is to be recorded, the task succeeds all the same, and another delivery would do it
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

// OnceName is the key of [Once] for a task, unless another is given. [redislock.Client.OnceReset] of it lets a task be
// done again: one that an operator runs anew from the archive, or one with an ID of the application's own, which asynq
// accepts again as soon as the earlier task of that ID is gone.
func OnceName(queue, id string) string { return "asynq/task/" + queue + "/" + id }
