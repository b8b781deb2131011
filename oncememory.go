package redislock

import (
	"context"
	"slices"
	"sync"
	"time"

	"example.com/redislock/internal/clock"
)

const (
	// maxOnces is how many names a process remembers: to forget one costs a round trip.
	maxOnces = 10_000
	// maxChecked is how many of them are looked up at once when the subscription is new; more are looked up when they are asked for.
	maxChecked = 64
	// onceCheckPatience is how long a caller waits for a look at what the process knows already. An answer takes no longer, unless
	// Redis is away.
	onceCheckPatience = 100 * time.Millisecond
)

// onces is what this process knows to be done. What a reset somewhere else makes wrong is forgotten by push; and all of it is
// looked up again whenever such a message may have been missed.
type onces struct {
	mu   sync.Mutex
	done map[string]*onceDone
	at   moment // what was read before one is not taken for certain after it
}

// moment counts what may have changed what is known.
type moment struct {
	resets        int // of which this process was told
	subscriptions int // before which one may have been missed
}

// onceDone is a success.
type onceDone struct {
	until   clock.Bound
	certain bool          // no reset can have been missed
	looking chan struct{} // closed when the look that is under way has come back; nil if there is none
}

// of is what is known of a name, nil if nothing is. The caller holds o.mu.
func (o *onces) of(name string) *onceDone {
	known := o.done[name]
	if known != nil && known.until.Left() <= 0 {
		delete(o.done, name)
		known = nil
	}
	return known
}

func (o *onces) now() moment {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.at
}

// forget is called when a Once was reset.
func (o *onces) forget(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at.resets++
	delete(o.done, name)
}

// doubt is called when resets may have been missed. It returns what is to be looked up at once.
func (o *onces) doubt() (names []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at.subscriptions++
	for name, known := range o.done {
		known.certain = false
		if len(o.done) <= maxChecked {
			names = append(names, name)
		}
	}
	slices.Sort(names) // in the order of a map nothing would be repeatable
	return names
}

// remember notes a success that was seen since a moment.
func (o *onces) remember(name string, since moment, until clock.Bound) (certain bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.at.resets != since.resets {
		return true // it may have been this one's, of which nothing is known then
	}
	if known := o.done[name]; known != nil {
		known.until, known.certain = until, o.at == since
		return known.certain
	}
	if o.done == nil || len(o.done) >= maxOnces {
		o.done = map[string]*onceDone{}
	}
	o.done[name] = &onceDone{until: until, certain: o.at == since}
	return o.at == since
}

// remember takes a success into this process's memory, which hears of resets.
func (c *Client) remember(name string, since moment, until clock.Bound) {
	c.start()
	if !c.onces.remember(name, since, until) {
		c.checkOnce(name)
	}
}

// knowsOnce reports whether this process knows a Once to be done. Where it would not hear of a reset it looks, but waits for no
// answer if Redis is away: then nobody can run it either, and the look goes on.
func (c *Client) knowsOnce(ctx context.Context, name string) bool {
	subscribed, unreachable := c.subscriber.Broadcasts()
	c.onces.mu.Lock()
	known := c.onces.of(name)
	certain := known != nil && known.certain
	c.onces.mu.Unlock()
	switch {
	case known == nil || c.isClosed():
		return false
	case certain && subscribed:
		return true
	}
	looked := c.checkOnce(name)
	if !unreachable {
		patience := time.NewTimer(onceCheckPatience)
		defer patience.Stop()
		select {
		case <-looked:
		case <-patience.C:
		case <-ctx.Done():
		}
	}
	c.onces.mu.Lock()
	defer c.onces.mu.Unlock()
	return c.onces.of(name) != nil
}

// checkOnce looks in the background whether what is known of a Once is still so; the channel closes when it has. One look
// at a name is under way at a time.
func (c *Client) checkOnce(name string) <-chan struct{} {
	c.onces.mu.Lock()
	defer c.onces.mu.Unlock()
	known := c.onces.of(name)
	if known == nil {
		none := make(chan struct{})
		close(none)
		return none
	}
	if known.looking != nil {
		return known.looking
	}
	looked := make(chan struct{})
	known.looking = looked
	since := c.onces.at
	c.background.Add()
	go func() {
		defer c.background.Done()
		rec, err := c.look(context.Background(), onceName(name))
		c.onces.mu.Lock()
		defer c.onces.mu.Unlock()
		defer close(looked)
		known.looking = nil
		switch {
		case err != nil || c.onces.done[name] != known: // it stays uncertain, or was forgotten
		case !rec.exists():
			delete(c.onces.done, name)
		default:
			known.until, known.certain = clock.Bound{From: rec.sent, Span: rec.left}, c.onces.at == since
		}
	}()
	return looked
}
