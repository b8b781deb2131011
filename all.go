package redislock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/lifetime"
)

// Locks are several locks that are held together: the handle of [Client.AcquireAll]. Its methods may be called from any
// goroutine.
type Locks struct {
	client *Client
	names  []string // sorted, each once
	locks  []*Lock  // of the names, nil where not taken yet; AcquireAll alone writes them, before anybody else has the handle
	ctx    context.Context
	end    context.CancelCauseFunc
	ties   lifetime.Ties

	mu       sync.Mutex
	spent    bool
	released error // the answer
}

// AcquireAll takes the locks of all these names, or none. They are taken one after the other in the order of their
// names, whatever order they are given in, so callers that take theirs by AcquireAll do not deadlock; a name that is
// given twice is taken once. Those that are held are renewed while the others are waited for. The locks may be on
// different nodes of a cluster.
//
// The options count for each lock, but for [WithWait], which bounds the whole: what has not been waited for when it is
// over must be free, and with WithWait(0) all must be free at once. Under [WithoutRenewal] the lease of the first runs
// while the last is waited for.
//
// A name of which ctx carries a hold is re-entered, as by [Client.Acquire], and before the others are waited for. That
// hold is outside the order: two callers that each hold one of the names and ask for both wait for each other.
//
// An error leaves nothing behind: what was taken is given back before AcquireAll returns, as [Lock.Release] does it, also
// when ctx has ended. It is that of the acquire that failed, with its name: [ErrHeld] (with the context's own error too,
// if that ended the wait), [ErrDeadlock], [ErrMode], [ErrNotReplicated], [ErrClosed], [ErrPermission], [ErrDamaged], or
// what Redis or the network said. It is [ErrLost] if one lock was lost while others were waited for, which ends the waiting. It is [ErrInvalid], and nothing
// was sent, if there are no names or any name or option cannot work; also for a [WithFenceFloor] that is too far ahead of the
// server's clock, once that has said so.
func (c *Client) AcquireAll(ctx context.Context, names []string, opts ...Option) (*Locks, error) {
	if err := c.called(ctx); err != nil {
		return nil, fmt.Errorf("redislock: acquire all: %w", err)
	}
	all := &Locks{client: c, names: slices.Compact(slices.Sorted(slices.Values(names)))}
	all.locks = make([]*Lock, len(all.names))
	if len(names) == 0 {
		return nil, fmt.Errorf("redislock: acquire all: %w", invalid("no names"))
	}
	var s settings
	for _, name := range all.names {
		s = c.defaults
		if err := c.accept(ctx, name, opts, &s); err != nil {
			return nil, wrapOp("acquire all", name, err)
		}
	}

	all.ctx, all.end = context.WithCancelCause(&together{context.WithoutCancel(ctx), all})
	taken := false
	defer func() {
		if !taken { // what is lost, or cannot be given back now, is not the caller's any more
			_ = all.finish(ctx)
		}
	}()
	if err := all.take(ctx, &s, opts); err != nil {
		return nil, err
	}
	taken = true
	return all, nil
}

// take takes one lock after the other.
func (a *Locks) take(ctx context.Context, s *settings, opts []Option) error {
	for i, name := range a.names { // it cannot wait, and sends nothing: what can never be is known before all else
		l, nested, err := a.client.nest(ctx, name, s)
		if err != nil {
			return wrapOp("acquire all", name, err)
		}
		if nested {
			a.keep(i, l)
		}
	}
	asked := time.Now()
	waiting, untie := lifetime.Ending(&together{ctx, a}, a.ctx) // there is no use in waiting for more when one is lost
	defer untie()
	for i, name := range a.names {
		if a.locks[i] != nil {
			continue
		}
		left := opts
		if s.waitSet {
			left = append(opts[:len(opts):len(opts)], WithWait(max(s.wait-clock.Elapsed(asked), 0)))
		}
		l, err := a.client.acquire(waiting, name, left)
		if loss := context.Cause(a.ctx); err != nil && loss != nil && context.Cause(waiting) == loss {
			break // it is the error, not that the waiting was cut short
		}
		if err != nil {
			return wrapOp("acquire all", name, err)
		}
		a.keep(i, l)
	}
	if loss := a.Err(); loss != nil {
		return fmt.Errorf("redislock: acquire all: %w", loss)
	}
	return nil
}

// keep takes a lock over into the handle.
func (a *Locks) keep(i int, l *Lock) {
	a.locks[i] = l
	context.AfterFunc(l.Context(), func() { a.lose(l) })
}

// lose ends the context with what ended one lock's.
func (a *Locks) lose(l *Lock) { a.end(fmt.Errorf("%q: %w", l.Name(), l.Err())) }

// Names are the names of the locks, sorted, each once.
func (a *Locks) Names() []string {
	if !a.made() {
		return nil
	}
	return slices.Clone(a.names)
}

// Fence is [Lock.Fence] of the lock of that name, 0 if it is not among them.
func (a *Locks) Fence(name string) int64 {
	if !a.made() {
		return 0
	}
	if l := a.lock(name); l != nil {
		return l.Fence()
	}
	return 0
}

// Fences are the fences of all, by name.
func (a *Locks) Fences() map[string]int64 {
	if !a.made() {
		return map[string]int64{}
	}
	fences := make(map[string]int64, len(a.names))
	for i, name := range a.names {
		fences[name] = a.locks[i].Fence()
	}
	return fences
}

func (a *Locks) lock(name string) *Lock {
	if i, found := slices.BinarySearch(a.names, name); found {
		return a.locks[i]
	}
	return nil
}

// Context ends when any of the locks may no longer be trusted: [context.Cause] is that of the first one's
// [Lock.Context], with its name, or [ErrReleased]. The others are held all the same, until [Locks.Release]. It carries
// the values of the context that the locks were acquired with, but not its cancellation; and it carries the holds, for
// nested acquires of any of the names.
func (a *Locks) Context() context.Context {
	if !a.made() {
		return endedBy(errNoHandle)
	}
	return a.ctx
}

// With is ctx, but ends when [Locks.Context] does, too; [context.Cause] says which came first. It carries the holds.
func (a *Locks) With(ctx context.Context) context.Context {
	switch {
	case !a.made():
		return endedBy(errNoHandle)
	case ctx == nil:
		return endedBy(errNoContext)
	}
	return a.ties.With(&together{ctx, a}, a.ctx)
}

// Err is nil while all the locks are held, and what ended it afterwards: the cause of [Locks.Context]. It reads the
// clock, so it is right even where a timer is late.
func (a *Locks) Err() error {
	if !a.made() {
		return errNoHandle
	}
	if context.Cause(a.ctx) == nil {
		for _, l := range a.locks {
			if l != nil && l.Err() != nil {
				a.lose(l)
				break
			}
		}
	}
	return context.Cause(a.ctx)
}

// Release gives all the locks back, the last first, each as [Lock.Release] does: also when ctx has ended, and also when
// another of them was lost or could not be given back. Where Redis does not answer, that costs the time of two
// releases, however many locks there are.
//
// The answer is nil if all were this handle's to the end. Otherwise it joins what went wrong with each: [ErrNotHeld] and
// [ErrLost] if it was lost before, or the network's error if Redis did not answer. A second Release has the same
// answer and sends nothing.
//
// While handles are nested in any of the locks, Release is [ErrOrder] and changes nothing.
func (a *Locks) Release(ctx context.Context) error {
	switch {
	case !a.made():
		return wrapOp("release", "", errNoHandle)
	case ctx == nil:
		return wrapOp("release", "", errNoContext)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.spent {
		return a.released
	}
	for _, l := range a.locks {
		if n := l.nesting(); n > 0 {
			return wrapOp("release", l.Name(), fmt.Errorf("%w: %d nested in this one not yet released", ErrOrder, n))
		}
	}
	a.spent, a.released = true, a.finish(ctx)
	return a.released
}

// nesting is how many handles are nested in this one, 0 if their hold is lost.
func (l *Lock) nesting() int {
	loss := l.hold.loss()
	l.hold.mu.Lock()
	defer l.hold.mu.Unlock()
	if loss != nil {
		return 0
	}
	return l.inner
}

// finish gives back what was taken, also in the wrong order.
func (a *Locks) finish(ctx context.Context) error {
	_ = a.Err() // a loss that no timer has told yet is what ended them
	a.end(ErrReleased)
	var others sync.WaitGroup
	errs, told := make([]error, len(a.locks)), make([]Event, len(a.locks))
	silent := false
	for i, l := range slices.Backward(a.locks) {
		if l == nil {
			continue
		}
		giveBack := func() {
			var err error
			told[i], err = l.end(ctx, true, 0)
			errs[i] = wrapOp("release", l.Name(), lossOf(err))
		}
		if silent { // one after the other would take as many times 5 s
			others.Go(giveBack)
			continue
		}
		giveBack()
		silent = errs[i] != nil && !errors.Is(errs[i], ErrNotHeld) && !errors.Is(errs[i], ErrOrder)
	}
	others.Wait()
	for _, e := range slices.Backward(told) { // when all are given back: the Observer may panic
		a.client.tellOf(e)
	}
	return errors.Join(errs...)
}

// lossOf is the answer of a release after a body that was guarded. Where the server had forgotten the hold before anybody
// here noticed, that is an ErrLost too. What the body gave back or handed off by itself is no error.
func lossOf(released error) error {
	if errors.Is(released, ErrReleased) {
		return nil
	}
	if errors.Is(released, ErrNotHeld) && !errors.Is(released, ErrLost) && !errors.Is(released, ErrClosed) {
		return fmt.Errorf("%w: %w", ErrLost, released)
	}
	return released
}

// DoAll is [Client.Do] under the locks of all these names, taken as by [Client.AcquireAll]: fn runs under
// [Locks.With] of ctx, which ends when any of them is lost, and such a loss is in the error even where fn returned nil.
func (c *Client) DoAll(ctx context.Context, names []string, fn func(context.Context) error, opts ...Option) (err error) {
	if err := c.called(ctx); err != nil {
		return fmt.Errorf("redislock: do all: %w", err)
	}
	if fn == nil {
		return fmt.Errorf("redislock: do all: %w", invalid("a nil function"))
	}
	all, err := c.AcquireAll(ctx, names, opts...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.finish(ctx)) }() // also when fn panics
	under, untie := lifetime.Ending(&together{ctx, all}, all.ctx)
	defer untie()
	return fn(under)
}

// together is a context that carries the holds of several locks.
type together struct {
	context.Context
	all *Locks
}

func (t *together) Value(key any) any {
	switch k := key.(type) {
	case heldKey:
		if k.client != t.all.client {
			break
		}
		if l := t.all.lock(k.name); l != nil {
			return l
		}
	case innermostKey:
		return t
	}
	return t.Context.Value(key)
}

func (t *together) carries() []*Lock {
	return slices.DeleteFunc(slices.Clone(t.all.locks), func(l *Lock) bool { return l == nil })
}

func (t *together) outer() context.Context { return t.Context }
