package redislock

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

const (
	// closeTime bounds a [Client.Close] whose context cannot end. It is twice as long as a give-back is tried.
	closeTime = 2 * transport.GiveUpTime
	// observerTime is how long a Close waits for an Observer to return.
	observerTime = time.Second
	// maxNamed is how many locks the error of a Close names.
	maxNamed = 10
)

// Close ends the Client. Every wait fails with [ErrClosed], and the context of every lock ends with it. Close returns when
// all locks have been released and nothing is under way any more, or when ctx ends. In that case it returns the error of ctx,
// which names the locks that are still held, the oldest first. Those are no longer renewed, and lapse by their lease. Close
// takes no lock away from a running body. A second Close waits likewise. After a nil nothing is sent any more, except for a
// [WeakLock.Release].
//
// A ctx that cannot end, such as [context.Background], ends for Close after two minutes. Close returns [ErrDeadlock] at once
// if ctx carries a lock of this Client that is held ([Lock.Context], [Lock.With], the context of a body), because it would
// wait for its own caller. The Client is closed all the same.
//
// Close waits at most a second for an [Observer] to return. So an Observer that hangs does not hold it up, and neither does
// an Observer that itself calls Close. The error then says that the Observer has not returned; everything else is done. If
// the Observer is told on a goroutine that holds a lock, as at EventGranted, Close waits for that lock, and so until its ctx
// ends.
func (c *Client) Close(ctx context.Context) error {
	if err := c.called(ctx); err != nil {
		return fmt.Errorf("redislock: close: %w", err)
	}
	if ctx == nil {
		return fmt.Errorf("redislock: close: %w", invalid("a nil context"))
	}
	c.shut()
	defer c.quit()
	if l := c.carried(ctx); l != nil {
		return fmt.Errorf("redislock: close: %w: under the context of %q, which is not released", ErrDeadlock, l.Name())
	}
	if ctx.Done() == nil {
		bounded, cancel := context.WithTimeout(ctx, closeTime)
		defer cancel()
		ctx = bounded
	}
	observed := func() <-chan struct{} { return c.telling.IdleWithin(observerTime) }
	for _, idle := range []func() <-chan struct{}{
		func() <-chan struct{} { return c.empty }, c.background.Idle, observed,
		c.background.Idle, // an Observer was told in the middle of an operation
		c.quit,
		c.background.Idle, // requests that the loops have begun
	} {
		select {
		case <-idle():
		case <-ctx.Done():
			return fmt.Errorf("redislock: close: %w%s", ctx.Err(), c.unfinished())
		}
	}
	if c.telling.Busy() {
		return fmt.Errorf("redislock: close: the Observer has not returned within %v", observerTime)
	}
	return nil
}

// shut begins to close, once. From then on nothing begins, every wait fails, and the context of every lock ends.
func (c *Client) shut() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		c.shutting.Store(true)
		c.fail(ErrClosed)
		c.stopTaking()
	}
	c.mu.Unlock()
	for _, h := range c.allHolds() {
		h.finish(ErrClosed)
	}
	c.closeTurns()
}

// quit ends the loops. The channel closes when they have ended.
func (c *Client) quit() <-chan struct{} {
	c.stop.Do(func() {
		close(c.stopped)
		c.subscriber.Stop()
	})
	return c.loops.Idle()
}

// allHolds are all holds in the books, sorted by token. The order is not the map's, so the requests for them are repeatable.
func (c *Client) allHolds() []*hold {
	c.mu.Lock()
	holds := slices.Collect(maps.Values(c.holds))
	c.mu.Unlock()
	slices.SortFunc(holds, func(a, b *hold) int { return strings.Compare(a.lease.Token(), b.lease.Token()) })
	return holds
}

// carried is a lock of this Client that ctx carries and that is still held, or nil if there is none.
func (c *Client) carried(ctx context.Context) *Lock {
	all := carriedBy(ctx)
	if len(all) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.first(all)
}

// carriedBy returns all handles that ctx carries, the innermost first, including those that the library took for itself.
func carriedBy(ctx context.Context) (all []*Lock) {
	for from := carrierOf(ctx); from != nil; from = carrierOf(from.outer()) {
		switch from := from.(type) {
		case *holding: // also if the library took the lock for itself
			all = append(all, from.lock)
		default:
			all = append(all, from.carries()...)
		}
	}
	return all
}

// first is the first of these locks that this Client holds, or nil if it holds none. The caller has locked c.mu.
func (c *Client) first(all []*Lock) *Lock {
	for _, l := range all {
		if c.holds[l.hold.lease.Token()] == l.hold {
			return l
		}
	}
	return nil
}

// unfinished names what Close has waited for in vain.
func (c *Client) unfinished() string {
	holds := c.allHolds()
	if len(holds) == 0 {
		if n := c.background.Count(); n > 0 {
			return fmt.Sprintf(": no lock is held, %d requests are under way", n)
		}
		return ""
	}
	slices.SortFunc(holds, func(a, b *hold) int {
		return cmp.Or(a.lease.Granted().Compare(b.lease.Granted()), strings.Compare(a.name, b.name))
	})
	var text strings.Builder
	text.WriteString(": not released: ")
	for i, h := range holds[:min(len(holds), maxNamed)] {
		if i > 0 {
			text.WriteString(", ")
		}
		fmt.Fprintf(&text, "%q held since %s", h.name, h.lease.Granted().UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	if more := len(holds) - maxNamed; more > 0 {
		fmt.Fprintf(&text, " and %d more", more)
	}
	return text.String()
}

// enter registers an operation and then checks whether the Client is closed, in this order. Close begins to close and then
// checks which operations are registered, so one of the two sees the other. An operation that is refused gets [ErrClosed]. An
// operation that is not refused ends with leave.
func (c *Client) enter() error {
	c.background.Add()
	err := c.closedError()
	if err != nil {
		c.background.Done()
	}
	return err
}

func (c *Client) leave() { c.background.Done() }

func (c *Client) isClosed() bool { return c.shutting.Load() }

// closedError is ErrClosed if the Client is closed.
func (c *Client) closedError() error {
	if c.isClosed() {
		return ErrClosed
	}
	return nil
}

// query is ask for a request that is no part of another operation. It sends nothing if the Client is closed.
func (c *Client) query(ctx context.Context, s *lua.Script, key string, args ...any) transport.Answer {
	if err := c.enter(); err != nil {
		return transport.Answer{Err: err}
	}
	defer c.leave()
	return c.transport.Ask(ctx, nil, s, key, args...)
}

// fail makes every wait fail, with the first cause that is given.
func (c *Client) fail(cause error) {
	c.failing.Do(func() {
		c.cause = cause
		close(c.closing)
		c.waits.End(true, cause)
	})
}

// failed is the cause with which every wait fails, or nil if they do not fail.
func (c *Client) failed() error {
	select {
	case <-c.closing:
		return c.cause
	default:
		return nil
	}
}

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
// Drain cannot be undone. A second Drain waits too. After a nil the Client holds nothing and never will; [Client.Close] ends it.
// The [Observer] is told when Drain begins ([EventDraining]). A ctx that cannot end, such as [context.Background], lets Drain
// wait for as long as it takes. Drain returns [ErrDeadlock] at once if ctx carries a lock of this Client that is held, because it
// would wait for its own caller; the Client is draining all the same.
func (c *Client) Drain(ctx context.Context) error {
	if err := c.called(ctx); err != nil {
		return fmt.Errorf("redislock: drain: %w", err)
	}
	c.mu.Lock()
	first := c.stopTaking()
	empty := c.empty
	c.mu.Unlock()
	waits := append(c.closeTurns(), empty)
	if first && c.observer != nil {
		c.observe(Event{Kind: EventDraining})
	}
	if l := c.carried(ctx); l != nil {
		return fmt.Errorf("redislock: drain: %w: under the context of %q, which is not released", ErrDeadlock, l.Name())
	}
	for _, done := range waits {
		select {
		case <-done:
			continue
		default:
		}
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("redislock: drain: %w%s", ctx.Err(), c.unfinished())
		}
	}
	return nil
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
	c.waits.End(false, ErrDraining)
	if len(c.holds) == 0 {
		close(c.empty)
	}
	return true
}

// drains is closed when a wait under ctx is to end because Drain has begun. It is nil under a lock that is held: what belongs to it
// goes on.
func (c *Client) drains(ctx context.Context) <-chan struct{} {
	if c.carried(ctx) != nil {
		return nil
	}
	return c.draining.begun
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
