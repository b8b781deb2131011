package redislock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Locker is the lock of that name for code that wants a [sync.Locker]. It can tell neither of a loss while the lock is
// held nor the fence, so where there is a choice [Client.Acquire] and [Client.Do] are better.
//
// Lock acquires, and waits until ctx ends or [WithWait] is over. As it has no other way to fail, it panics then, with
// the error of the acquire, as it does for a value that cannot work: errors.Is tells what recover has caught. Unlock
// works when ctx has ended. It panics with an [ErrNotHeld] if nothing is locked, and if the lock was lost meanwhile:
// what ran was not protected to the end. An answer that Redis does not give is no panic: the lock is given back in the
// background, or lapses by its lease.
//
// Goroutines may share a Locker like a [sync.Mutex]: each Lock is a hold of its own and is never nested. If ctx is that
// of a hold of the same lock, Lock panics with [ErrDeadlock]. It is not known which goroutine an Unlock comes from.
// When several have locked, in a shared mode or after a loss, the first Unlock is told of the loss.
func (c *Client) Locker(ctx context.Context, name string, opts ...Option) sync.Locker {
	// Nested in a hold of ctx, two goroutines would hold the lock at once.
	return &locker{client: c, ctx: ctx, name: name, opts: slices.Concat(opts, []Option{NonReentrant()})}
}

type locker struct {
	client *Client
	ctx    context.Context
	name   string
	opts   []Option

	mu   sync.Mutex // not held while anything is sent
	held []*Lock    // the oldest first
}

func (m *locker) Lock() {
	l, err := m.client.Acquire(m.ctx, m.name, m.opts...)
	if err != nil {
		panic(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held = append(m.held, l)
}

func (m *locker) Unlock() {
	l := m.pick()
	if l == nil {
		panic(wrapOp("release", m.name, fmt.Errorf("%w: Unlock without a Lock", ErrNotHeld)))
	}
	if err := l.Release(m.ctx); errors.Is(err, ErrNotHeld) {
		panic(err)
	}
}

// pick is the hold that an Unlock gives back: one that is known to be lost, so that what is left is enough for all who
// have not come yet, or else the oldest. The latest may be another goroutine's, which got it because this one's was lost.
func (m *locker) pick() *Lock {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.held) == 0 {
		return nil
	}
	i := max(0, slices.IndexFunc(m.held, func(l *Lock) bool { return l.hold.loss() != nil }))
	l := m.held[i]
	m.held = slices.Delete(m.held, i, i+1)
	return l
}
