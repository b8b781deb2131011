package redislock

import (
	"context"
	"fmt"
	"sync/atomic"
)

// drain is whether [Client.Drain] has begun.
type drain struct {
	on    atomic.Bool
	begun chan struct{} // closed then
}

// Drain is the first half of a graceful end. From now on the Client takes no lock for new work, and Drain waits for the locks
// that are held. It returns nil when the last one has been given back, or the error of ctx, which names those that are still
// held, the oldest first. Until then everything that concerns a held lock goes on: renewals, its context, Upgrade, and
// acquires under its context ([Lock.Context], [Lock.With], the context of a body). Work that runs can so take what it still
// needs.
//
// Every other acquire fails with [ErrDraining], which is also an [ErrClosed]: new ones with nothing sent, and those that wait
// or are under way with nothing left behind. That includes what Once, Share, Cron, Elect, AcquireAll and Resume need; a Once
// that is done and a value of Share that is fresh are still served. Calls that only look, and weak locks, go on. A leader
// holds a lock as long as its function runs: end the context of its Elect too.
//
// Drain cannot be taken back, and a second Drain waits likewise. After a nil the Client holds nothing and never will;
// [Client.Close] ends it. The [Observer] is told when Drain begins ([EventDraining]). A ctx that cannot end, such as
// [context.Background], lets Drain wait for as long as it takes. Drain returns [ErrDeadlock] at once if ctx carries a lock of
// this Client that is held, because it would wait for its own caller; the Client is draining all the same.
func (c *Client) Drain(ctx context.Context) error {
	if err := c.called(ctx); err != nil {
		return fmt.Errorf("redislock: drain: %w", err)
	}
	c.mu.Lock()
	first := c.stopTaking()
	empty := c.empty
	c.mu.Unlock()
	c.closeTurns()
	if first && c.observer != nil {
		c.observe(Event{Kind: EventDraining})
	}
	if l := c.carried(ctx); l != nil {
		return fmt.Errorf("redislock: drain: %w: under the context of %q, which is not released", ErrDeadlock, l.Name())
	}
	select {
	case <-empty:
		return nil
	default:
	}
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("redislock: drain: %w%s", ctx.Err(), c.unfinished())
	}
}

// stopTaking makes all acquires fail that belong to no lock which is held, once: it reports whether this call was the first.
// From then on the holds only get fewer, but for those that belong to another, so none comes after the last. The caller has
// locked c.mu.
func (c *Client) stopTaking() (first bool) {
	if c.empty != nil {
		return false
	}
	c.empty = make(chan struct{})
	c.draining.on.Store(true)
	close(c.draining.begun)
	if len(c.holds) == 0 {
		close(c.empty)
	}
	return true
}

// refuses is why the Client takes no lock for a call under ctx, or nil.
func (c *Client) refuses(ctx context.Context) error {
	switch {
	case c.isClosed():
		return ErrClosed
	case c.draining.on.Load() && c.carried(ctx) == nil:
		return ErrDraining
	}
	return nil
}
