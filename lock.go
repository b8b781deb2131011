package redislock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock/internal/lifetime"
)

// Lock is a held lock: the handle by which it is used and given back. Its methods may be called from any goroutine.
//
// A handle counts itself as held only as long as the server cannot have given the lock to anybody else, by the
// assumptions about clocks that docs/guarantees.md names. A process that was paused and goes on writing may still be
// too late: send [Lock.Fence] along with what you write, so that the resource can refuse it.
//
// Acquiring the same name under [Lock.Context] gives another handle of the same hold, nested in this one; see
// [Client.Acquire]. The hold is given back by the release of the last handle, and each handle is released before the
// one it is nested in.
type Lock struct {
	hold  *hold
	outer *Lock              // the handle that this one is nested in, nil if none
	mode  *Mode              // guarded by hold.mu
	asked context.Context    // the one it was asked for under: its values go along
	life  *lifetime.Lifetime // of a nested handle, which ends with its release too; nil for another one

	// Guarded by hold.mu.
	inner    int           // handles nested in this one
	spent    bool          // released, or being released
	done     chan struct{} // closed when the release has been answered; made by who waits for it
	answered bool
	released error          // the answer
	ties     *lifetime.Ties // nil until With is asked for
}

// Name is what was asked for.
func (l *Lock) Name() string {
	if !l.made() {
		return ""
	}
	return l.hold.name
}

// Fence is the grant's fencing token: greater than that of every earlier grant of this name, so that whoever has seen
// a greater one can refuse this holder as late. It is the time of the grant in µs, or more. [Lock.Upgrade] is a new
// grant and raises it; a nested handle has the fence of its hold.
func (l *Lock) Fence() int64 {
	if !l.made() {
		return 0
	}
	return l.hold.lease.Fence()
}

// Mode is what the lock is held in, by this handle. For a nested handle that is what it asked for: the hold's own mode
// gives as much, or more.
func (l *Lock) Mode() Mode {
	if !l.made() {
		return Exclusive
	}
	l.hold.mu.Lock()
	defer l.hold.mu.Unlock()
	return *l.mode
}

// Context ends when the lock may no longer be trusted: [context.Cause] says [ErrLost], [ErrStolen], [ErrReleased] or
// [ErrClosed]. It ends before the lock can be anybody else's because of expiry or a steal, by a timer that does not
// depend on Redis answering. It carries the values of the context that the lock was acquired with, but not its
// cancellation; and it carries the hold, for nested acquires.
func (l *Lock) Context() context.Context {
	if !l.made() {
		return endedBy(errNoHandle)
	}
	if l.life == nil {
		return l.carry()
	}
	return l.life.Context(l.carry)
}

// With is ctx, but ends with the lock too; [context.Cause] says which came first. Like [Lock.Context] it carries the
// hold. Nothing is kept for it beyond the first time that it is asked for under a context, whatever values are put to that.
// Of a nil ctx it has ended, with [ErrInvalid].
func (l *Lock) With(ctx context.Context) context.Context {
	switch {
	case !l.made():
		return endedBy(errNoHandle)
	case ctx == nil:
		return endedBy(errNoContext)
	}
	l.hold.mu.Lock()
	if l.ties == nil {
		l.ties = &lifetime.Ties{}
	}
	ties := l.ties
	l.hold.mu.Unlock()
	return ties.With(l.carried(ctx), l.ended())
}

// under is With for a body: the lock is released after it, which unties the context.
func (l *Lock) under(ctx context.Context) context.Context {
	ctx, _ = lifetime.Ending(l.carried(ctx), l.ended())
	return ctx
}

// carried is ctx with the handle.
func (l *Lock) carried(ctx context.Context) context.Context {
	if innermost, _ := FromContext(ctx); innermost != l {
		ctx = &holding{Context: ctx, lock: l}
	}
	return ctx
}

// ended is the context that ends with the handle. Of what it was asked for under it carries nothing, unless it is nested.
func (l *Lock) ended() context.Context {
	if l.life == nil {
		return l.hold.life.Context(context.Background)
	}
	return l.life.Context(l.carry)
}

// within is With for a lock that the library takes for itself: nested acquires find it, [FromContext] does not.
func (l *Lock) within(ctx context.Context) context.Context {
	ctx, _ = lifetime.Ending(&holding{Context: ctx, lock: l, own: true}, l.ended())
	return ctx
}

// Err is nil while the lock is held, and what ended it afterwards: the cause of [Lock.Context]. It reads the clock, so
// it is right even where the timer that ends the context is late.
func (l *Lock) Err() error {
	if !l.made() {
		return errNoHandle
	}
	if l.life != nil {
		if err := l.life.Err(); err != nil {
			return err
		}
	}
	return l.hold.err()
}

// Release gives the lock back and hands it to the next in the queue. It sends one request, also when ctx has ended; the
// lock's context has ended when it is sent. After a hold of a few ms, of a lock that was free, it may be two, if others came to wait
// meanwhile. Where Redis does not answer, each is sent again for 5 s, and the last attempt takes as long as the timeouts of
// the Redis client.
//
// The answer is nil if the lock was this handle's to the end, [ErrNotHeld] if it was lost before, whatever for, and
// the network's error if Redis did not answer: the lock is then given back in the background, or lapses by its lease. It is
// [ErrUnknown] in the rare case that an attempt had no answer and nothing proves afterwards that it gave the lock back.
// A second Release has the same answer and sends nothing.
//
// The release of a nested handle sends nothing, and a second one is [ErrNotHeld]: it was meant for another handle.
// While handles are nested in this one, Release is [ErrOrder] and changes nothing.
func (l *Lock) Release(ctx context.Context) error {
	return wrapOp("release", l.Name(), l.finish(ctx, false, 0))
}

// ReleaseAfter is Release with a delay: the handle is spent now, as by Release, and the lock is free after d, up to
// [MaxLease]. Nobody needs to be there then: the hold stays as a lease of d that nobody renews, so the process may end.
// It cannot be stolen meanwhile, but an operator can break it. A d of 0 or less is Release.
//
// It is for work that must not be repeated too soon, such as a job that is over before a node whose clock is late
// begins it. The answers are those of Release, and nil means that nobody else has the lock before d is over, but for an
// operator's Break; where Redis did not answer, the lock lapses by its lease, or after d.
// For a nested handle it is [ErrOrder], and changes nothing: the hold is that of the handle which it is nested in.
func (l *Lock) ReleaseAfter(ctx context.Context, d time.Duration) error {
	if d > MaxLease {
		return wrapOp("release", l.Name(), invalid("ReleaseAfter(%v): at most %v", d, MaxLease))
	}
	return wrapOp("release", l.Name(), l.finish(ctx, false, d))
}

// finish is Release after some time; out of order, if that cannot be mended, the handle is spent all the same, and the
// hold is given back with the last one.
func (l *Lock) finish(ctx context.Context, anyOrder bool, after time.Duration) error {
	if !l.made() {
		return errNoHandle
	}
	told, err := l.end(ctx, anyOrder, after)
	l.hold.client.tellOf(told)
	return err
}

var errCutShort = errors.New("the release was cut short")

// end is finish of which the Observer is yet to be told: when all is done, for it may panic.
func (l *Lock) end(ctx context.Context, anyOrder bool, after time.Duration) (told Event, err error) {
	if ctx == nil {
		return told, errNoContext
	}
	h := l.hold
	if after > 0 && l.outer != nil {
		return told, fmt.Errorf("%w: the hold is that of the handle which this one is nested in", ErrOrder)
	}
	loss := h.loss()
	h.mu.Lock()
	if l.spent {
		return told, l.secondRelease()
	}
	var order error
	if l.inner > 0 && loss == nil {
		order = fmt.Errorf("%w: %d nested in this one not yet released", ErrOrder, l.inner)
		if !anyOrder {
			h.mu.Unlock()
			return told, order
		}
	}
	l.spend()
	last := h.handles == 0
	h.mu.Unlock()

	err = errCutShort // a hook of the Redis client may end this goroutine
	defer func() {
		if l.outer != nil {
			l.life.Finish(cmp.Or(h.life.Err(), ErrReleased))
		}
		h.mu.Lock()
		l.answer(err)
		h.mu.Unlock()
	}()
	switch {
	case last:
		told, err = h.giveBack(ctx, after)
	case loss != nil:
		err = fmt.Errorf("%w: %w", ErrNotHeld, loss)
	default:
		err = order
	}
	return told, err
}

// spend takes the handle off the hold. The caller holds hold.mu.
func (l *Lock) spend() {
	l.spent = true
	l.hold.handles--
	if *l.mode != Read {
		l.hold.strong--
	}
	if l.outer != nil {
		l.outer.inner--
	}
}

// answer notes what the release answered. The caller holds hold.mu.
func (l *Lock) answer(err error) {
	l.answered, l.released = true, err
	if l.done != nil {
		close(l.done)
	}
}

// again is the answer of a second release. The caller holds hold.mu, which it gives up.
func (l *Lock) secondRelease() error {
	if l.outer != nil {
		l.hold.mu.Unlock()
		return fmt.Errorf("%w: this handle was released before: %w", ErrNotHeld, ErrReleased)
	}
	if !l.answered && l.done == nil {
		l.done = make(chan struct{})
	}
	answered, done, err := l.answered, l.done, l.released
	l.hold.mu.Unlock()
	if answered {
		return err
	}
	<-done
	return l.released // written before done was closed
}
