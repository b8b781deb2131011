package redislock

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

// topicRest is how long the channel of a lock stays subscribed after it was last waited for.
const topicRest = 30 * time.Second

// On a cluster a classic PUBLISH goes to every node. So grants go by sharded channels there (Redis 7), one for each lock
// that this Client waits for, in the lock's own slot; all that lie on one master share a PubSub. When a slot moves, its
// channels are subscribed where it is now. What else there is to say (a theft, news) is rare, and goes by the classic
// channel of the Client.

// topic is the wake channel of one lock on a cluster.
type topic struct {
	hearing
	name    string
	channel string

	// Guarded by shards.mu.
	shard *shard // where it is subscribed or about to be; nil while that is looked for
	used  time.Time
}

// shards are the topics of a Client, and the PubSubs that they are subscribed by.
type shards struct {
	hub     *hub
	cluster *redis.ClusterClient
	sweeper scheduler.Task
	silent  hearing // of who has no topic yet

	mu     sync.Mutex
	topics map[string]*topic // by the name of the lock
	open   map[string]*shard // by the address of the master
	old    bool              // the server is older than sharded channels
	deaf   map[string]bool   // by address, that it was told that there is no subscription; "" is for an unknown master
}

// shard is one PubSub, on the master that serves its topics.
type shard struct {
	*feed
	addr   string
	topics map[string]*topic // by channel; guarded by shards.mu
}

func newShards(of *hub, cluster *redis.ClusterClient) *shards {
	s := &shards{hub: of, cluster: cluster, topics: map[string]*topic{}, open: map[string]*shard{}, deaf: map[string]bool{}}
	s.sweeper = scheduler.Task{Job: scheduler.Func(s.sweep)}
	return s
}

func (s *shards) hears(name string) *hearing {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.old {
		return &s.hub.sub.hearing
	}
	if t := s.topics[name]; t != nil {
		t.used = time.Now()
		return &t.hearing
	}
	return &s.silent
}

func (s *shards) listen(name string) *hearing {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.old {
		return &s.hub.sub.hearing
	}
	t := s.topics[name]
	if t == nil {
		t = &topic{name: name, channel: protocol.LockChannel(s.hub.sub.channel, name)}
		s.topics[name] = t
		s.place([]*topic{t}, 0)
		if len(s.topics) == 1 {
			s.hub.scheduler.Set(&s.sweeper, time.Now().Add(topicRest))
		}
	}
	t.used = time.Now()
	return &t.hearing
}

// place subscribes topics, each on the master that serves its slot; what cannot be done now is tried again. The first
// attempt is after a pause unless attempt is 0.
func (s *shards) place(topics []*topic, attempt int) {
	if len(topics) == 0 {
		return
	}
	s.hub.loops.Add()
	go func() {
		defer s.hub.loops.Done()
		for ; len(topics) > 0; attempt++ {
			if attempt > 0 && !s.hub.pause(min(transport.Backoff(attempt), time.Second)) {
				return
			}
			var again []*topic
			dead := map[string]bool{} // one attempt at a master is enough
			for _, t := range topics {
				master, err := transport.MasterOf(context.Background(), s.cluster, t.channel)
				switch {
				case err != nil:
					s.hub.transport.Suspect(err)
					err = fmt.Errorf("subscribe to %s: %w", t.channel, err)
					t.end(err)
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
			topics = again
		}
	}()
}

// subscribe asks a master for the topic's messages, by the PubSub that there is or a new one. Where a new one cannot be
// connected it returns the topics that it was to have: they are to be placed again.
func (s *shards) subscribe(t *topic, master *redis.Client, attempt int) []*topic {
	c, addr := s.hub, master.Options().Addr
	s.mu.Lock()
	if s.topics[t.name] != t || t.shard != nil || c.isStopped() { // forgotten, or placed by another
		s.mu.Unlock()
		return nil
	}
	shard := s.open[addr]
	fresh := shard == nil
	if fresh {
		shard = s.begin(master)
	}
	t.shard = shard
	shard.topics[t.channel] = t
	s.mu.Unlock()

	subscribe := func() error { return shard.ps.SSubscribe(shard.ctx, t.channel) }
	if !fresh {
		if err := subscribe(); err != nil {
			_ = shard.ps.Close() // its reader ends, and places all of its topics anew
		}
		return nil
	}
	if err := shard.connect(subscribe); err != nil {
		strayed, _ := s.lost(shard, err)
		return strayed
	}
	c.loops.Add()
	go func() {
		defer c.loops.Done()
		strayed, heard := s.lost(shard, shard.receive(func(message any) error { return s.take(shard, message) }))
		if heard {
			attempt = 0
		}
		s.place(strayed, attempt+1)
	}()
	return nil
}

// begin opens a PubSub on a master. The caller holds s.mu.
func (s *shards) begin(master *redis.Client) *shard {
	shard := &shard{addr: master.Options().Addr, topics: map[string]*topic{}}
	shard.feed = s.hub.newFeed(func(ctx context.Context) *redis.PubSub { return master.SSubscribe(ctx) })
	s.open[shard.addr] = shard
	return shard
}

// take is what came on a PubSub.
func (s *shards) take(shard *shard, message any) error {
	c := s.hub
	switch m := message.(type) {
	case *redis.Message:
		c.listener.Heard(m.Payload)
	case *redis.Subscription:
		s.mu.Lock()
		t := shard.topics[m.Channel]
		switch {
		case t == nil: // forgotten, or placed elsewhere: what is confirmed here says nothing about it
		case m.Kind == "sunsubscribe": // its slot is elsewhere now
			s.leave(t)
			t.end(fmt.Errorf("subscribe to %s: its slot moves", t.channel))
		default:
			shard.whileOpen(func() { t.begin(protocol.Sharded) })
			delete(s.deaf, shard.addr)
			delete(s.deaf, "")
		}
		s.mu.Unlock()
		switch {
		case t == nil:
		case m.Kind == "sunsubscribe":
			s.cluster.ReloadState(context.Background())
			s.place([]*topic{t}, 1)
		default:
			c.listener.Recheck(t.name) // messages may have been lost before
		}
	case error:
		return s.refused(shard, m)
	}
	return nil
}

// refused is an error in place of a confirmation. It does not say of which topic.
func (s *shards) refused(shard *shard, err error) error {
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
	var strayed []*topic
	for _, t := range shard.topics {
		if mode, _ := t.state(); mode == "" {
			s.leave(t)
			strayed = append(strayed, t)
		}
	}
	s.mu.Unlock()
	s.place(strayed, attempt)
	return nil
}

// outage tells the Observer, once, that nothing can be subscribed on a master.
func (s *shards) outage(addr string, err error) {
	s.mu.Lock()
	told := s.deaf[addr]
	s.deaf[addr] = true
	s.mu.Unlock()
	if !told {
		s.hub.listener.Deaf(err)
	}
}

// leave takes a topic off its PubSub. The caller holds s.mu.
func (s *shards) leave(t *topic) {
	if t.shard != nil {
		delete(t.shard.topics, t.channel)
		t.shard = nil
	}
}

// lost ends a PubSub. It returns its topics, which are to be placed anew, and whether it had served any of them.
func (s *shards) lost(shard *shard, err error) (topics []*topic, heard bool) {
	s.hub.transport.Suspect(err)
	shard.close()
	s.mu.Lock()
	delete(s.open, shard.addr)
	s.old = s.old || transport.UnknownCommand(err)
	old := s.old
	for _, t := range shard.topics {
		s.leave(t)
		topics = append(topics, t)
	}
	s.mu.Unlock()
	reason := fmt.Errorf("subscribe to sharded channels: %w", err)
	if transport.Refused(err) {
		reason = fmt.Errorf("subscribe to sharded channels: %w: %w", ErrPermission, err)
	}
	for _, t := range topics {
		mode, _ := t.state()
		heard = heard || mode != ""
		t.end(reason)
		if old { // the classic channel serves from now on: whoever waits for this one looks again
			t.begin(protocol.Uncountable)
		}
	}
	if old {
		return nil, heard
	}
	if !heard && len(topics) > 0 {
		s.outage(shard.addr, reason)
	}
	s.cluster.ReloadState(context.Background())
	return topics, heard
}

// sweep forgets the topics that nobody has waited for lately. It runs in the scheduler.
func (s *shards) sweep() {
	c := s.hub
	s.mu.Lock()
	idle := map[*shard][]string{}
	for name, t := range s.topics {
		if time.Since(t.used) < topicRest || c.listener.Waits(name) {
			continue
		}
		delete(s.topics, name)
		if shard := t.shard; shard != nil {
			s.leave(t)
			idle[shard] = append(idle[shard], t.channel)
		}
	}
	if len(s.topics) > 0 {
		c.scheduler.Set(&s.sweeper, time.Now().Add(topicRest))
	}
	s.mu.Unlock()
	for shard, channels := range idle {
		c.background.Add()
		go func() { // it may block on the connection
			defer c.background.Done()
			for _, channel := range channels {
				_ = shard.ps.SUnsubscribe(shard.ctx, channel) // where it fails the connection is lost, and with it the channel
			}
		}()
	}
}

// stop ends all PubSubs for good.
func (s *shards) stop() {
	s.mu.Lock()
	open := slices.Collect(maps.Values(s.open))
	s.mu.Unlock()
	s.hub.scheduler.Remove(&s.sweeper)
	for _, shard := range open {
		shard.close()
	}
}

// verify moves the topic of a name to the master that serves it now, if it is subscribed elsewhere: after a failover
// the old master still passes messages on, but the new one cannot count who hears them.
func (s *shards) verify(name string) {
	s.mu.Lock()
	t := s.topics[name]
	s.mu.Unlock()
	if t == nil {
		return
	}
	master, err := transport.MasterOf(context.Background(), s.cluster, t.channel)
	if err != nil {
		return
	}
	s.mu.Lock()
	shard := t.shard
	moved := shard != nil && shard.addr != master.Options().Addr
	if moved {
		s.leave(t)
		t.end(fmt.Errorf("subscribe to %s: its master is another now", t.channel))
	}
	s.mu.Unlock()
	if moved {
		s.place([]*topic{t}, 0)
		s.hub.background.Add()
		go func() { // the old one may be gone, and this stands on its connection; renewals are answered behind us
			defer s.hub.background.Done()
			_ = shard.ps.SUnsubscribe(shard.ctx, t.channel)
		}()
	}
}
