// Package gooselock lets one instance at a time run the migrations of [goose], by a lock in Redis. It works for every
// database, also for those for which goose has no lock of its own, such as SQLite, ClickHouse or Spanner.
//
// A [Locker] is a lock.Locker and a lock.SessionLocker of goose. [EndOnLoss] ends a migration whose lock was
// lost.
//
// [goose]: https://pkg.go.dev/github.com/pressly/goose/v3
package gooselock

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/pressly/goose/v3/lock"

	"example.com/redislock"
)

// Locker is the lock of one database, for goose.WithLocker or goose.WithSessionLocker. It is exclusive, granted in the
// order of arrival, and renewed for as long as the migrations take. Providers may share a Locker; its methods may be
// called from any goroutine.
type Locker struct {
	client *redislock.Client
	name   string
	opts   []redislock.Option

	mu   sync.Mutex        // not held while anything is sent
	held []*redislock.Lock // the oldest first
}

var (
	_ lock.Locker        = (*Locker)(nil)
	_ lock.SessionLocker = (*Locker)(nil)
)

// New makes a Locker of the client's lock of that name. The name stands for the database: all instances that migrate
// it use the same name, and nothing else uses it. The options are for every acquire; the mode is always exclusive. A
// name or an option that cannot work gives [redislock.ErrInvalid] when a provider asks for the lock.
//
// A provider waits for the lock until its context ends, and with [redislock.WithWait] at most for that time.
func New(client *redislock.Client, name string, opts ...redislock.Option) *Locker {
	return &Locker{
		client: client,
		name:   name,
		// If an acquire could nest in a hold that the caller's context carries, two providers would have the lock at once.
		opts: slices.Concat(opts, []redislock.Option{
			redislock.WithMode(redislock.Exclusive), redislock.WithWeight(1), redislock.NonReentrant(),
		}),
	}
}

// Lock takes the lock. goose calls it before it looks which migrations are still to be applied. The error is that of
// [redislock.Client.Acquire]; after an error nothing is held. The database is not used.
func (l *Locker) Lock(ctx context.Context, _ *sql.DB) error {
	got, err := l.client.Acquire(ctx, l.name, l.opts...)
	if err != nil {
		return err
	}
	if end, bound := ctx.Value(lossKey{}).(context.CancelCauseFunc); bound {
		context.AfterFunc(got.Context(), func() {
			if cause := context.Cause(got.Context()); !errors.Is(cause, redislock.ErrReleased) {
				end(cause)
			}
		})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = append(l.held, got)
	return nil
}

// Unlock gives the lock back, also if ctx has ended. If the lock was lost before, the error is a
// [redislock.ErrNotHeld] that says why. The provider's Up or Down then returns that error too, even if all migrations
// succeeded: another instance may have run them at the same time. If Redis does not answer, the error is the
// network's; the lock is then given back in the background, or expires with its lease.
//
// If providers share the Locker, the first Unlock after a loss returns that loss, whichever provider calls it. A lock
// that is still held is given back last.
func (l *Locker) Unlock(ctx context.Context, _ *sql.DB) error {
	got := l.take()
	if got == nil {
		return fmt.Errorf("redislock: release %q: %w: no Lock came before", l.name, redislock.ErrNotHeld)
	}
	return got.Release(ctx)
}

// SessionLock is [Locker.Lock]. The connection is not used.
func (l *Locker) SessionLock(ctx context.Context, _ *sql.Conn) error { return l.Lock(ctx, nil) }

// SessionUnlock is [Locker.Unlock].
func (l *Locker) SessionUnlock(ctx context.Context, _ *sql.Conn) error { return l.Unlock(ctx, nil) }

// take removes a hold and returns it for the caller to release: one that is known to be lost, or else the oldest. It is
// nil if there is none.
func (l *Locker) take() *redislock.Lock {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.held) == 0 {
		return nil
	}
	i := max(0, slices.IndexFunc(l.held, func(got *redislock.Lock) bool { return got.Err() != nil }))
	got := l.held[i]
	l.held = slices.Delete(l.held, i, i+1)
	return got
}

// lossKey is the key of a context's value: the function that ends the context.
type lossKey struct{}

// EndOnLoss returns a context for a provider that uses a [Locker]. It ends with ctx, and if the lock is lost while
// migrations run, before another instance can have the lock. A migration in a transaction is then rolled back,
// instead of being written late. [context.Cause] is the loss, a [redislock.ErrLost]. Without EndOnLoss goose does not
// learn of a loss.
//
// Call the CancelFunc when the provider has finished.
func EndOnLoss(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancelCause(ctx)
	return context.WithValue(ctx, lossKey{}, end), func() { end(nil) }
}
