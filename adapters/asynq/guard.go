package asynqlock

import (
	"context"
	"fmt"
	"time"

	"github.com/hibiken/asynq"

	"example.com/redislock"
	"example.com/redislock/internal/guarded"
)

// forever is the wait that only the task's deadline ends.
const forever = 365 * 24 * time.Hour

// guard is what Unique and Once have in common.
type guard struct {
	settings
	err error // of the options
	run guarded.Run
	key func(context.Context, *asynq.Task) string
}

func newGuard(client *redislock.Client, opts []Option) *guard {
	g := &guard{}
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
	work := guarded.New(g.run, g.key(ctx, t), mark(ctx), g.lock, func(ctx context.Context) error { return next.ProcessTask(ctx, t) })
	wait, last := g.wait, last(ctx)
	if last && !g.drop { // asynq would archive it
		wait = forever
	}
	work.Try(ctx, 0)
	if work.Held() && wait > 0 {
		work.Try(ctx, bounded(ctx, wait))
	}
	if g.drop && work.HeldByAnother() {
		return nil
	}
	if g.drop && last && work.Held() {
		work.Try(ctx, bounded(ctx, forever))
	}
	if work.Held() {
		return fmt.Errorf("%w: %w", ErrBusy, work.Err())
	}
	return work.Err()
}

// bounded cuts a wait so that it ends before the task's deadline, by a tenth of what is left, at most a second: at the
// deadline asynq does not look at what the handler returns and counts a failure.
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

// mark is the lock's metadata: which task has it.
func mark(ctx context.Context) string {
	queue, _ := asynq.GetQueueName(ctx)
	id, _ := asynq.GetTaskID(ctx)
	return "asynq task " + queue + "/" + id
}
