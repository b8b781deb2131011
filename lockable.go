package redislock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// Lockable is to be embedded in a type whose methods exclude each other, in all processes, and may call one another:
//
//	type Account struct {
//		redislock.Lockable
//		number string
//	}
//
// Values of the same name under the same prefix exclude each other. Goroutines have no identity, so the context shows who has
// the lock: a call under the context of a hold re-enters that hold, without a round trip, and a call under another context
// waits. Goroutines that share such a context do not exclude each other. [Client.Acquire] of the name by the same Client
// nests with these methods, in either order.
//
// Call [Lockable.Init] first; until it has succeeded, every other method returns [ErrInvalid]. After that any goroutine may
// call the methods, and a copy is as good as the original.
type Lockable struct {
	client *Client
	name   string
	opts   []Option
}

// Init makes it the lock of that name. The options are the defaults of each of its acquires, over those of the Client. Init
// returns [ErrInvalid] for a nil client, for a name or an option that cannot work, and for a second Init. It returns
// [ErrClosed] for a closed Client. After an error nothing has changed. Nothing is sent. Init must have returned before other
// methods are called.
func (l *Lockable) Init(client *Client, name string, opts ...Option) error {
	if err := l.check(client, name, opts); err != nil {
		return wrapOp("init", name, err)
	}
	l.client, l.name, l.opts = client, name, slices.Clone(opts)
	return nil
}

func (l *Lockable) check(client *Client, name string, opts []Option) error {
	switch {
	case l.client != nil:
		return invalid("a second Init of a Lockable, which is %q", l.name)
	case client == nil:
		return invalid("a nil Client")
	}
	s := client.defaults
	err := client.accept(context.Background(), name, opts, &s)
	return err
}

var errBeforeInit = invalid("a Lockable before its Init")

// Locked is [Client.Do] with this lock: it holds the lock while fn runs. The context of fn ends when ctx ends or when the
// lock is lost. Under a context that carries the hold, Locked re-enters. fn does not run without the lock. If the lock was
// lost while fn ran, [ErrLost] is in the error.
func (l *Lockable) Locked(ctx context.Context, fn func(ctx context.Context) error, opts ...Option) error {
	if l.client == nil {
		return wrapOp("do", l.name, errBeforeInit)
	}
	return l.client.Do(ctx, l.name, fn, slices.Concat(l.opts, opts)...)
}

// Acquire takes the lock as [Client.Acquire] does, and returns a context that carries the hold. The context ends when ctx
// ends, or when the lock is released or lost; [context.Cause] tells which. Pass it to [Lockable.Release]. Under a context
// that carries the hold already, Acquire takes another handle, which is nested in that one and must be released before it.
// After an error nothing is left behind, and the context is nil.
func (l *Lockable) Acquire(ctx context.Context, opts ...Option) (context.Context, error) {
	if l.client == nil {
		return nil, wrapOp("acquire", l.name, errBeforeInit)
	}
	lock, err := l.client.Acquire(ctx, l.name, slices.Concat(l.opts, opts)...)
	if err != nil {
		return nil, err
	}
	key := acquiredKey{l.client, l.name}
	return context.WithValue(lock.under(ctx), key, &acquired{lock: lock}), nil
}

// Release gives back what the innermost [Lockable.Acquire] took whose context is ctx or a parent of ctx. It works when ctx
// has ended, and ctx has always ended after a loss.
//
// The answer is that of [Lock.Release]. It is nil if the lock was held to the end, and [ErrNotHeld] with the loss if it was
// not. It is [ErrOrder] while handles are nested in that one, and then nothing changes. After the network's error the lock is
// given back in the background. The answer is also [ErrNotHeld], and nothing is sent, if that Acquire was released before or
// if ctx comes from no Acquire. Release leaves other handles alone: that of [Lockable.Locked] and that of an outer Acquire.
func (l *Lockable) Release(ctx context.Context) error {
	return wrapOp("release", l.name, l.release(ctx))
}

func (l *Lockable) release(ctx context.Context) error {
	switch {
	case l.client == nil:
		return errBeforeInit
	case ctx == nil:
		return errNoContext
	}
	a, _ := ctx.Value(acquiredKey{l.client, l.name}).(*acquired)
	if a == nil {
		return fmt.Errorf("%w: the context is not of an Acquire of this lock", ErrNotHeld)
	}
	return a.release(ctx)
}

// acquired is the handle that an Acquire took.
type acquired struct {
	lock *Lock
	told atomic.Bool // a caller has the answer of the release
}

// acquiredKey finds the innermost acquired in a context. It is not heldKey, because heldKey also finds the handles of others.
type acquiredKey heldKey

// release is Lock.Release, except that a second one is ErrNotHeld also for the first handle of a hold. If several calls come
// at once, it does not matter which is the second: all of them have the same answer, after one request.
func (a *acquired) release(ctx context.Context) error {
	err := a.lock.finish(ctx, false, 0)
	if a.lock.outer == nil && !errors.Is(err, ErrOrder) && a.told.Swap(true) {
		return fmt.Errorf("%w: it was released before", ErrNotHeld)
	}
	return err
}

// Locker is the lock of that name for code that wants a [sync.Locker]. It can tell neither the fence nor a loss while the
// lock is held. So where there is a choice, [Client.Acquire] and [Client.Do] are better.
//
// Lock acquires, and waits until ctx ends or the time of [WithWait] is over. Lock has no other way to fail than to panic. It
// panics with the error of the acquire, also for a value that cannot work; recover returns that error, and errors.Is tells it
// apart. Unlock works when ctx has ended. It panics with an [ErrNotHeld] if nothing is locked, and if the lock was lost
// meanwhile, because what ran was not protected to the end. If Redis does not answer, Unlock does not panic: the lock is
// given back in the background, or expires with its lease.
//
// Goroutines may share a Locker like a [sync.Mutex]: each Lock is a hold of its own and is never nested. If ctx is that of a
// hold of the same lock, Lock panics with [ErrDeadlock]. A Locker does not know which goroutine an Unlock comes from. If
// several goroutines have locked, in a shared mode or after a loss, the first Unlock is told of the loss.
func (c *Client) Locker(ctx context.Context, name string, opts ...Option) sync.Locker {
	// Nested in a hold of ctx, two goroutines would hold the lock at once.
	return &locker{client: c, ctx: ctx, name: name, opts: slices.Concat(opts, []Option{NonReentrant()})}
}

type locker struct {
	client *Client
	ctx    context.Context
	name   string
	opts   []Option

	mu   sync.Mutex // not locked while anything is sent
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

// pick is the hold that an Unlock gives back. It is a hold that is known to be lost, so that enough is left for the
// goroutines that have not come yet. If there is none, it is the oldest hold. The latest may belong to another goroutine,
// which got it because this one's was lost.
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
