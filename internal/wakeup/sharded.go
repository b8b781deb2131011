package wakeup

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/scheduler"
	"example.com/redislock/internal/transport"
)

// idleTime is how long the channel of a lock stays subscribed after it was last waited for.
const idleTime = 30 * time.Second

// On a cluster a classic PUBLISH goes to every node. So on a cluster grants are sent on sharded channels (Redis 7), one for each
// lock for which this Client waits, in the lock's own slot. All channels on one master share a PubSub. When a slot moves, its
// channels are subscribed where it is now. All other messages (steals, broadcasts) are rare, and are sent on the classic channel
// of the Client.

// lockChannel is the wake channel of one lock on a cluster.
type lockChannel struct {
	channelState
	name    string
	channel string

	// Guarded by sharded.mu.
	node *node // where it is subscribed or about to be; nil while that is looked for
	used time.Time
}

// sharded is the channels of the locks that a Client waits for, and the PubSubs that they are subscribed by.
type sharded struct {
	subscriber *Subscriber
	cluster    *redis.ClusterClient
	sweeper    scheduler.Task
	silent     channelState // of a lock that has no channel yet

	mu       sync.Mutex
	channels map[string]*lockChannel // by the name of the lock
	nodes    map[string]*node        // by the address of the master
	old      bool                    // the server is older than sharded channels
	told     map[string]bool         // by address, that it was told that there is no subscription; "" is for an unknown master
}

// node is the PubSub on one master, which serves the slots of its channels.
type node struct {
	*connection
	addr     string
	channels map[string]*lockChannel // by channel; guarded by sharded.mu
}

func newSharded(of *Subscriber, cluster *redis.ClusterClient) *sharded {
	s := &sharded{subscriber: of, cluster: cluster, channels: map[string]*lockChannel{}, nodes: map[string]*node{}, told: map[string]bool{}}
	s.sweeper = scheduler.Task{Job: scheduler.Func(s.sweep)}
	return s
}

func (s *sharded) channel(name string) *channelState {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.old {
		return &s.subscriber.own.channelState
	}
	if t := s.channels[name]; t != nil {
		t.used = time.Now()
		return &t.channelState
	}
	return &s.silent
}

func (s *sharded) subscribing(name string) *channelState {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.old {
		return &s.subscriber.own.channelState
	}
	t := s.channels[name]
	if t == nil {
		t = &lockChannel{name: name, channel: protocol.LockChannel(s.subscriber.own.channel, name)}
		s.channels[name] = t
		s.place([]*lockChannel{t}, 0)
		if len(s.channels) == 1 {
			s.subscriber.Scheduler.Set(&s.sweeper, time.Now().Add(idleTime))
		}
	}
	t.used = time.Now()
	return &t.channelState
}

// place subscribes channels, each at the master that serves its slot. A subscription that fails is tried again. The first attempt
// is after a pause unless attempt is 0.
func (s *sharded) place(channels []*lockChannel, attempt int) {
	if len(channels) == 0 {
		return
	}
	s.subscriber.Loops.Add()
	go func() {
		defer s.subscriber.Loops.Done()
		for ; len(channels) > 0; attempt++ {
			if attempt > 0 && !s.subscriber.pause(min(transport.Backoff(attempt), time.Second)) {
				return
			}
			var again []*lockChannel
			dead := map[string]bool{} // one attempt at a master is enough
			for _, t := range channels {
				master, err := transport.MasterOf(context.Background(), s.cluster, t.channel)
				switch {
				case err != nil:
					s.subscriber.Transport.Suspect(err)
					err = fmt.Errorf("subscribe to %s: %w", t.channel, err)
					t.lost(err)
					s.outage("", err)
					again = append(again, t)
				case dead[master.Options().Addr]:
					again = append(again, t)
				default:
					failed := s.subscribe(t, master, attempt)
					dead[master.Options().Addr] = len(failed) > 0
					again = append(again, failed...)
				}
			}
			channels = again
		}
	}()
}

// subscribe subscribes a channel on a master, by the PubSub that there is or a new one. Where a new one cannot be connected it
// returns the channels that it was to have: they are to be placed again.
func (s *sharded) subscribe(t *lockChannel, master *redis.Client, attempt int) []*lockChannel {
	of, addr := s.subscriber, master.Options().Addr
	s.mu.Lock()
	if s.channels[t.name] != t || t.node != nil || of.isStopped() { // forgotten, or placed by another
		s.mu.Unlock()
		return nil
	}
	n := s.nodes[addr]
	fresh := n == nil
	if fresh {
		n = s.open(master)
	}
	t.node = n
	n.channels[t.channel] = t
	s.mu.Unlock()

	subscribe := func() error { return n.ps.SSubscribe(n.ctx, t.channel) }
	if !fresh {
		if err := subscribe(); err != nil {
			_ = n.ps.Close() // its reader ends, and places all of its channels anew
		}
		return nil
	}
	if err := n.connect(subscribe); err != nil {
		unplaced, _ := s.lost(n, err)
		return unplaced
	}
	of.Loops.Add()
	go func() {
		defer of.Loops.Done()
		unplaced, heard := s.lost(n, n.receive(func(message any) error { return s.take(n, message) }))
		if heard {
			attempt = 0
		}
		s.place(unplaced, attempt+1)
	}()
	return nil
}

// open begins a PubSub on a master. The caller holds s.mu.
func (s *sharded) open(master *redis.Client) *node {
	n := &node{addr: master.Options().Addr, channels: map[string]*lockChannel{}}
	n.connection = s.subscriber.newConnection(func(ctx context.Context) *redis.PubSub { return master.SSubscribe(ctx) })
	s.nodes[n.addr] = n
	return n
}

// take handles a message of a PubSub.
func (s *sharded) take(n *node, message any) error {
	of := s.subscriber
	switch m := message.(type) {
	case *redis.Message:
		of.Listener.Message(m.Payload)
	case *redis.Subscription:
		s.mu.Lock()
		t := n.channels[m.Channel]
		switch {
		case t == nil: // forgotten, or placed elsewhere: what is confirmed here says nothing about it
		case m.Kind == "sunsubscribe": // its slot is elsewhere now
			s.detach(t)
			t.lost(fmt.Errorf("subscribe to %s: its slot moves", t.channel))
		default:
			n.whileOpen(func() { t.subscribed(protocol.Sharded) })
			delete(s.told, n.addr)
			delete(s.told, "")
		}
		s.mu.Unlock()
		switch {
		case t == nil:
		case m.Kind == "sunsubscribe":
			s.cluster.ReloadState(context.Background())
			s.place([]*lockChannel{t}, 1)
		default:
			of.Listener.ChannelSubscribed(t.name) // messages may have been lost before
		}
	case error:
		return s.refused(n, m)
	}
	return nil
}

// refused is an error in place of a confirmation. It does not say of which channel.
func (s *sharded) refused(n *node, err error) error {
	attempt := 3
	switch {
	case redis.HasErrorPrefix(err, "MOVED"):
	case redis.HasErrorPrefix(err, "CLUSTERDOWN"): // nobody serves that slot, which says nothing about the others
		attempt = 8
	default:
		return err
	}
	s.cluster.ReloadState(context.Background())
	s.mu.Lock()
	var unplaced []*lockChannel
	for _, t := range n.channels {
		if mode, _ := t.state(); mode == "" {
			s.detach(t)
			unplaced = append(unplaced, t)
		}
	}
	s.mu.Unlock()
	s.place(unplaced, attempt)
	return nil
}

// outage tells the Observer, once, that nothing can be subscribed on a master.
func (s *sharded) outage(addr string, err error) {
	s.mu.Lock()
	told := s.told[addr]
	s.told[addr] = true
	s.mu.Unlock()
	if !told {
		s.subscriber.Listener.SubscribeFailed(err)
	}
}

// detach takes a channel off its PubSub. The caller holds s.mu.
func (s *sharded) detach(t *lockChannel) {
	if t.node != nil {
		delete(t.node.channels, t.channel)
		t.node = nil
	}
}

// lost ends a PubSub. It returns its channels, which are to be placed anew, and whether it had served any of them.
func (s *sharded) lost(n *node, err error) (channels []*lockChannel, heard bool) {
	s.subscriber.Transport.Suspect(err)
	n.close()
	s.mu.Lock()
	delete(s.nodes, n.addr)
	s.old = s.old || transport.UnknownCommand(err)
	old := s.old
	for _, t := range n.channels {
		s.detach(t)
		channels = append(channels, t)
	}
	s.mu.Unlock()
	reason := fmt.Errorf("subscribe to sharded channels: %w", err)
	if transport.Refused(err) {
		reason = fmt.Errorf("subscribe to sharded channels: %w: %w", transport.ErrPermission, err)
	}
	for _, t := range channels {
		mode, _ := t.state()
		heard = heard || mode != ""
		t.lost(reason)
		if old { // the classic channel serves from now on, so waits for this one look again
			t.subscribed(protocol.Uncountable)
		}
	}
	if old {
		return nil, heard
	}
	if !heard && len(channels) > 0 {
		s.outage(n.addr, reason)
	}
	s.cluster.ReloadState(context.Background())
	return channels, heard
}

// sweep removes the channels for which no caller has waited lately. It runs in the scheduler.
func (s *sharded) sweep() {
	of := s.subscriber
	s.mu.Lock()
	idle := map[*node][]string{}
	for name, t := range s.channels {
		if time.Since(t.used) < idleTime || of.Listener.Waiting(name) {
			continue
		}
		delete(s.channels, name)
		if n := t.node; n != nil {
			s.detach(t)
			idle[n] = append(idle[n], t.channel)
		}
	}
	if len(s.channels) > 0 {
		of.Scheduler.Set(&s.sweeper, time.Now().Add(idleTime))
	}
	s.mu.Unlock()
	for n, channels := range idle {
		of.Background.Add()
		go func() { // it may block on the connection
			defer of.Background.Done()
			for _, channel := range channels {
				_ = n.ps.SUnsubscribe(n.ctx, channel) // where it fails the connection is lost, and with it the channel
			}
		}()
	}
}

// stop ends all PubSubs for good.
func (s *sharded) stop() {
	s.mu.Lock()
	open := slices.Collect(maps.Values(s.nodes))
	s.mu.Unlock()
	s.subscriber.Scheduler.Remove(&s.sweeper)
	for _, n := range open {
		n.close()
	}
}

// verify moves the channel of a name to the master that serves it now, if it is subscribed elsewhere: after a failover the old
// master still passes messages on, but the new one cannot count their receivers.
func (s *sharded) verify(name string) {
	s.mu.Lock()
	t := s.channels[name]
	s.mu.Unlock()
	if t == nil {
		return
	}
	master, err := transport.MasterOf(context.Background(), s.cluster, t.channel)
	if err != nil {
		return
	}
	s.mu.Lock()
	n := t.node
	moved := n != nil && n.addr != master.Options().Addr
	if moved {
		s.detach(t)
		t.lost(fmt.Errorf("subscribe to %s: its master is another now", t.channel))
	}
	s.mu.Unlock()
	if moved {
		s.place([]*lockChannel{t}, 0)
		s.subscriber.Background.Add()
		go func() { // the old one may be gone, and this stands on its connection; renewals are answered behind us
			defer s.subscriber.Background.Done()
			_ = n.ps.SUnsubscribe(n.ctx, t.channel)
		}()
	}
}
