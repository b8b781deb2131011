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

// Locks are several locks that are held together: the handle that [Client.AcquireAll] returns. Any goroutine may call its
// methods.
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

// AcquireAll takes the locks of all these names, or none. It takes one after the other in the order of their names, whatever
// order they are given in. So callers that use AcquireAll do not deadlock with each other. Of more than 8 names it asks for
// several at a time, without waiting, so 1,000 that are free take a few round trips. If a lock is held by another caller,
// AcquireAll first gives back the locks with later names, and only then waits. Other callers may find these locks held for that
// moment. A name that is given twice is taken once. While AcquireAll waits for one lock, the Client renews those that it holds.
// The locks may be on different nodes of a cluster.
//
// The options count for each lock. Only [WithWait] bounds the whole: when that time is over, the locks that are still missing
// must be free, and with WithWait(0) all must be free at once. Under [WithoutRenewal] the lease of the first lock runs while
// AcquireAll waits for the last.
//
// If ctx carries a hold of one of the names, AcquireAll re-enters that hold, as [Client.Acquire] does, before it waits for
// the others. That hold is outside the order: two callers that each hold one of the names and ask for both wait for each
// other.
//
// After an error nothing is left behind: AcquireAll gives back what it took before it returns, as [Lock.Release] does, also
// when ctx has ended. The error is that of the acquire that failed, with its name: [ErrHeld] (with the context's own error
// too, if that ended the wait), [ErrDeadlock], [ErrMode], [ErrNotReplicated], [ErrClosed], [ErrPermission], [ErrDamaged], or
// what Redis or the network said. It is [ErrLost] if one lock was lost while AcquireAll waited for others; that ends the
// waiting. It is [ErrInvalid], and nothing was sent, if there are no names or if a name or option cannot work. It is also
// [ErrInvalid] for a [WithFenceFloor] that is too far ahead of the server's clock, after the server has said so.
func (c *Client) AcquireAll(ctx context.Context, names []string, opts ...Option) (*Locks, error) {
	if err := c.called(ctx); err != nil {
		return nil, fmt.Errorf("redislock: acquire all: %w", err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("redislock: acquire all: %w", invalid("no names"))
	}
	each := func(int) []Option { return opts }
	return c.acquireEach(ctx, "acquire all", slices.Compact(slices.Sorted(slices.Values(names))), each)
}

// acquireEach takes the locks of these names, which are sorted, each once, or none; each are the options of one of them. op is
// for errors.
func (c *Client) acquireEach(ctx context.Context, op string, names []string, each func(int) []Option) (*Locks, error) {
	all := &Locks{client: c, names: names, locks: make([]*Lock, len(names))}
	accepted := make([]settings, len(names))
	for i, name := range names {
		accepted[i] = c.defaults
		if err := c.accept(ctx, name, each(i), &accepted[i]); err != nil {
			return nil, wrapOp(op, name, err)
		}
	}

	all.ctx, all.end = context.WithCancelCause(&together{context.WithoutCancel(ctx), all})
	taken := false
	defer func() {
		if !taken { // a lock that is lost, or that cannot be given back now, is not the caller's any more
			_ = all.finish(ctx)
		}
	}()
	if err := all.take(ctx, op, accepted, each); err != nil {
		return nil, err
	}
	taken = true
	return all, nil
}

// take takes one lock after the other.
func (a *Locks) take(ctx context.Context, op string, accepted []settings, each func(int) []Option) error {
	for i, name := range a.names { // nest does not wait and sends nothing, so an impossible request fails before all else
		l, nested, err := a.client.nest(ctx, name, &accepted[i])
		if err != nil {
			return wrapOp(op, name, err)
		}
		if nested {
			a.keep(i, l)
		}
	}
	s := &accepted[0] // what else there is is the same for all
	asked := time.Now()
	waiting, untie := lifetime.Ending(&together{ctx, a}, a.ctx) // when one lock is lost, waiting for more is useless
	defer untie()
	size := fewNames
	for i := 0; i < len(a.names); i++ {
		if a.locks[i] != nil {
			continue
		}
		if n := min(size, len(a.names)-i); a.many(s) && n > 1 {
			taken, err := a.takeTogether(waiting, i, n, each)
			if loss := context.Cause(a.ctx); err != nil && loss != nil && context.Cause(waiting) == loss {
				break
			}
			if err != nil {
				return wrapOp(op, a.names[i+taken], err)
			}
			if i += taken; taken == n {
				size = min(2*size, maxTogether)
				i--
				continue
			}
			size = fewNames // somebody has the next one: wait for it
		}
		name, left := a.names[i], append(slices.Clip(each(i)), strictly)
		if s.waitSet {
			left = append(left, WithWait(max(s.wait-clock.Elapsed(asked), 0)))
		}
		l, err := a.client.acquire(waiting, name, left)
		if loss := context.Cause(a.ctx); err != nil && loss != nil && context.Cause(waiting) == loss {
			break // the loss is the error, not that it ended the waiting
		}
		if err != nil {
			return wrapOp(op, name, err)
		}
		a.keep(i, l)
	}
	if loss := a.Err(); loss != nil {
		return fmt.Errorf("redislock: %s: %w", op, loss)
	}
	return nil
}

// keep puts a lock into the handle.
func (a *Locks) keep(i int, l *Lock) {
	a.locks[i] = l
	context.AfterFunc(l.Context(), func() { a.lose(l) })
}

// lose ends the context with the cause that ended one lock.
func (a *Locks) lose(l *Lock) { a.end(fmt.Errorf("%q: %w", l.Name(), l.Err())) }

// Names are the names of the locks, sorted, each once.
func (a *Locks) Names() []string {
	if !a.made() {
		return nil
	}
	return slices.Clone(a.names)
}

// Fence is [Lock.Fence] of the lock of that name, or 0 if the name is not among them.
func (a *Locks) Fence(name string) int64 {
	if !a.made() {
		return 0
	}
	if l := a.lock(name); l != nil {
		return l.Fence()
	}
	return 0
}

// Fences are the fences of all the locks, by name.
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

// Context ends when any of the locks may no longer be trusted. [context.Cause] is then the cause of the first such lock's
// [Lock.Context], with its name, or [ErrReleased]. The other locks are held until [Locks.Release]. The context carries the
// values of the context that the locks were acquired with, but not its cancellation. It also carries the holds, for nested
// acquires of any of the names.
func (a *Locks) Context() context.Context {
	if !a.made() {
		return lifetime.Ended(errNoHandle)
	}
	return a.ctx
}

// With returns ctx, but the result also ends when [Locks.Context] does; [context.Cause] says which of them ended first. It
// carries the holds.
func (a *Locks) With(ctx context.Context) context.Context {
	switch {
	case !a.made():
		return lifetime.Ended(errNoHandle)
	case ctx == nil:
		return lifetime.Ended(errNoContext)
	}
	return a.ties.With(&together{ctx, a}, a.ctx)
}

// Err is nil while all the locks are held. Afterwards it is what ended that: the cause of [Locks.Context]. Err reads the
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

// Release gives all the locks back, the last first, and of more than 8 the others together, each as [Lock.Release] does. It does
// so also when ctx has ended, and when another of the locks was lost or could not be given back. If Redis does not answer, that
// costs the time of two releases, however many locks there are.
//
// Release returns nil if all the locks were this handle's to the end. Otherwise it joins the errors of all: [ErrNotHeld] and
// [ErrLost] for a lock that was lost before, or the network's error if Redis did not answer. A second Release returns the
// same answer and sends nothing.
//
// While handles are nested in any of the locks, Release returns [ErrOrder] and changes nothing.
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
			return wrapOp("release", l.Name(), fmt.Errorf("%w: handles nested in this one are not released yet: %d", ErrOrder, n))
		}
	}
	a.spent, a.released = true, a.finish(ctx)
	return a.released
}

// nesting is how many handles are nested in this one, or 0 if their hold is lost.
func (l *Lock) nesting() int {
	loss := l.hold.loss()
	l.hold.mu.Lock()
	defer l.hold.mu.Unlock()
	if loss != nil {
		return 0
	}
	return int(l.inner)
}

// finish gives back all that was taken, even if the order is wrong.
func (a *Locks) finish(ctx context.Context) error {
	_ = a.Err() // a loss that no timer has reported yet is what ended them
	a.end(ErrReleased)
	var others sync.WaitGroup
	errs, told := make([]error, len(a.locks)), make([]Event, len(a.locks))
	silent, asked := false, false
	for i, l := range slices.Backward(a.locks) {
		if l == nil {
			continue
		}
		giveBack := func() {
			var err error
			told[i], err = l.end(ctx, true, 0)
			errs[i] = wrapOp("release", l.Name(), lossOf(err))
		}
		if silent || asked && len(a.locks) > fewNames { // one after the other would take 5 s for each, or as many round trips
			others.Go(giveBack)
			continue
		}
		asked = true
		giveBack()
		silent = errs[i] != nil && !errors.Is(errs[i], ErrNotHeld) && !errors.Is(errs[i], ErrOrder)
	}
	others.Wait()
	for _, e := range slices.Backward(told) { // only when all are given back, for the Observer may panic
		a.client.tellOf(e)
	}
	return errors.Join(errs...)
}

// lossOf is the error of a release after a guarded body. If the server had forgotten the hold before anybody here noticed,
// that is an ErrLost too. A lock that the body gave back or handed off by itself is no error.
func lossOf(released error) error {
	if errors.Is(released, ErrReleased) {
		return nil
	}
	if errors.Is(released, ErrNotHeld) && !errors.Is(released, ErrLost) && !errors.Is(released, ErrClosed) {
		return fmt.Errorf("%w: %w", ErrLost, released)
	}
	return released
}

// DoAll is [Client.Do] under the locks of all these names, taken as [Client.AcquireAll] takes them. The context of fn is
// [Locks.With] of ctx: it ends when any of the locks is lost. Such a loss is in the error even where fn returned nil.
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
	defer func() { err = both(err, all.finish(ctx)) }() // also when fn panics
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
