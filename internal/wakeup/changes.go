package wakeup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/transport"
)

// changes has the channels on which the watchers of a lock or an election are told that it has changed. They share a connection
// of their own, which is open only while there is a watcher. So a change reaches no other Client, and a user that may not
// subscribe to these channels can still take locks.
type changes struct {
	subscriber *Subscriber

	mu      sync.Mutex
	watched map[string][]chan struct{} // by channel, each in the order of arrival
	running bool                       // run has not ended
	conn    *connection                // the one of run, if there is one
	ready   bool                       // conn has been made; a call of it before that would wait for a mutex of go-redis
	asked   map[string]bool            // the channels that conn was asked for
	asking  bool                       // a goroutine asks conn
	heard   bool                       // conn has confirmed a channel
	left    bool                       // conn is closed because nobody watched any more: it has not failed
	err     error                      // why there is no subscription
	told    bool                       // the Listener was told of this outage
}

// Watch returns a channel that has an element after each change that is told on the channel of that name, and after each time
// that changes may have been missed or cannot be received: then Err says why. The second result ends it.
func (s *Subscriber) Watch(channel string) (wake <-chan struct{}, end func()) {
	c := &s.changes
	w := make(chan struct{}, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watched == nil {
		c.watched = map[string][]chan struct{}{}
	}
	c.watched[channel] = append(c.watched[channel], w)
	if !c.running && !s.isStopped() {
		c.running = true
		s.Loops.Add()
		go c.run()
	}
	c.ask()
	return w, func() { c.end(channel, w) }
}

// Watching is why changes cannot be received, if the server has refused the subscription.
func (s *Subscriber) Watching() error {
	c := &s.changes
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(c.err, transport.ErrPermission) {
		return c.err
	}
	return nil
}

func (c *changes) end(channel string, w chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched[channel] = slices.DeleteFunc(c.watched[channel], func(other chan struct{}) bool { return other == w })
	if len(c.watched[channel]) == 0 {
		delete(c.watched, channel)
	}
	if len(c.watched) == 0 && c.conn != nil {
		c.left = true
		c.background(c.conn.close)
		return
	}
	c.ask()
}

// ask has the connection subscribe to the channels that are watched, and to no others, in the background: a request may block
// on the connection. The caller holds c.mu.
func (c *changes) ask() {
	if c.conn == nil || !c.ready || c.asking {
		return
	}
	c.asking = true
	c.background(func() {
		for f, more, less := c.unasked(); f != nil; f, more, less = c.unasked() {
			_ = more.ask(f.ctx, f.ps.Subscribe) // a failure shows as the end of the connection
			_ = less.ask(f.ctx, f.ps.Unsubscribe)
		}
	})
}

func (c *changes) background(do func()) {
	c.subscriber.Background.Add()
	go func() {
		defer c.subscriber.Background.Done()
		do()
	}()
}

type channelNames []string

func (names channelNames) ask(ctx context.Context, request func(context.Context, ...string) error) error {
	if len(names) == 0 {
		return nil
	}
	return request(ctx, names...)
}

// unasked is what the connection has to be asked for now; nil if it need not be asked for anything.
func (c *changes) unasked() (f *connection, more, less channelNames) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil && c.ready {
		for _, channel := range slices.Sorted(maps.Keys(c.watched)) {
			if !c.asked[channel] {
				more = append(more, channel)
				c.asked[channel] = true
			}
		}
		for _, channel := range slices.Sorted(maps.Keys(c.asked)) {
			if c.watched[channel] == nil {
				less = append(less, channel)
				delete(c.asked, channel)
			}
		}
	}
	if len(more)+len(less) == 0 {
		c.asking = false
		return nil, nil, nil
	}
	return c.conn, more, less
}

// run reads until nobody watches any more.
func (c *changes) run() {
	of := c.subscriber
	defer of.Loops.Done()
	for attempt := 0; ; {
		f, first := c.open()
		if f == nil {
			return
		}
		err := f.connect(func() error { return f.ps.Subscribe(f.ctx, first...) })
		if err == nil {
			c.connected()
			err = f.receive(func(message any) error {
				switch m := message.(type) {
				case *redis.Subscription:
					if m.Kind == "subscribe" {
						attempt = 0
						c.confirmed(m.Channel)
					}
				case *redis.Message:
					c.wake(m.Channel)
				case error:
					return m
				}
				return nil
			})
		}
		f.close()
		attempt++
		if !c.closed(err) || !of.pause(min(transport.Backoff(attempt), time.Second)) {
			return
		}
	}
}

// connected asks the connection for the channels that were wanted while it was made.
func (c *changes) connected() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready = true
	c.ask()
}

// open makes a connection for the channels that are watched, and returns them; nil if there are none.
func (c *changes) open() (f *connection, channels []string) {
	of := c.subscriber
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.watched) == 0 {
		c.running = false
		return nil, nil
	}
	c.left, c.ready = false, false
	c.conn, c.asked = of.newConnection(func(ctx context.Context) *redis.PubSub { return of.Redis.Subscribe(ctx) }), map[string]bool{}
	if of.isStopped() { // Close may have come before it could see this one
		c.background(c.conn.close)
	}
	channels = slices.Sorted(maps.Keys(c.watched))
	for _, channel := range channels {
		c.asked[channel] = true
	}
	return c.conn, channels
}

// confirmed is called when the server tells the changes of a channel from now on. Some may have been missed before.
func (c *changes) confirmed(channel string) {
	c.mu.Lock()
	c.heard, c.err, c.told = true, nil, false
	c.mu.Unlock()
	c.wake(channel)
}

// closed notes why there is no connection, and reports whether another one is wanted.
func (c *changes) closed(err error) (wanted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = nil
	if c.left {
		c.heard, c.err, c.told = false, nil, false
	} else {
		c.failed(err)
	}
	wanted = len(c.watched) > 0
	c.running = wanted
	return wanted
}

// failed notes an outage. The caller holds c.mu.
func (c *changes) failed(err error) {
	of := c.subscriber
	of.Transport.Suspect(err)
	if transport.Refused(err) {
		err = fmt.Errorf("%w: %w", transport.ErrPermission, err)
	}
	err = fmt.Errorf("subscribe to changes: %w", err)
	outage := !c.heard && !c.told // one that breaks and is made anew is none
	if outage {
		c.told = true
		c.background(func() { of.Listener.SubscribeFailed(err) })
	}
	known := errors.Is(c.err, transport.ErrPermission)
	c.heard, c.err = false, err
	if outage || errors.Is(err, transport.ErrPermission) && !known { // the watches look, and learn why
		for _, channel := range slices.Sorted(maps.Keys(c.watched)) {
			c.wakeThose(channel)
		}
	}
}

// wake makes the watchers of a channel look.
func (c *changes) wake(channel string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wakeThose(channel)
}

// wakeThose is wake for a caller that holds c.mu.
func (c *changes) wakeThose(channel string) {
	for _, w := range c.watched[channel] {
		select {
		case w <- struct{}{}:
		default: // it has not looked since the last change
		}
	}
}

// stop ends the connection for good.
func (c *changes) stop() {
	c.mu.Lock()
	f := c.conn
	c.mu.Unlock()
	if f != nil {
		f.close()
	}
}
