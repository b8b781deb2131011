// Package gooselock has the migrations of [goose] run by one instance at a time, by a lock in Redis, whatever database
// they are for: also those, such as SQLite, ClickHouse or Spanner, for which goose has no lock of its own.
//
// A [Locker] is goose's lock.Locker and lock.SessionLocker. [EndOnLoss] ends a migration whose lock was lost.
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
// order of arrival, and renewed for as long as the migrations take. Providers may share one; its methods may be called
// from any goroutine.
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

// New makes a Locker over the client's lock of that name. The name stands for the database: all instances that migrate
// it use the same one, and nothing else does. The options are those of every acquire; the mode is always exclusive. A
// name or an option that cannot work is [redislock.ErrInvalid] when a provider asks for the lock.
//
// A provider waits for its turn until its context ends, and fails after [redislock.WithWait] if that is given.
func New(client *redislock.Client, name string, opts ...redislock.Option) *Locker {
	return &Locker{
		client: client,
		name:   name,
		// Nested in a hold that its caller's context carries, two providers would hold the lock at once.
		opts: slices.Concat(opts, []redislock.Option{
			redislock.WithMode(redislock.Exclusive), redislock.WithWeight(1), redislock.NonReentrant(),
		}),
	}
}

// Lock takes the lock. goose does so before it looks which migrations are still to be applied. An error leaves nothing
// behind; it is that of [redislock.Client.Acquire]. The database is not used.
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

// Unlock gives the lock back; it works when ctx has ended. If the lock was lost before, the error is a
// [redislock.ErrNotHeld] that says why, and so is that of the provider's Up or Down, also if all migrations succeeded:
// another instance may have run them at the same time. If Redis does not answer it is the network's; the lock is then
// given back in the background, or lapses by its lease.
//
// Where providers share the Locker, the first Unlock after a loss is told of it, whichever provider's it is; a live
// hold is given back last.
func (l *Locker) Unlock(ctx context.Context, _ *sql.DB) error {
	got := l.take()
	if got == nil {
		return fmt.Errorf("redislock: release %q: %w: no Lock came before", l.name, redislock.ErrNotHeld)
	}
	return got.Release(ctx)
}

// SessionLock is [Locker.Lock]: it does not need the connection either.
func (l *Locker) SessionLock(ctx context.Context, _ *sql.Conn) error { return l.Lock(ctx, nil) }

// SessionUnlock is [Locker.Unlock].
func (l *Locker) SessionUnlock(ctx context.Context, _ *sql.Conn) error { return l.Unlock(ctx, nil) }

// take removes a hold, which is the caller's to release: one that is known to be lost, or else the oldest. It is nil if
// there is none.
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

// lossKey finds, in a context, what ends it.
type lossKey struct{}

// EndOnLoss is ctx, for a provider that uses a [Locker], but ends when its lock is lost while migrations run, before
// another instance can have it: a migration in a transaction is then rolled back instead of being written late.
// [context.Cause] is the loss, a [redislock.ErrLost]. goose by itself has no way to be told.
//
// The CancelFunc is to be called when the provider is through.
func EndOnLoss(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancelCause(ctx)
	return context.WithValue(ctx, lossKey{}, end), func() { end(nil) }
}
