package redislock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// pingAfter is how long the subscription may be silent before it is asked whether it still lives; after as long
	// again without an answer it is made anew. go-redis sends such pings but does not look for the answers.
	pingAfter = 5 * time.Second
	// countable and uncountable say in a request whether the server can count this Client as a receiver.
	countable, uncountable, noWait = "c", "u", "-"
)

// subscription is the one wake channel of a Client, and the one of its prefix (news.go). What comes in is only ever a hint (I9): grants are looked up among
// the waits of this process, by a token that only a reader of the key can know.
type subscription struct {
	client  *Client
	channel string

	once  sync.Once
	heard atomic.Int64 // UnixNano of the last traffic
	watch task

	mu    sync.Mutex
	ps    *redis.PubSub
	leave context.CancelFunc // ends an attempt to connect
	mode  string             // countable or uncountable; empty while not subscribed
	epoch uint64             // counts subscriptions: a time sample does not outlive the one it was taken under
	ready chan struct{}      // closed while subscribed
	err   error              // why not
	asked time.Time          // when a ping was sent that has no answer yet; zero: none
}

// start subscribes in the background, once; the Client's first lock does.
func (s *subscription) start() {
	s.once.Do(func() {
		s.watch = task{run: s.ping}
		s.client.loops.add()
		go s.run()
	})
}

// state is the mode of waiting and the epoch; the mode is empty while there is no subscription.
func (s *subscription) state() (mode string, epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mode, s.epoch
}

// await returns when there is a subscription, or when ctx ends. Where none can be made within the time of a check the
// caller must do without it: its checks serve it, and a claim waits longer than two of them.
func (s *subscription) await(ctx context.Context) (alone bool, err error) {
	patience := time.NewTimer(checkEvery)
	defer patience.Stop()
	for {
		s.mu.Lock()
		mode, ready, err := s.mode, s.ready, s.err
		s.mu.Unlock()
		if mode != "" {
			return false, nil
		}
		if errors.Is(err, ErrPermission) {
			return false, err
		}
		select {
		case <-ready:
		case <-ctx.Done():
			return false, errors.Join(ctx.Err(), err)
		case <-patience.C:
			return true, nil
		case <-s.client.closing:
			return false, ErrClosed
		}
	}
}

func (s *subscription) run() {
	c := s.client
	defer c.loops.done()
	defer c.agenda.remove(&s.watch)
	for attempt := 0; ; {
		ctx, cancel := context.WithCancel(context.Background())
		s.mu.Lock()
		s.leave = cancel
		s.mu.Unlock()
		if c.isStopped() {
			cancel()
		}
		ps := c.rdb.Subscribe(ctx)
		err := ps.Subscribe(ctx, s.channel, c.newsChannel())
		s.mu.Lock()
		s.ps, s.asked = ps, time.Time{}
		s.mu.Unlock()
		if c.isStopped() { // Close may have come before it could see this subscription
			_ = ps.Close()
		}
		s.heard.Store(time.Now().UnixNano())
		c.agenda.set(&s.watch, time.Now().Add(pingAfter))

		if err == nil {
			err = s.receive(ps, &attempt)
		}
		_ = ps.Close()
		cancel()

		s.mu.Lock()
		s.ps = nil
		if s.mode != "" {
			s.mode, s.ready = "", make(chan struct{})
		}
		s.err = fmt.Errorf("subscribe to %s: %w", s.channel, err)
		if redis.HasErrorPrefix(err, "NOPERM") {
			s.err = fmt.Errorf("subscribe to the channels %s and %s: %w: %w", s.channel, c.newsChannel(), ErrPermission, err)
			close(s.ready) // whoever waits for it learns why
			s.ready = make(chan struct{})
		}
		s.mu.Unlock()

		attempt++
		pause := time.NewTimer(min(backoff(attempt), time.Second))
		select {
		case <-pause.C:
		case <-c.stopped:
			pause.Stop()
			return
		}
	}
}

// receive handles one subscription's traffic until it breaks.
func (s *subscription) receive(ps *redis.PubSub, attempt *int) error {
	// After an error go-redis connects anew by itself, before it returns and with its lock held, so that neither Ping
	// nor Close gets through. A context that has ended does not disturb its reading, and has that fail at once.
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		message, err := ps.Receive(ended)
		if err != nil {
			return err
		}
		s.heard.Store(time.Now().UnixNano())
		switch m := message.(type) {
		case *redis.Subscription:
			if m.Kind == "subscribe" && m.Channel == s.client.newsChannel() { // the second of the two
				*attempt = 0
				s.confirmed(ps)
			}
		case *redis.Message:
			if m.Channel == s.channel {
				s.client.heard(m.Payload)
			} else {
				s.client.news(m.Payload)
			}
		}
	}
}

// confirmed is called when the server has confirmed a subscription, the first or a new one. Whoever waits or holds
// asks at once: messages may have been lost before.
func (s *subscription) confirmed(ps *redis.PubSub) {
	c := s.client
	c.background.add()
	go func() {
		defer c.background.done()
		mode := s.probe()
		s.mu.Lock()
		if s.ps != ps { // it broke meanwhile
			s.mu.Unlock()
			return
		}
		s.epoch++
		if s.mode == "" {
			close(s.ready)
		}
		s.mode, s.err = mode, nil
		s.mu.Unlock()
		c.askAll()
		c.missed()
	}()
}

// probe finds out whether the scripts' PUBLISH counts this subscription. Only a plain client can tell: in a cluster
// the answer depends on the node.
func (s *subscription) probe() string {
	if _, plain := s.client.rdb.(*redis.Client); !plain {
		return uncountable
	}
	ctx, cancel := context.WithTimeout(context.Background(), pingAfter)
	defer cancel()
	a := s.client.ask(ctx, nil, scriptProbe, s.client.probeKey(), s.channel)
	if n, ok := a.value.(int64); ok && a.err == nil && n > 0 {
		return countable
	}
	return uncountable
}

// ping is the watch over a silent subscription.
func (s *subscription) ping() {
	c := s.client
	heard := time.Unix(0, s.heard.Load())
	c.agenda.set(&s.watch, time.Now().Add(pingAfter))
	s.mu.Lock()
	ps := s.ps
	if ps == nil {
		s.mu.Unlock()
		return
	}
	if !heard.Before(s.asked) {
		s.asked = time.Time{}
	}
	dead := !s.asked.IsZero() // a whole pingAfter ago
	quiet := time.Since(heard) >= pingAfter/2
	if quiet && !dead {
		s.asked = time.Now()
	}
	s.mu.Unlock()
	if !quiet {
		return
	}
	c.background.add()
	go func() { // both may block on the connection
		defer c.background.done()
		if dead {
			_ = ps.Close() // receive fails, and the subscription is made anew
			return
		}
		_ = ps.Ping(context.Background()) // a failed ping shows as silence
	}()
}

// stop ends the subscription for good.
func (s *subscription) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leave != nil {
		s.leave()
	}
	if s.ps != nil {
		_ = s.ps.Close()
	}
}
