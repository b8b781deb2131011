package asynqlock

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"example.com/redislock"
	"example.com/redislock/adapters/internal/guarded"
)

// forever is the wait that only the task's deadline ends.
const forever = 365 * 24 * time.Hour

// guard is what Unique and Once have in common.
type guard struct {
	settings
	err error // of the options
	run guarded.Run
	key func(context.Context, *asynq.Task) string

	mu      sync.Mutex
	waiting map[string]bool // keys for which a task on its last attempt waits in this process
}

func newGuard(client *redislock.Client, opts []Option) *guard {
	g := &guard{waiting: map[string]bool{}}
	for _, opt := range opts {
		if opt == nil {
			g.err = fmt.Errorf("%w: a nil Option", redislock.ErrInvalid)
			return g
		}
		opt(&g.settings)
	}
	g.err = guarded.Check(client, g.wait)
	return g
}

func (g *guard) middleware(next asynq.Handler) asynq.Handler {
	return asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		if g.err != nil {
			return fmt.Errorf("redislock: asynq: %w", g.err)
		}
		return g.process(ctx, t, next)
	})
}

// process runs the handler under the lock, or decides what becomes of a task whose key is held.
func (g *guard) process(ctx context.Context, t *asynq.Task, next asynq.Handler) error {
	key := g.key(ctx, t)
	work := guarded.New(g.run, key, mark(ctx), g.lock, func(ctx context.Context) error { return next.ProcessTask(ctx, t) })
	wait, last := g.wait, last(ctx)
	work.Try(ctx, 0)
	// asynq would archive the task, so it waits. It occupies a worker meanwhile, so at most one task waits for each key.
	if last && g.requeue == nil && work.Held() && !(g.drop && work.HeldByAnother()) && g.enter(key) {
		defer g.leave(key)
		wait = forever
	}
	if work.Held() && wait > 0 {
		work.Try(ctx, bounded(ctx, wait))
	}
	switch {
	case !work.Held():
		return work.Err()
	case g.drop && work.HeldByAnother():
		return nil
	case last && g.requeue != nil:
		if err := g.requeue(ctx, t); err != nil {
			return fmt.Errorf("%w: %w: it could not be enqueued anew: %w", ErrBusy, work.Err(), err)
		}
		return nil
	default:
		return fmt.Errorf("%w: %w", ErrBusy, work.Err())
	}
}

// enter reports whether the caller may wait for a key. If it may, it calls leave afterwards.
func (g *guard) enter(key string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting[key] {
		return false
	}
	g.waiting[key] = true
	return true
}

func (g *guard) leave(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.waiting, key)
}

// bounded cuts a wait so that it ends before the task's deadline, by a tenth of the time left, at most by a second: at
// the deadline asynq counts a failure, whatever the handler returns.
func bounded(ctx context.Context, wait time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		wait = min(wait, left-min(left/10, time.Second))
	}
	return max(wait, 0)
}

// last reports whether asynq archives the task if it fails now, whatever IsFailure says.
func last(ctx context.Context) bool {
	retried, ok := asynq.GetRetryCount(ctx)
	most, _ := asynq.GetMaxRetry(ctx)
	return ok && retried >= most
}

// mark is the metadata of the lock: it names the task that holds it.
func mark(ctx context.Context) string {
	queue, _ := asynq.GetQueueName(ctx)
	id, _ := asynq.GetTaskID(ctx)
	return "asynq task " + queue + "/" + id
}
