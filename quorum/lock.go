package quorum

import (
	"context"
	"fmt"
	"time"

	"example.com/redislock"
	"example.com/redislock/fence"
	"example.com/redislock/internal/lifetime"
)

// Lock is a held lock: the handle with which the holder uses it and gives it back. Any goroutine may call its methods.
//
// It counts as held only while a majority of the nodes has it, each until the bound that it would have as a lock of that node
// alone. So it ends before another caller can have a majority, under the assumptions of docs/guarantees.md. A process that was
// paused may still write too late: send [Lock.Fence] with each write.
type Lock struct {
	hold  *hold
	outer *Lock           // the handle that this one is nested in, nil if none
	asked context.Context // that of the acquire; the lock's contexts carry its values
	life  *lifetime.Lifetime

	// Guarded by hold.mu.
	inner int // handles nested in this one that were not released
	spent bool
	done  chan struct{} // closed when the release has come to an end; nil before it began
	err   error         // what it came to
	ties  lifetime.Ties
}

func newLock(h *hold, outer *Lock, asked context.Context) *Lock {
	l := &Lock{hold: h, outer: outer, asked: asked, life: &h.life}
	if outer != nil {
		l.life = &lifetime.Lifetime{}
	}
	return l
}

var errNoHandle = invalid("a handle that no acquire has returned")

func (l *Lock) made() bool { return l != nil && l.hold != nil }

// Name is the name that the lock was acquired by.
func (l *Lock) Name() string {
	if !l.made() {
		return ""
	}
	return l.hold.name
}

// Fence is the fencing token of the grant. It is greater than that of every earlier grant of this name by a quorum over the same
// nodes, under the assumptions of docs/guarantees.md.
func (l *Lock) Fence() int64 {
	if !l.made() {
		return 0
	}
	l.hold.mu.Lock()
	defer l.hold.mu.Unlock()
	return l.hold.fence
}

// Context ends when the lock may no longer be trusted; [context.Cause] is then [redislock.ErrLost], [redislock.ErrStolen] or
// [redislock.ErrReleased]. It ends before the bounds of so many votes are over that the others are no majority. The timers that
// end it do not depend on an answer of any node. It carries the values of the context that the lock was acquired with, but not
// its cancellation, and the lock and its fence ([FromContext], and those of package fence).
func (l *Lock) Context() context.Context {
	if !l.made() {
		return lifetime.Ended(errNoHandle)
	}
	return l.life.Context(func() context.Context {
		ended := context.Background()
		if l.outer != nil {
			ended = l.hold.life.Context(context.Background)
		}
		return lifetime.Carrying(ended, l.carried(context.WithoutCancel(l.asked)))
	})
}

// With returns ctx, but the result also ends with the lock; [context.Cause] says which of them ended first. Like [Lock.Context] it
// carries the lock. For a nil ctx the result has ended, with [redislock.ErrInvalid].
func (l *Lock) With(ctx context.Context) context.Context {
	switch {
	case !l.made():
		return lifetime.Ended(errNoHandle)
	case ctx == nil:
		return lifetime.Ended(invalid("a nil context"))
	}
	return l.ties.With(l.carried(ctx), l.Context())
}

// under is With for a body. The lock is released after the body, and that unties the context.
func (l *Lock) under(ctx context.Context) context.Context {
	ctx, _ = lifetime.Ending(l.carried(ctx), l.Context())
	return ctx
}

// carried is ctx with the handle and its fence in it.
func (l *Lock) carried(ctx context.Context) context.Context {
	if innermost, _ := FromContext(ctx); innermost == l {
		return ctx
	}
	return &carrier{fence.NewContextOf(ctx, fence.Fence{Lock: l.hold.name, Number: l.Fence()}), l}
}

// Err is nil while the lock is held. Afterwards it is what ended it, as the cause of [Lock.Context] is. Err reads the clock, so
// it is right even where a timer is late.
func (l *Lock) Err() error {
	if !l.made() {
		return errNoHandle
	}
	if err := l.life.Err(); err != nil {
		return err
	}
	return l.hold.err()
}

// Release gives the lock back on every node, even on nodes that never answered. It returns when a majority has taken it back; the
// others are told in the background, each within the time of a release. It does so also when ctx has ended.
//
// Release returns nil if a majority had the lock to the end. It returns [redislock.ErrNotHeld] if it was lost before. Otherwise
// the error names the nodes, with the error of each. Votes that could not be given back are given back in the background, or
// lapse with their leases. A second Release returns the same answer. The release of a nested handle sends nothing; while handles
// are nested in this one, Release returns [redislock.ErrOrder] and changes nothing.
func (l *Lock) Release(ctx context.Context) error {
	return wrap("release", l.Name(), l.finish(ctx, false))
}

// finish is Release; with anyOrder it spends the handle even if others are nested in it.
func (l *Lock) finish(ctx context.Context, anyOrder bool) error {
	switch {
	case !l.made():
		return errNoHandle
	case ctx == nil:
		return invalid("a nil context")
	}
	h := l.hold
	loss := h.err()
	h.mu.Lock()
	if l.spent {
		done := l.done
		h.mu.Unlock()
		<-done
		if l.outer != nil && l.err == nil {
			return redislock.ErrNotHeld // it was meant for another handle
		}
		return l.err
	}
	var order error
	if l.inner > 0 && loss == nil {
		order = fmt.Errorf("%w: handles nested in this one are not released yet: %d", redislock.ErrOrder, l.inner)
		if !anyOrder {
			h.mu.Unlock()
			return order
		}
	}
	l.spent, l.done = true, make(chan struct{})
	h.handles--
	last := h.handles == 0
	if l.outer != nil {
		l.outer.inner--
	}
	h.mu.Unlock()
	defer close(l.done)
	switch {
	case last:
		l.err = h.release()
	case loss != nil:
		l.err = fmt.Errorf("%w: %w", redislock.ErrNotHeld, loss)
	default:
		l.err = order
	}
	if l.outer != nil {
		l.life.Finish(redislock.ErrReleased)
	}
	return l.err
}

// release gives everything back.
func (h *hold) release() error {
	loss := h.err()
	h.mu.Lock()
	if h.phase != holding {
		h.mu.Unlock()
		if loss == nil {
			loss = h.life.Err()
		}
		return fmt.Errorf("%w: %w", redislock.ErrNotHeld, loss)
	}
	type answer struct {
		i   int
		err error
	}
	n, answers := h.count(), make(chan answer, len(h.votes))
	h.end(redislock.ErrReleased, func(i int, err error) { answers <- answer{i, err} })
	h.mu.Unlock()
	good, said := 0, make([]error, len(h.votes))
	for range n {
		a := <-answers
		if said[a.i] = a.err; a.err == nil {
			good++
		}
		if good == h.locker.majority { // the others are told in the background
			return nil
		}
	}
	return &nodesError{"no majority has taken it back: " + h.locker.said(said, "released"), withoutNil(said)}
}

func withoutNil(all []error) (some []error) {
	for _, err := range all {
		if err != nil {
			some = append(some, err)
		}
	}
	return some
}

// NodeState is the state of a lock on one node.
type NodeState struct {
	// Addr is where the node is.
	Addr string
	// Held says that it has the lock, since Since and until Until by the local clock, unless that is renewed.
	Held         bool
	Since, Until time.Time
	// Err is why the node does not have the vote. It is also nil if the node has not answered yet.
	Err error
}

// Nodes tells which nodes have the lock, in the order of the Clients of [New].
func (l *Lock) Nodes() []NodeState {
	if !l.made() {
		return nil
	}
	h := l.hold
	locks, _ := h.locks()
	all := make([]NodeState, len(h.votes))
	held := h.err() == nil
	for i, of := range locks[:len(all)] {
		all[i].Addr = h.locker.nodes[i].addr
		h.mu.Lock()
		all[i].Err = h.votes[i].why
		h.mu.Unlock()
		if !held || of == nil {
			continue
		}
		if all[i].Err = of.Err(); all[i].Err == nil {
			all[i].Held = true
			all[i].Since, all[i].Until = root.Held(of)
		}
	}
	return all
}

// nest returns another handle, if ctx carries a lock of that name.
func (q *Locker) nest(ctx context.Context, name string, strict bool) (*Lock, bool, error) {
	outer, _ := ctx.Value(heldKey{q, name}).(*Lock)
	for outer != nil {
		h := outer.hold
		if h.err() != nil {
			return nil, false, nil
		}
		h.mu.Lock()
		if outer.spent {
			h.mu.Unlock()
			outer = outer.outer
			continue
		}
		defer h.mu.Unlock()
		if h.strict || strict {
			return nil, true, redislock.ErrDeadlock
		}
		h.handles++
		outer.inner++
		return newLock(h, outer, ctx), true, nil
	}
	return nil, false, nil
}

// FromContext returns the innermost lock of a quorum whose context is ctx or a parent of ctx: that of [Lock.Context] and
// [Lock.With], and that of the body of [Locker.Do]. It may have been lost or released meanwhile; [Lock.Err] tells. Package fence
// finds its fence in ctx.
func FromContext(ctx context.Context) (*Lock, bool) {
	if ctx == nil {
		return nil, false
	}
	l, ok := ctx.Value(innermostKey{}).(*Lock)
	return l, ok
}

// heldKey finds the handle of a name by a Locker in a context; innermostKey the innermost of any.
type heldKey struct {
	locker *Locker
	name   string
}

type innermostKey struct{}

// carrier is a context that carries a handle.
type carrier struct {
	context.Context
	lock *Lock
}

func (c *carrier) Value(key any) any {
	switch k := key.(type) {
	case heldKey:
		if k.locker == c.lock.hold.locker && k.name == c.lock.hold.name {
			return c.lock
		}
	case innermostKey:
		return c.lock
	}
	return c.Context.Value(key)
}
