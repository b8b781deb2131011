package wakeup

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

// subscription is the wake channel of a Client and the broadcast channel of its prefix, by one PubSub.
type subscription struct {
	channelState
	subscriber *Subscriber
	channel    string

	once      sync.Once
	conn      *connection // guarded by channelState.mu
	suspected time.Time   // when suspect asked last; guarded by channelState.mu
}

// start subscribes in the background, once; the Client's first lock does.
func (s *subscription) start() {
	s.once.Do(func() {
		s.subscriber.Loops.Add()
		go s.run()
	})
}

func (s *subscription) run() {
	of := s.subscriber
	defer of.Loops.Done()
	for attempt := 0; ; {
		f := of.newConnection(func(ctx context.Context) *redis.PubSub { return of.Redis.Subscribe(ctx) })
		s.mu.Lock()
		s.conn = f
		s.mu.Unlock()
		if of.isStopped() { // Close may have come before it could see this one
			f.close()
		}
		err := f.connect(func() error { return f.ps.Subscribe(f.ctx, s.channel, of.Keys.Broadcasts()) })
		if err == nil {
			err = f.receive(func(message any) error {
				switch m := message.(type) {
				case *redis.Subscription:
					if m.Kind == "subscribe" && m.Channel == of.Keys.Broadcasts() { // the second of the two
						attempt = 0
						s.confirmed(f)
					}
				case *redis.Message:
					if m.Channel == s.channel {
						of.Listener.Message(m.Payload)
					} else {
						of.Listener.Broadcast(m.Payload)
					}
				case error:
					return m
				}
				return nil
			})
		}
		f.close()
		of.Transport.Suspect(err)
		if err = fmt.Errorf("subscribe to %s: %w", s.channel, err); transport.Refused(err) {
			err = fmt.Errorf("subscribe to the channels %s and %s: %w: %w", s.channel, of.Keys.Broadcasts(), transport.ErrPermission, err)
		}
		if s.lost(err) {
			of.Listener.SubscribeFailed(err)
		}
		attempt++
		if !of.pause(min(transport.Backoff(attempt), time.Second)) {
			return
		}
	}
}

// confirmed is called when the server has confirmed a subscription. All waits and holds then ask at once, as messages
// may have been lost before.
func (s *subscription) confirmed(f *connection) {
	of := s.subscriber
	of.Background.Add()
	go func() {
		defer of.Background.Done()
		mode := s.probe()
		if !f.whileOpen(func() { s.subscribed(mode) }) { // it broke meanwhile
			return
		}
		of.Listener.Subscribed()
	}()
}

// probe finds out whether the scripts count this subscription. Only a plain client can tell: in a cluster
// the answer depends on the node.
func (s *subscription) probe() string {
	if s.subscriber.Backend.Single == nil {
		return protocol.Uncountable
	}
	ctx, cancel := context.WithTimeout(context.Background(), pingAfter)
	defer cancel()
	a := s.subscriber.Transport.Ask(ctx, nil, lua.Probe, s.subscriber.Keys.Probe(), s.channel)
	if n, ok := a.Value.(int64); ok && a.Err == nil && n > 0 {
		return protocol.Countable
	}
	return protocol.Uncountable
}

// suspect is called when a wait has lost its place, or was granted the lock without a message that the server saw arrive. That
// may be because this subscription is not at the server of the scripts any more: a primary that has become a replica still passes
// messages on to its subscribers. If the scripts do not count the subscription, it is made anew.
func (s *subscription) suspect() {
	of := s.subscriber
	s.mu.Lock()
	f := s.conn
	look := s.mode == protocol.Countable && time.Since(s.suspected) >= protocol.CheckEvery/2
	if look {
		s.suspected = time.Now()
	}
	s.mu.Unlock()
	if !look {
		return
	}
	of.Background.Add()
	go func() {
		defer of.Background.Done()
		if s.probe() == protocol.Uncountable {
			f.close()
		}
	}()
}

// stop ends the subscription for good.
func (s *subscription) stop() {
	s.mu.Lock()
	f := s.conn
	s.mu.Unlock()
	if f != nil {
		f.close()
	}
}
