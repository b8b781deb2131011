package redislock

import (
	"context"
)

// FromContext returns the innermost lock whose context is ctx or a parent of ctx. Such contexts are those of [Lock.Context]
// and [Lock.With], and those of the bodies of [Client.Do], Once, Cron, Elect and the like. So a body can send the fence along
// without being handed the lock. The lock may have been lost or released meanwhile; [Lock.Err] tells. Several locks that are
// held together by [Client.AcquireAll] are not one lock: under their context the answer is false. The lock that [Share] holds
// during a fetch is not the fetch's; there FromContext finds the caller's own.
//
// The innermost lock need not be the one that guards what is written. If locks of different names are nested, take the one of
// the right name from [LocksFromContext], or its fence by package fence.
func FromContext(ctx context.Context) (*Lock, bool) {
	for c := carrierOf(ctx); c != nil; c = carrierOf(c.outer()) {
		switch locks := c.carries(); len(locks) {
		case 0: // the library's own
		case 1:
			return locks[0], true
		default:
			return nil, false
		}
	}
	return nil, false
}

// LocksFromContext returns every lock that ctx carries, the innermost first, and the locks of one [Client.AcquireAll] in the
// order of their names. Of several handles of the same hold it returns only the innermost. The result is empty if
// [FromContext] finds nothing and ctx is not that of several locks. A lock may have been lost or released meanwhile;
// [Lock.Err] tells.
func LocksFromContext(ctx context.Context) []*Lock {
	var all []*Lock
	seen := map[*hold]bool{}
	for c := carrierOf(ctx); c != nil; c = carrierOf(c.outer()) {
		for _, l := range c.carries() {
			if !seen[l.hold] {
				seen[l.hold] = true
				all = append(all, l)
			}
		}
	}
	return all
}

// innermostKey finds the innermost carrier in a context.
type innermostKey struct{}

// carrier is a context that carries handles. The carriers of a context form a chain: each is found through the one inside it.
type carrier interface {
	carries() []*Lock // none if the handles are the library's own
	outer() context.Context
}

// carrierOf is the innermost carrier of a context, or nil if there is none.
func carrierOf(ctx context.Context) carrier {
	if ctx == nil {
		return nil
	}
	c, _ := ctx.Value(innermostKey{}).(carrier)
	return c
}

// holding is a context that carries a handle.
type holding struct {
	context.Context
	lock *Lock
	own  bool // the library took the lock for itself; it is not the user's
}

func (c *holding) Value(key any) any {
	switch k := key.(type) {
	case heldKey:
		if k.client == c.lock.hold.client && k.name == c.lock.hold.name {
			return c.lock
		}
	case innermostKey:
		return c
	}
	return c.Context.Value(key)
}

func (c *holding) carries() []*Lock {
	if c.own {
		return nil
	}
	return []*Lock{c.lock}
}

func (c *holding) outer() context.Context { return c.Context }

// A call without a context cannot work, nor can a call on a value that this package has not made. If the call returns an error,
// it returns ErrInvalid. Otherwise it returns nothing, or a context that has ended. None of them panics.

var (
	errNoContext = invalid("a nil context")
	errNoClient  = invalid("a Client that New has not made")
	errNoHandle  = invalid("a handle that no acquire has returned")
)

// called says whether a call can work: it has a context, and New made the Client.
func (c *Client) called(ctx context.Context) error {
	switch {
	case c == nil || c.rdb == nil:
		return errNoClient
	case ctx == nil:
		return errNoContext
	}
	return nil
}

// usable checks the same as called, and that the Client is open.
func (c *Client) usable(ctx context.Context) error {
	if err := c.called(ctx); err != nil {
		return err
	}
	if c.isClosed() {
		return ErrClosed
	}
	return nil
}

func (l *Lock) made() bool { return l != nil && l.hold != nil }

func (w *WeakLock) made() bool { return w != nil && w.client != nil }

func (a *Locks) made() bool { return a != nil && a.client != nil }
