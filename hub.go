package redislock

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

// listener is who is told what comes: on the goroutine that reads a connection, so it must not block.
type listener interface {
	Heard(payload string)     // a message for this Client
	Broadcast(payload string) // one for all Clients of the prefix
	Subscribed()              // the wake channel is subscribed, for the first time or anew: messages may have been lost before
	Recheck(name string)      // so is the channel of one lock
	Waits(name string) bool   // whether that is still waited for
	Deaf(err error)           // there is no subscription; told once for each outage
}

// hub is how one Client hears.
type hub struct {
	hubConfig
	sub    *subscription
	shards *shards // nil where there is no cluster
}

// hubConfig is what a hub works with.
type hubConfig struct {
	rdb        redis.UniversalClient
	behind     backend.Backend
	keys       protocol.Keys
	transport  *transport.Transport
	scheduler  *scheduler.Scheduler
	background *tracker.Tracker // what is sent by the way
	loops      *tracker.Tracker // the readers
	closing    <-chan struct{}  // closed when what waits fails
	cause      func() error     // why, then
	stopped    <-chan struct{}  // closed when the readers are to end
	listener   listener
}

func newHub(cfg hubConfig) *hub {
	h := &hub{hubConfig: cfg}
	h.sub = &subscription{hub: h, channel: h.keys.Wake(protocol.NewToken())}
	if cluster := h.behind.Cluster; cluster != nil {
		h.shards = newShards(h, cluster)
	}
	return h
}

// channel is the wake channel of this Client.
func (h *hub) channel() string { return h.sub.channel }

// start subscribes in the background, once.
func (h *hub) start() { h.sub.start() }

// stop ends all subscriptions for good.
func (h *hub) stop() {
	h.sub.stop()
	if h.shards != nil {
		h.shards.stop()
	}
}

// doubt is called when a wait has lost its place, or was granted the lock without a message that the server saw arrive.
func (h *hub) doubt() { h.sub.doubt() }

// verify is called after a check of a name: its channel may be subscribed at a former master.
func (h *hub) verify(name string) {
	if h.shards != nil {
		h.shards.verify(name)
	}
}

// sharded reports whether grants can come by sharded channels.
func (h *hub) sharded() bool { return h.shards != nil }

func (h *hub) isStopped() bool {
	select {
	case <-h.stopped:
		return true
	default:
		return false
	}
}

// pause sleeps, and reports whether the readers go on.
func (h *hub) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-h.stopped:
		return false
	case <-h.transport.Orphaned():
		return false
	}
}

// hears is what a wait for that name hears of. It subscribes to nothing.
func (h *hub) hears(name string) *hearing {
	if h.shards == nil {
		return &h.sub.hearing
	}
	return h.shards.hears(name)
}

// listen subscribes to what a wait for that name has to hear, and returns when that is confirmed, or cannot be for now.
func (h *hub) listen(ctx context.Context, name string) (alone bool, err error) {
	if h.shards == nil {
		return h.sub.await(ctx, h)
	}
	return h.shards.listen(name).await(ctx, h)
}
