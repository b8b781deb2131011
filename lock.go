package redislock

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Lock is a held lock: the handle by which it is used and given back. Its methods may be called from any goroutine.
//
// A handle counts itself as held only as long as the server cannot have given the lock to anybody else, by the
// assumptions about clocks that docs/guarantees.md names. A process that was paused and goes on writing may still be
// too late: send [Lock.Fence] along with what you write, so that the resource can refuse it.
type Lock struct {
	client *Client
	name   string
	fence  int64
	lease  lease

	ctx context.Context
	end context.CancelCauseFunc

	release  sync.Once
	released error // what Release answered
}

// Name is what was asked for.
func (l *Lock) Name() string { return l.name }

// Fence is the grant's fencing token: greater than that of every earlier grant of this name, so that whoever has seen
// a greater one can refuse this holder as late. It is the time of the grant in µs, or more.
func (l *Lock) Fence() int64 { return l.fence }

// Context ends when the lock may no longer be trusted: [context.Cause] says [ErrLost], [ErrStolen], [ErrReleased] or
// [ErrClosed]. It ends before the lock can be anybody else's because of expiry or theft, by a timer that does not
// depend on Redis answering. It carries the values of the context that the lock was acquired with, but not its
// cancellation.
func (l *Lock) Context() context.Context { return l.ctx }

// With is ctx, but ends with the lock too; [context.Cause] says which came first.
func (l *Lock) With(ctx context.Context) context.Context {
	if ctx.Value(heldKey{l.client, l.name}) != l {
		ctx = context.WithValue(ctx, heldKey{l.client, l.name}, l)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.ctx, func() { cancel(context.Cause(l.ctx)) })
	context.AfterFunc(ctx, func() { stop() }) // a lock may be held for much longer than ctx lives
	return ctx
}

// Err is nil while the lock is held, and what ended it afterwards: the cause of [Lock.Context]. It reads the clock, so
// it is right even where the timer that ends the context is late.
func (l *Lock) Err() error {
	if err := context.Cause(l.ctx); err != nil {
		return err
	}
	if err := l.lease.expired(); err != nil {
		l.lose(err)
		return err // whoever else ends it may not have come to the context yet
	}
	return nil
}

// Release gives the lock back and hands it to the next in the queue. It sends one request, also when ctx has ended; the
// lock's context has ended when it is sent. Where Redis does not answer, it is sent again for 5 s, and the last attempt
// takes as long as the timeouts of the Redis client.
//
// The answer is nil if the lock was this handle's to the end, [ErrNotHeld] if it was lost before, whatever for, and
// the network's error if Redis did not answer: the lock is then given back in the background, or lapses by its lease.
// A second Release has the same answer and sends nothing.
func (l *Lock) Release(ctx context.Context) error {
	l.release.Do(func() { l.released = wrapOp("release", l.name, l.giveBack(ctx)) })
	return l.released
}

func (l *Lock) giveBack(ctx context.Context) error {
	c := l.client
	loss := l.Err()
	if errors.Is(loss, ErrClosed) && l.lease.expired() == nil {
		loss = nil // closing the Client ends the context, not the hold
	}
	held := l.lease.held()
	reason, first := l.lease.stop(ErrReleased)
	if !first { // it was lost, if only just now
		loss = reason
	}
	l.end(reason)
	defer c.forget(l)

	if loss != nil {
		if l.lease.surrender() {
			c.giveUp(l.lease.key, l.lease.token, l.lease.bury)
		}
		return fmt.Errorf("%w: %w", ErrNotHeld, loss)
	}

	left, err := c.vacate(ctx, l.lease.key, l.lease.token, l.lease.bury)
	switch {
	case err != nil:
		c.giveUp(l.lease.key, l.lease.token, true)
		return err
	case left:
		c.observe(Event{Kind: EventReleased, Name: l.name, Fence: l.fence, Held: held})
		return nil
	default:
		return ErrNotHeld
	}
}

// lose ends the handle, once; cause wraps ErrLost. What the server still holds for it is given up: whoever saw the
// context end may have stopped, and whoever did not is what fences are for.
func (l *Lock) lose(cause error) {
	held := l.lease.held()
	if _, first := l.lease.stop(cause); !first {
		return
	}
	l.end(cause)
	l.client.forget(l)
	kind := EventLost
	if errors.Is(cause, ErrStolen) {
		kind = EventStolen
	}
	l.client.report(Event{Kind: kind, Name: l.name, Fence: l.fence, Held: held, Err: cause})
	if l.lease.surrender() {
		l.client.giveUp(l.lease.key, l.lease.token, l.lease.bury)
	}
}

// heldKey finds, in a context, the hold of a name by a Client.
type heldKey struct {
	client *Client
	name   string
}
