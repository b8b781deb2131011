package redislock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

// Lockable is to be embedded in a type whose methods exclude each other, in all processes, and may call one another:
//
//	type Account struct {
//		redislock.Lockable
//		number string
//	}
//
// Values of the same name under the same prefix exclude each other. Goroutines have no identity, so whose the lock is
// shows in the context: what runs under the context of a hold re-enters it, without a round trip, and what runs under
// another waits. Goroutines that share such a context do not exclude each other. [Client.Acquire] of the name by the
// same Client nests with these methods, in either order.
//
// [Lockable.Init] comes first; until it has succeeded every other method is [ErrInvalid]. After it the methods may be
// called from any goroutine, and a copy is as good as the original.
type Lockable struct {
	client *Client
	name   string
	opts   []Option
}

// Init makes it the lock of that name. The options are the defaults of every acquire of it, over those of the Client.
// A nil client, a name or an option that cannot work, and a second Init are [ErrInvalid], a closed Client is
// [ErrClosed]; they change nothing. Nothing is sent. Init must have returned before other methods are called.
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

// Locked is [Client.Do] with this lock: fn runs while it is held, under a context that ends when ctx does or when the
// lock is lost. Under a context that carries the hold it re-enters. fn does not run without the lock, and if the lock
// was lost while fn ran, [ErrLost] is in the error.
func (l *Lockable) Locked(ctx context.Context, fn func(ctx context.Context) error, opts ...Option) error {
	if l.client == nil {
		return wrapOp("do", l.name, errBeforeInit)
	}
	return l.client.Do(ctx, l.name, fn, slices.Concat(l.opts, opts)...)
}

// Acquire takes the lock as [Client.Acquire] does, and returns a context that carries the hold. It ends when ctx does
// or when the lock is released or lost, which [context.Cause] tells apart, and it is what [Lockable.Release] takes.
// Under a context that carries the hold already this is another handle, nested in that one, and to be released before
// it. An error leaves nothing behind, and the context is nil then.
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

// Release gives back what the innermost [Lockable.Acquire] took whose context ctx is, or descends from. It works when
// ctx has ended, which it has anyway after a loss.
//
// The answer is that of [Lock.Release]: nil if the lock was held to the end, [ErrNotHeld] with the loss if it was not,
// [ErrOrder] while handles are nested in that one, which changes nothing, or the network's error; the lock is then given
// back in the background. It is also [ErrNotHeld], and nothing is sent, if that Acquire was released before, or if ctx
// is of none: a handle that is not its own, of [Lockable.Locked] or of an outer Acquire, it leaves alone.
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
		return fmt.Errorf("%w: the context is of no Acquire of this lock", ErrNotHeld)
	}
	return a.release(ctx)
}

// acquired is what an Acquire took.
type acquired struct {
	lock *Lock
	told atomic.Bool // somebody has the answer of the release
}

// acquiredKey finds, in a context, the innermost of them. It is not heldKey: that finds the handles of others too.
type acquiredKey heldKey

// release is Lock.Release, but a second one is ErrNotHeld for the first handle of a hold too. Which of several at a
// time is the second does not matter: all of them have the same answer, after one request.
func (a *acquired) release(ctx context.Context) error {
	err := a.lock.finish(ctx, false, 0)
	if a.lock.outer == nil && !errors.Is(err, ErrOrder) && a.told.Swap(true) {
		return fmt.Errorf("%w: it was released before", ErrNotHeld)
	}
	return err
}
