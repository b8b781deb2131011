package riverlock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"example.com/redislock"
	"example.com/redislock/adapters/internal/guarded"
)

// ErrBusy says that a job did not run because its key is held. It wraps the [redislock.HeldError], which names the
// holder, and comes with River's JobSnoozeError or JobCancelError. Middleware that is entered before this one sees it;
// River's ErrorHandler does not.
var ErrBusy = errors.New("redislock: river: another holds the key")

// guard is what Unique and Once have in common.
type guard struct {
	settings
	err error // of the options
	run guarded.Run
	key func(*rivertype.JobRow) string
}

func newGuard(client *redislock.Client, run guarded.Run, key func(*rivertype.JobRow) string, opts []Option) *guard {
	g := &guard{settings: settings{snooze: DefaultSnooze}, run: run, key: key}
	for _, opt := range opts {
		if opt == nil {
			g.err = fmt.Errorf("%w: a nil Option", redislock.ErrInvalid)
			return g
		}
		opt(&g.settings)
	}
	if g.err = guarded.Check(client, g.wait); g.err == nil && g.snooze < 0 {
		g.err = fmt.Errorf("%w: WithSnooze(%v): must not be negative", redislock.ErrInvalid, g.snooze)
	}
	return g
}

// work is the middleware: it runs the worker under the lock, or decides what becomes of a job whose key is held.
func (g *guard) work(ctx context.Context, job *rivertype.JobRow, doInner func(context.Context) error) error {
	if g.err != nil {
		return fmt.Errorf("redislock: river: %w", g.err)
	}
	mark := fmt.Sprintf("river job %s/%d", job.Kind, job.ID)
	task := guarded.New(g.run, g.key(job), mark, g.lock, doInner)
	task.Try(ctx, 0)
	if task.Held() && g.wait > 0 {
		task.Try(ctx, g.wait)
	}
	if !task.Held() {
		return task.Err()
	}
	busy := fmt.Errorf("%w: %w", ErrBusy, task.Err())
	switch {
	case g.held == completed && task.HeldByAnother():
		return nil
	case g.held == cancelled && task.HeldByAnother():
		return river.JobCancel(busy)
	default:
		return fmt.Errorf("%w: %w", busy, river.JobSnooze(g.snooze+rand.N(g.snooze/2+1)))
	}
}
