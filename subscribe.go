package redislock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

// hearing is whether the messages of a wake channel arrive.
type hearing struct {
	mu    sync.Mutex
	mode  string        // protocol.Countable, sharded or protocol.Uncountable; empty while not subscribed
	epoch uint64        // counts subscriptions: a time sample does not outlive the one it was taken under
	ready chan struct{} // closed while subscribed
	err   error         // why not
	told  bool          // that there is none
}

// state is the mode of waiting and the epoch; the mode is empty while there is no subscription.
func (h *hearing) state() (mode string, epoch uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mode, h.epoch
}

// await returns when there is a subscription, or when ctx ends. Where none can be made within the time of a check the
// caller must do without it: its checks serve it, and a claim waits longer than two of them.
func (h *hearing) await(ctx context.Context, of *hub) (alone bool, err error) {
	patience := time.NewTimer(protocol.CheckEvery)
	defer patience.Stop()
	for {
		h.mu.Lock()
		mode, ready, err := h.mode, h.wait(), h.err
		h.mu.Unlock()
		if mode != "" {
			return false, nil
		}
		if errors.Is(err, ErrPermission) {
			return false, err
		}
		select {
		case <-ready:
		case <-ctx.Done():
			return false, transport.During(ctx.Err(), err)
		case <-patience.C:
			return true, nil
		case <-of.closing:
			return false, of.cause()
		}
	}
}

// wait is closed when there is something to look at. The caller holds h.mu.
func (h *hearing) wait() chan struct{} {
	if h.ready == nil {
		h.ready = make(chan struct{})
	}
	return h.ready
}

// begin notes that the server has confirmed a subscription, the first or a new one.
func (h *hearing) begin(mode string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.epoch++
	if h.mode == "" {
		close(h.wait())
	}
	h.mode, h.err, h.told = mode, nil, false
}

// end notes that there is no subscription, and why. The result is whether that is news: the first attempt to make one that failed.
func (h *hearing) end(err error) (outage bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mode == "" {
		outage, h.told = !h.told, true
	} else {
		h.mode, h.ready = "", nil
	}
	h.err = err
	if errors.Is(err, ErrPermission) { // whoever waits for it learns why
		close(h.wait())
		h.ready = nil
	}
	return outage
}

// subscription is the wake channel of a Client, and the one of its prefix (news.go). What comes in is only ever a hint
// (I9): grants are looked up among the waits of this process, by a token that only a reader of the key can know.
type subscription struct {
	hearing
	hub     *hub
	channel string

	once    sync.Once
	feed    *feed     // guarded by hearing.mu
	doubted time.Time // when doubt looked last; guarded by hearing.mu
}

// start subscribes in the background, once; the Client's first lock does.
func (s *subscription) start() {
	s.once.Do(func() {
		s.hub.loops.Add()
		go s.run()
	})
}

func (s *subscription) run() {
	c := s.hub
	defer c.loops.Done()
	for attempt := 0; ; {
		f := c.newFeed(func(ctx context.Context) *redis.PubSub { return c.rdb.Subscribe(ctx) })
		s.mu.Lock()
		s.feed = f
		s.mu.Unlock()
		if c.isStopped() { // Close may have come before it could see this one
			f.close()
		}
		err := f.connect(func() error { return f.ps.Subscribe(f.ctx, s.channel, c.keys.News()) })
		if err == nil {
			err = f.receive(func(message any) error {
				switch m := message.(type) {
				case *redis.Subscription:
					if m.Kind == "subscribe" && m.Channel == c.keys.News() { // the second of the two
						attempt = 0
						s.confirmed(f)
					}
				case *redis.Message:
					if m.Channel == s.channel {
						c.listener.Heard(m.Payload)
					} else {
						c.listener.Broadcast(m.Payload)
					}
				case error:
					return m
				}
				return nil
			})
		}
		f.close()
		c.transport.Suspect(err)
		if err = fmt.Errorf("subscribe to %s: %w", s.channel, err); transport.Refused(err) {
			err = fmt.Errorf("subscribe to the channels %s and %s: %w: %w", s.channel, c.keys.News(), ErrPermission, err)
		}
		if s.end(err) {
			c.listener.Deaf(err)
		}
		attempt++
		if !c.pause(min(transport.Backoff(attempt), time.Second)) {
			return
		}
	}
}

// confirmed is called when the server has confirmed a subscription. Whoever waits or holds asks at once: messages may
// have been lost before.
func (s *subscription) confirmed(f *feed) {
	c := s.hub
	c.background.Add()
	go func() {
		defer c.background.Done()
		mode := s.probe()
		if !f.whileOpen(func() { s.begin(mode) }) { // it broke meanwhile
			return
		}
		c.listener.Subscribed()
	}()
}

// probe finds out whether the scripts count this subscription. Only a plain client can tell: in a cluster
// the answer depends on the node.
func (s *subscription) probe() string {
	if s.hub.behind.Single == nil {
		return protocol.Uncountable
	}
	ctx, cancel := context.WithTimeout(context.Background(), pingAfter)
	defer cancel()
	a := s.hub.transport.Ask(ctx, nil, lua.Probe, s.hub.keys.Probe(), s.channel)
	if n, ok := a.Value.(int64); ok && a.Err == nil && n > 0 {
		return protocol.Countable
	}
	return protocol.Uncountable
}

// doubt is called when a wait has lost its place, or was granted the lock without a message that the server saw arrive. That may
// be because this subscription is not where the scripts are any more: a primary that has become a replica goes on passing
// messages to those who are connected to it. If the scripts do not see it, it is made anew.
func (s *subscription) doubt() {
	c := s.hub
	s.mu.Lock()
	f := s.feed
	look := s.mode == protocol.Countable && time.Since(s.doubted) >= protocol.CheckEvery/2
	if look {
		s.doubted = time.Now()
	}
	s.mu.Unlock()
	if !look {
		return
	}
	c.background.Add()
	go func() {
		defer c.background.Done()
		if s.probe() == protocol.Uncountable {
			f.close()
		}
	}()
}

// stop ends the subscription for good.
func (s *subscription) stop() {
	s.mu.Lock()
	f := s.feed
	s.mu.Unlock()
	if f != nil {
		f.close()
	}
}
