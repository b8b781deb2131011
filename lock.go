package redislock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock/internal/lifetime"
)

// Lock is a held lock: the handle with which the holder uses it and gives it back. Any goroutine may call its methods.
//
// A handle counts itself as held only as long as the server cannot have given the lock to anybody else. That rests on the
// assumptions about clocks that docs/guarantees.md names. A process that was paused and goes on writing may still be too late. So
// send [Lock.Fence] with each write, and the resource can refuse a late one.
//
// Acquiring the same name under [Lock.Context] returns another handle of the same hold, nested in this one; see
// [Client.Acquire]. The release of the last handle gives the hold back. Each handle must be released before the handle that
// it is nested in.
type Lock struct {
	hold  *hold
	outer *Lock              // the handle that this one is nested in, nil if none
	mode  *Mode              // guarded by hold.mu
	asked context.Context    // the context of the acquire; the lock's contexts carry its values
	life  *lifetime.Lifetime // of a nested handle, which also ends with its own release; nil if it is not nested

	// Guarded by hold.mu.
	inner    int32 // handles nested in this one
	spent    bool  // released, or being released
	answered bool
	done     chan struct{}  // closed when the release has been answered; made by the first call that waits for it
	released error          // the answer
	ties     *lifetime.Ties // nil until With is asked for
}

// Name is the name that the lock was acquired by.
func (l *Lock) Name() string {
	if !l.made() {
		return ""
	}
	return l.hold.name
}

// Fence is the fencing token of the grant. It is greater than that of every earlier grant of this name, so a resource that
// has seen a greater one can refuse this holder as late. It is the time of the grant in µs, or more. [Lock.Upgrade] is a new
// grant and raises the fence. A nested handle has the fence of its hold.
func (l *Lock) Fence() int64 {
	if !l.made() {
		return 0
	}
	return l.hold.lease.Fence()
}

// Mode is the mode in which this handle holds the lock. For a nested handle it is the mode that the handle asked for; the
// mode of the hold itself gives as much, or more.
func (l *Lock) Mode() Mode {
	if !l.made() {
		return Exclusive
	}
	l.hold.mu.Lock()
	defer l.hold.mu.Unlock()
	return *l.mode
}

// Context ends when the lock may no longer be trusted. [context.Cause] is then [ErrLost], [ErrStolen], [ErrReleased] or
// [ErrClosed]. It ends before anybody else can get the lock because of expiry or a steal. The timer that ends it does not
// depend on an answer from Redis. The context carries the values of the context that the lock was acquired with, but not its
// cancellation. It also carries the hold, for nested acquires.
func (l *Lock) Context() context.Context {
	if !l.made() {
		return lifetime.Ended(errNoHandle)
	}
	if l.life == nil {
		return l.carry()
	}
	return l.life.Context(l.carry)
}

// With returns ctx, but the result also ends with the lock; [context.Cause] says which of them ended first. Like
// [Lock.Context] it carries the hold. The Lock keeps something in memory only for the first call under a context, whatever
// values are added to that context later. For a nil ctx the result has ended, with [ErrInvalid].
func (l *Lock) With(ctx context.Context) context.Context {
	switch {
	case !l.made():
		return lifetime.Ended(errNoHandle)
	case ctx == nil:
		return lifetime.Ended(errNoContext)
	}
	l.hold.mu.Lock()
	if l.ties == nil {
		l.ties = &lifetime.Ties{}
	}
	ties := l.ties
	l.hold.mu.Unlock()
	return ties.With(l.carried(ctx), l.ended())
}

// under is With for a body. The lock is released after the body, and that unties the context.
func (l *Lock) under(ctx context.Context) context.Context {
	ctx, _ = lifetime.Ending(l.carried(ctx), l.ended())
	return ctx
}

// carried is ctx with the handle in it.
func (l *Lock) carried(ctx context.Context) context.Context {
	if innermost, _ := FromContext(ctx); innermost != l {
		ctx = &holding{Context: ctx, lock: l}
	}
	return ctx
}

// ended is the context that ends with the handle. It carries nothing of the context that the lock was asked for under, unless
// the handle is nested.
func (l *Lock) ended() context.Context {
	if l.life == nil {
		return l.hold.life.Context(context.Background)
	}
	return l.life.Context(l.carry)
}

// within is With for a lock that the library takes for itself: nested acquires find the lock, [FromContext] does not.
func (l *Lock) within(ctx context.Context) context.Context {
	ctx, _ = lifetime.Ending(&holding{Context: ctx, lock: l, own: true}, l.ended())
	return ctx
}

// Err is nil while the lock is held. Afterwards it is what ended the hold, as the cause of [Lock.Context] is. Err reads the
// clock, so it is right even where the timer that ends the context is late.
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

// Release gives the lock back; Redis hands it to the next waiter in the queue. It sends one request, also when ctx has ended.
// The lock's context has ended before the request is sent. After a hold of a few ms of a lock that was free, Release may send
// two requests, if others came to wait meanwhile. If Redis does not answer, Release sends each request again for 5 s, and the
// last attempt takes as long as the timeouts of the Redis client.
//
// Release returns nil if the lock was this handle's to the end. It returns [ErrNotHeld] if the lock was lost before, for
// whatever reason. It returns the network's error if Redis did not answer: the lock is then given back in the background, or
// expires with its lease. In rare cases it returns [ErrUnknown]: an attempt had no answer, and nothing proves afterwards that
// it gave the lock back. A second Release returns the same answer and sends nothing.
//
// The release of a nested handle sends nothing. Its second release is [ErrNotHeld], because it was meant for another handle.
// While handles are nested in this one, Release returns [ErrOrder] and changes nothing.
func (l *Lock) Release(ctx context.Context) error {
	return wrapOp("release", l.Name(), l.finish(ctx, false, 0))
}

// ReleaseAfter is Release with a delay. The handle is spent at once, as by Release, and the lock is free after d, which is at
// most [MaxLease]. The process may end before that: the hold stays for d, and nobody renews it. Nobody can steal it meanwhile,
// but an operator can break it. With a d of 0 or less ReleaseAfter is Release.
//
// It is for work that must not be repeated too soon, such as a job that is over before a node whose clock is late begins it. Its
// errors are those of Release. After nil nobody else has the lock before d is over, unless an operator breaks it. If Redis did
// not answer, the lock expires with its lease, or after d. For a nested handle ReleaseAfter returns [ErrOrder] and changes
// nothing, because the hold belongs to the handle which it is nested in.
func (l *Lock) ReleaseAfter(ctx context.Context, d time.Duration) error {
	if d > MaxLease {
		return wrapOp("release", l.Name(), invalid("ReleaseAfter(%v): at most %v", d, MaxLease))
	}
	return wrapOp("release", l.Name(), l.finish(ctx, false, d))
}

// finish is Release after some time. With anyOrder it spends the handle even if the order is wrong, and the release of the
// last handle gives the hold back.
func (l *Lock) finish(ctx context.Context, anyOrder bool, after time.Duration) error {
	if !l.made() {
		return errNoHandle
	}
	told, err := l.end(ctx, anyOrder, after)
	l.hold.client.tellOf(told)
	return err
}

var errCutShort = errors.New("the release was cut short")

// end is finish without the call of the Observer. The caller tells the Observer when everything is done, for the Observer may
// panic.
func (l *Lock) end(ctx context.Context, anyOrder bool, after time.Duration) (told Event, err error) {
	if ctx == nil {
		return told, errNoContext
	}
	h := l.hold
	switch {
	case after <= 0:
	case l.outer != nil:
		return told, fmt.Errorf("%w: this handle is nested in another one", ErrOrder)
	case h.together():
		return told, errTogether
	}
	loss := h.loss()
	h.mu.Lock()
	if l.spent {
		return told, l.secondRelease()
	}
	var order error
	if l.inner > 0 && loss == nil {
		order = fmt.Errorf("%w: handles nested in this one are not released yet: %d", ErrOrder, l.inner)
		if !anyOrder {
			h.mu.Unlock()
			return told, order
		}
	}
	l.spend()
	last := h.handles == 0 || l.outer == nil && h.turn != nil && h.turn.reads()
	h.mu.Unlock()

	err = errCutShort // a hook of the Redis client may end this goroutine
	defer func() {
		if l.life != nil {
			l.life.Finish(cmp.Or(h.life.Err(), ErrReleased))
		}
		h.mu.Lock()
		l.answer(err)
		h.mu.Unlock()
	}()
	switch {
	case last:
		told, err = h.giveBack(ctx, l, after)
		err = cmp.Or(err, order)
	case loss != nil:
		err = fmt.Errorf("%w: %w", ErrNotHeld, loss)
	default:
		err = order
	}
	return told, err
}

// spend takes the handle off the hold. The caller has locked hold.mu.
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

// answer notes the result of the release. The caller has locked hold.mu.
func (l *Lock) answer(err error) {
	l.answered, l.released = true, err
	if l.done != nil {
		close(l.done)
	}
}

// secondRelease is the answer of a second release. The caller has locked hold.mu; secondRelease unlocks it.
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
