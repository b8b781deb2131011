package redislock

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

const (
	// closeTime bounds a [Client.Close] whose context cannot end: twice as long as a give-back is tried.
	closeTime = 2 * transport.GiveUpTime
	// observerTime is how long a Close waits for an Observer to return.
	observerTime = time.Second
	// maxNamed is how many locks the error of a Close names.
	maxNamed = 10
)

// Close ends the Client. What waits fails with [ErrClosed], the context of every lock ends with it, and Close returns
// when all of them have been released and nothing is left under way, or when ctx ends, with its error, which names the locks
// that are still held, the oldest first: those are no longer renewed and lapse by their lease. No lock is taken from under a
// running body. A second Close waits likewise. After a nil nothing is sent any more, but for a [WeakLock.Release].
//
// A ctx that cannot end, such as [context.Background], ends for Close after two minutes. A ctx that carries a lock of this
// Client which is held ([Lock.Context], [Lock.With], the context of a body) is [ErrDeadlock], at once: Close would wait for its
// own caller. The Client is closed all the same.
//
// Close waits for an [Observer] to return, a second at the most. So one that hangs does not hold it up, nor one that itself
// calls Close: the error says that the Observer has not returned; all the rest is done by then. Where the Observer is told on a
// goroutine that holds a lock, as at EventGranted, Close waits for that lock, and so until its ctx ends.
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
		c.background.Idle, // an Observer was told in the middle of something
		c.quit,
		c.background.Idle, // what the loops have begun
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

// shut begins to close, once: nothing begins from now on, what waits fails, and the context of every lock ends.
func (c *Client) shut() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		c.empty = make(chan struct{})
		c.shutting.Store(true)
		c.fail(ErrClosed)
		if len(c.holds) == 0 {
			close(c.empty)
		}
	}
	c.mu.Unlock()
	for _, h := range c.allHolds() {
		h.life.Finish(ErrClosed)
	}
}

// quit ends the loops; the channel closes when they have ended.
func (c *Client) quit() <-chan struct{} {
	c.stop.Do(func() {
		close(c.stopped)
		c.subscriber.Stop()
	})
	return c.loops.Idle()
}

// allHolds is all holds in the books, in an order that is not the map's: what is sent for them is repeatable.
func (c *Client) allHolds() []*hold {
	c.mu.Lock()
	defer c.mu.Unlock()
	holds := make([]*hold, 0, len(c.holds))
	for _, token := range slices.Sorted(maps.Keys(c.holds)) {
		holds = append(holds, c.holds[token])
	}
	return holds
}

// carried is a lock of this Client that ctx carries and that is still held, nil if there is none.
func (c *Client) carried(ctx context.Context) *Lock {
	var all []*Lock
	for from := carrierOf(ctx); from != nil; from = carrierOf(from.outer()) {
		switch from := from.(type) {
		case *holding: // also of a lock that the library took for itself
			all = append(all, from.lock)
		default:
			all = append(all, from.carries()...)
		}
	}
	holds := c.allHolds()
	for _, l := range all {
		if slices.Contains(holds, l.hold) {
			return l
		}
	}
	return nil
}

// unfinished says what a Close has waited for in vain.
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

// enter registers an operation and then looks whether the Client is closed, in this order: Close begins to close and then looks
// who is registered, so one of the two sees the other. An operation that is refused is [ErrClosed]. Of one that is not, leave
// is the end.
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

// query is ask for what is no part of another operation: it is not sent if the Client is closed.
func (c *Client) query(ctx context.Context, s *lua.Script, key string, args ...any) transport.Answer {
	if err := c.enter(); err != nil {
		return transport.Answer{Err: err}
	}
	defer c.leave()
	return c.transport.Ask(ctx, nil, s, key, args...)
}

// fail fails whatever waits, for the first of the causes that are given.
func (c *Client) fail(cause error) {
	c.failing.Do(func() {
		c.cause = cause
		close(c.closing)
	})
}

// failed is why whatever waits fails, nil if it does not.
func (c *Client) failed() error {
	select {
	case <-c.closing:
		return c.cause
	default:
		return nil
	}
}
