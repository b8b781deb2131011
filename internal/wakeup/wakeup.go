// Package wakeup has the subscriptions of a Client, by which it receives messages.
//
// A Client subscribes to a wake channel of its own and to the broadcast channel of its prefix, by one PubSub, from its first lock
// on. On a cluster, where a classic PUBLISH goes to every node, grants come by a sharded channel for each lock that the Client
// waits for. A message is only a hint (I9): the Listener looks for the grant's token among the waits of this process, and only a
// reader of the lock's key can know that token. A message that is lost costs time and never a lock, for waiters check. The
// watchers of a lock or an election are told of its changes on a channel of that name, by a connection of their own.
//
// Each wake channel is in one of these states:
//
//	           confirmed by the server
//	silent ──────────────────────────────▶ subscribed       State's mode says how grants may be told by it:
//	  ▲  ▲                                  │    │             Countable    the scripts count its receivers
//	  │  └─ an attempt failed: told once    │    │ confirmed   Sharded      likewise, on the lock's own shard
//	  │     for each outage, tried again ◀──┘    │ anew: a     Uncountable  they cannot be counted: a cluster with
//	  │     with growing pauses                  │ new epoch                classic channels, an unknown client
//	  └──────────────────────────────────────────┘
//	    the connection broke; no answer to a ping (pingAfter);
//	    its slot moved; the server does not count it (Suspect, Verify)
//
// What happens when a subscription breaks is in subscription.go (run) for the Client's channel, and in sharded.go (lost) for
// those of a cluster. All waits and holds ask at once when the subscription is there again (Listener.Subscribed).
//
//	wakeup.go        Subscriber: what the rest of the engine calls; Listener: what it is told
//	channel.go       channelState: the state of one wake channel
//	connection.go    one PubSub, and the watch over its silence
//	subscription.go  the Client's own channel and the broadcasts
//	sharded.go       the channels of locks on a cluster: placed, moved with their slots, forgotten
//	changes.go       the channels of locks and elections that somebody watches
package wakeup

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/backend"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/scheduler"
	"example.com/redislock/internal/tracker"
	"example.com/redislock/internal/transport"
)

// Listener gets the messages, on the goroutine that reads a connection: its methods must not block.
type Listener interface {
	Message(payload string)        // a message for this Client
	Broadcast(payload string)      // a message for all Clients of the prefix
	Subscribed()                   // the Client's own channel is subscribed, for the first time or anew: messages may have been lost
	ChannelSubscribed(name string) // so is the channel of one lock
	Waiting(name string) bool      // whether this process waits for a lock
	SubscribeFailed(err error)     // an outage has begun: there is no subscription
}

// Subscriber has all subscriptions of one Client.
type Subscriber struct {
	Config
	own     *subscription
	shards  *sharded // nil where there is no cluster
	changes changes
}

// Config is what a Subscriber works with.
type Config struct {
	Redis      redis.UniversalClient
	Backend    backend.Backend
	Keys       protocol.Keys
	Transport  *transport.Transport
	Scheduler  *scheduler.Scheduler
	Background *tracker.Tracker // counts the goroutines that end by themselves
	Loops      *tracker.Tracker // counts the goroutines that read, until Stopped
	Closing    <-chan struct{}  // closed when all waits must fail
	Cause      func() error     // why, when Closing is closed
	Stopped    <-chan struct{}  // closed when the readers are to end
	Listener   Listener
}

// New makes the Subscriber of a Client. Nothing is sent before Start.
func New(cfg Config) *Subscriber {
	s := &Subscriber{Config: cfg}
	s.changes.subscriber = s
	s.own = &subscription{subscriber: s, channel: s.Keys.Wake(protocol.NewToken())}
	if cluster := s.Backend.Cluster; cluster != nil {
		s.shards = newSharded(s, cluster)
	}
	return s
}

// WakeChannel is the name of the Client's own channel.
func (s *Subscriber) WakeChannel() string { return s.own.channel }

// Start subscribes in the background, once.
func (s *Subscriber) Start() { s.own.start() }

// Stop ends all subscriptions for good.
func (s *Subscriber) Stop() {
	s.own.stop()
	s.changes.stop()
	if s.shards != nil {
		s.shards.stop()
	}
}

// Suspect is called when a wait has lost its place, or was granted the lock without a message that the server saw arrive.
func (s *Subscriber) Suspect() { s.own.suspect() }

// Verify is called after a check of a name: its channel may be subscribed at a former master.
func (s *Subscriber) Verify(name string) {
	if s.shards != nil {
		s.shards.verify(name)
	}
}

// Sharded reports whether grants can come by sharded channels.
func (s *Subscriber) Sharded() bool { return s.shards != nil }

func (s *Subscriber) isStopped() bool {
	select {
	case <-s.Stopped:
		return true
	default:
		return false
	}
}

// pause sleeps, and reports whether the readers go on.
func (s *Subscriber) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.Stopped:
		return false
	case <-s.Transport.Orphaned():
		return false
	}
}

// State says how a grant of that lock can be told to this Client, and which subscription that is by its number. The mode is
// empty while there is no subscription. It subscribes to nothing.
func (s *Subscriber) State(name string) (mode string, epoch uint64) {
	if s.shards == nil {
		return s.own.state()
	}
	return s.shards.channel(name).state()
}

// Listens reports whether messages of the wake channel arrive now.
func (s *Subscriber) Listens() bool {
	mode, _ := s.own.state()
	return mode != ""
}

// Await subscribes to the channels that a waiter for that name needs, and returns when the server has confirmed them. If they
// cannot be subscribed now, the waiter must do without them.
func (s *Subscriber) Await(ctx context.Context, name string) (without bool, err error) {
	if s.shards == nil {
		return s.own.await(ctx, s)
	}
	return s.shards.subscribing(name).await(ctx, s)
}

// Hears returns when all channels that a waiter for that name needs are subscribed, or with an error when ctx ends.
func (s *Subscriber) Hears(ctx context.Context, name string) error {
	channels := []*channelState{&s.own.channelState}
	if s.shards != nil {
		channels = append(channels, s.shards.subscribing(name))
	}
	for _, c := range channels {
		for without := true; without; {
			var err error
			if without, err = c.await(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// Broadcasts reports whether the broadcasts of the prefix arrive now, and if not, whether that is because the server
// cannot be reached.
func (s *Subscriber) Broadcasts() (arrive, unreachable bool) {
	c := &s.own.channelState
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mode != "", c.mode == "" && c.err != nil && !transport.Answered(c.err)
}
