package redislock

import (
	"context"
	"errors"

	"example.com/redislock/internal/lifetime"
)

// do is Do. The first result is whether fn ran.
func (c *Client) do(ctx context.Context, name string, fn func(context.Context) error, opts []Option) (ran bool, err error) {
	if err := c.called(ctx); err != nil {
		return false, wrapOp("do", name, err)
	}
	if fn == nil {
		return false, wrapOp("do", name, invalid("a nil function"))
	}
	l, err := c.Acquire(ctx, name, opts...)
	if err != nil {
		return false, err
	}
	defer func() { // also when fn panics
		err = both(err, lossOf(wrapOp("release", name, l.finish(ctx, true, 0))))
	}()
	return true, fn(l.under(ctx))
}

// TryDo is [Client.Do] without waiting, for callers to whom it is no error that another holder has the lock. ran tells whether fn
// ran. Without [WithWait] TryDo does not wait; with WithWait(d) it waits for at most d.
//
// If another holder had the lock all the time, or if others were waiting for it, even as many as [WithMaxQueue] allows, ran is
// false and the error is nil: nothing was done, and nothing is left behind. Any other failure to get the lock is an error as of
// [Client.Acquire], also the end of ctx. If fn ran, the error is that of Do: fn's own, whatever it is, and [ErrLost] if the lock
// was lost meanwhile.
func (c *Client) TryDo(ctx context.Context, name string, fn func(context.Context) error, opts ...Option) (ran bool, err error) {
	opts = append([]Option{WithWait(0)}, opts...)
	ran, err = c.do(ctx, name, fn, opts)
	if held, ok := errors.AsType[*HeldError](err); ok && !ran && (held.cause == nil || errors.Is(held.cause, ErrQueueFull)) {
		return false, nil
	}
	return ran, err
}

// DoValue is [Client.Do] for a function that returns a value. With an error of the acquire fn did not run, and the value is the
// zero value. Otherwise the value is what fn returned, even if the error is [ErrLost].
func DoValue[T any](ctx context.Context, c *Client, name string, fn func(context.Context) (T, error), opts ...Option) (value T, err error) {
	if fn == nil {
		return value, wrapOp("do", name, invalid("a nil function"))
	}
	err = c.Do(ctx, name, func(ctx context.Context) (err error) {
		value, err = fn(ctx)
		return err
	}, opts...)
	return value, err
}

// WrapValue is [Client.Wrap] for a function that returns a value: it returns a function that runs fn as [DoValue] does.
func WrapValue[T any](c *Client, name string, fn func(context.Context) (T, error), opts ...Option) func(context.Context) (T, error) {
	return func(ctx context.Context) (T, error) { return DoValue(ctx, c, name, fn, opts...) }
}

// DoWeak takes the weak lock of that name as [Client.AcquireWeak] does, with its options, runs fn, and gives the lock back. The
// context of fn is [WeakLock.With] of ctx: it ends when ctx ends or when the lease does. The lease is not renewed, so
// [WithLease] must be longer than fn takes. fn does not run without the lock, unless [WithFailOpen] says so.
//
// DoWeak returns the error of the acquire, or fn's own. If the lease ran out while fn ran, the error is [ErrLost] too, even
// where fn returned nil: another may have run beside it.
func (c *Client) DoWeak(ctx context.Context, name string, fn func(context.Context) error, opts ...Option) (err error) {
	if err := c.called(ctx); err != nil {
		return wrapOp("do weak", name, err)
	}
	if fn == nil {
		return wrapOp("do weak", name, invalid("a nil function"))
	}
	w, err := c.AcquireWeak(ctx, name, opts...)
	if err != nil {
		return err
	}
	defer func() { err = both(err, lossOf(w.Release(ctx))) }() // also when fn panics
	under, untie := lifetime.Ending(ctx, w.ctx)
	defer untie()
	return fn(under)
}

// WrapWeak is [Client.Wrap] with a weak lock: it returns a function that runs fn as [Client.DoWeak] does.
func (c *Client) WrapWeak(name string, fn func(context.Context) error, opts ...Option) func(context.Context) error {
	return func(ctx context.Context) error { return c.DoWeak(ctx, name, fn, opts...) }
}
