package redislock

import (
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
	"example.com/redislock/internal/waiting"
	"example.com/redislock/lua"
)

// errGone says that a grant was over before the caller used it: it was broken or revoked, or the server lost its data.
var errGone = fmt.Errorf("%w: granted, and taken away before it was used", ErrLost)

// confirm adds what the grant itself does not give: a fence above all that were seen, and replicas that have the hold. Nearly
// always neither is wanted, and nothing is sent. The bound of a hold that was confirmed is that of the confirmation (I6).
func (q *acquisition) confirm(g waiting.Grant) (waiting.Grant, error) {
	c := q.client
	fence := protocol.ParseFence(g.Fence)
	seen := q.seenBefore(fence)
	if fence > seen && fence > q.floor && q.replicas == 0 {
		c.floors.note(q.name, fence)
		return g, nil
	}
	token := q.token
	if q.changes != nil {
		token = q.changes.hold.lease.Token()
	}
	args := []any{token, floorArg(q.floor), floorArg(seen)}
	var a transport.Answer
	if q.replicas > 0 {
		a = c.replicas.Ask(q.parent, int(q.replicas), q.replicaTime, lua.Confirm, q.key.(string), args)
	} else {
		a = c.transport.Ask(q.parent, nil, lua.Confirm, q.key.(string), args...)
	}
	if a.Err != nil {
		return g, a.Err
	}
	r, err := protocol.ParseReply(a.Value)
	switch {
	case err != nil:
		return g, err
	case r.Status == "gone":
		return g, errGone
	case r.Status == "ahead":
		return g, invalid("WithFenceFloor(%d): more than a day ahead of the server's clock, whose time is %d", q.floor, r.Now)
	case r.Status != "granted":
		return g, fmt.Errorf("unexpected answer %q", r.Status)
	}
	g.Fence, g.Lease, g.Valid = r.Fence, r.Lease.Sub(0), clock.Until(a.Sent, r.Now, r.At+r.Lease, c.margin)
	if fence = protocol.ParseFence(g.Fence); fence <= seen {
		c.floors.forget(q.name)
	}
	c.floors.note(q.name, fence)
	if q.changes != nil && !q.changes.hold.lease.Final() { // a final lease is not extended: it ends when it was to end
		q.changes.hold.lease.Extend(g.Valid, a.Sent)
	}
	return g, nil
}

func floorArg(fence int64) string {
	if fence == 0 {
		return ""
	}
	return fmt.Sprintf("%016d", fence)
}

// Fences rise by themselves while the server remembers the last one, and over a loss of data as long as its clock is not behind.
// If data is lost and the clock is behind, the server does not know the earlier fences. The Client does that, for the names that
// it uses. If the fence of a grant is not above that floor, it is raised above it before the caller sees it (lua/confirm.lua). So
// a process never gets a lower fence than one that it had before.

// maxFence is the greatest number of 16 digits.
const maxFence = 1e16 - 1

// maxFloors is how many names a generation of floors has. The Client remembers at least the last that many names it has used,
// and up to twice as many. Each takes about 20 bytes, however long it is: 5 MB at the most.
const maxFloors = 1 << 16

// WithFenceFloor says that a fence was seen; the lock's own fence will be greater. A resource that refused a write as late
// knows the greatest fence it has accepted (Seen of the StaleError, in package fence). After a loss of data the resource
// would refuse the next holder for as long as the server's clock is behind. This option prevents that.
//
// A Client remembers by itself the greatest fence that it has seen of each of the last 65,536 names it used, from its own
// locks, [Client.Inspect] and [Client.Break]. This option is for fences that others have seen. A grant that is above the
// floor anyway costs nothing. A grant below it costs one more request. A name whose fences are ahead of the clock costs some
// microseconds of the server's time for each acquire, until the clock has caught up.
//
// 0 is no floor. A negative floor, or one of more than 16 digits, is [ErrInvalid]. So is one that is more than 24 h ahead of the
// server's clock, once the server has said so; the lock is then given back. So a wrong number cannot drive the fences of a name
// far ahead. A fence that the Client remembers by itself is ignored if it is that far ahead. A nested acquire has the fence of
// its hold, whatever the floor.
func WithFenceFloor(seen int64) Option {
	return func(s *settings) error {
		if seen < 0 || seen > maxFence {
			return invalid("WithFenceFloor(%d): must be from 0 to %d", seen, int64(maxFence))
		}
		s.floor = seen
		return nil
	}
}

// floors are the greatest fences that a Client has seen, by name, in two generations. When the young one is full, the old one
// is forgotten. Names are kept as hashes. If two names ever have the same hash, a fence is lifted without need.
type floors struct {
	seed maphash.Seed

	mu         sync.Mutex
	young, old map[uint64]int64
}

func newFloors() floors {
	return floors{seed: maphash.MakeSeed(), young: map[uint64]int64{}}
}

// of is the greatest fence seen of a name, or 0 if none is remembered.
func (f *floors) of(name string) int64 {
	key := maphash.String(f.seed, name)
	f.mu.Lock()
	defer f.mu.Unlock()
	if fence, known := f.young[key]; known {
		return fence
	}
	return f.old[key]
}

// note remembers a fence that was seen.
func (f *floors) note(name string, fence int64) {
	key := maphash.String(f.seed, name)
	f.mu.Lock()
	defer f.mu.Unlock()
	seen, young := f.young[key]
	if !young {
		seen = f.old[key]
		if len(f.young) >= maxFloors {
			f.young, f.old = make(map[uint64]int64, maxFloors), f.young
		}
	}
	if fence > seen || !young {
		f.young[key] = max(fence, seen)
	}
}

// forget drops a fence that the server found to be too far ahead of its clock to be true.
func (f *floors) forget(name string) {
	key := maphash.String(f.seed, name)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.young, key)
	delete(f.old, key)
}

// seenBefore is the number that the fence of a grant to this token must be above: the greatest fence that the Client had seen
// before it asked. If the mode tolerates nobody, nobody else was granted the lock since then. So a fence that was seen
// meanwhile counts too, except for this grant's own, which an Inspect may have shown. Beside holders in a shared mode, a
// greater fence may be that of a later grant, of which the Client heard first.
func (q *acquisition) seenBefore(fence int64) int64 {
	if q.mode.alone() {
		if now := q.client.floors.of(q.name); now > fence {
			return now
		}
	}
	return q.seen
}

const (
	// MaxReplicas and MaxReplicaTimeout bound [WithReplicas], whose timeout is at least [MinReplicaTimeout].
	MaxReplicas       = 100
	MinReplicaTimeout = time.Millisecond
	MaxReplicaTimeout = time.Minute
)

// WithReplicas makes the acquire count only when n replicas have the hold, from 1 to [MaxReplicas]. If fewer replicas have
// confirmed it within the timeout, from 1 ms to a minute, the lock is given back, and the error is [ErrNotReplicated]. The
// option costs one more request and a WAIT, which blocks a connection of the Redis client meanwhile. A Client blocks at most
// half of the connections to a node, because other requests need some too; a further caller waits for its turn. A pool of one
// connection is [ErrInvalid]. The timeout is counted from the grant: [WithWait] bounds the waiting for the lock, not this. No
// grant waits for replicas longer than its lease lasts.
//
// The option makes it less likely that a failover forgets a hold and gives the lock to a second owner. It does not exclude
// that: WAIT does not make Redis strongly consistent, as its own documentation says
// (https://redis.io/docs/latest/commands/wait/). A failover may promote a replica that is not among the n, and a replica that
// has acknowledged the hold may have lost it in a restart. Renewals are not waited for, so a replica that lags may have the
// hold with an earlier deadline. The fence remains what protects the resource. An error does not say that no replica has the
// hold: a replica that is promoted before it has heard of the release keeps the hold until its lease ends.
//
// An upgrade of the hold waits for the replicas too. An upgrade that is not replicated is undone, and the lock is held in Read as
// before. Renewals and releases do not wait.
//
// The option needs a *redis.Client or a *redis.ClusterClient, because the write and the WAIT that counts it must be on one
// connection. Any other client, such as *redis.AutoPipeliner or a wrapper, would not see them, and the acquire returns
// [ErrInvalid]. The option is off by default. As a default of the Client it counts for the locks of Once, Share, Cron and
// Elect too.
func WithReplicas(n int, timeout time.Duration) Option {
	return func(s *settings) error {
		if n < 1 || n > MaxReplicas {
			return invalid("WithReplicas(%d, %v): the replicas must be from 1 to %d", n, timeout, MaxReplicas)
		}
		if timeout < MinReplicaTimeout || timeout > MaxReplicaTimeout {
			return invalid("WithReplicas(%d, %v): the timeout must be from %v to %v", n, timeout, MinReplicaTimeout, MaxReplicaTimeout)
		}
		s.replicas, s.replicaTime = int16(n), timeout
		return nil
	}
}

// unreplicated takes WithReplicas off, for a hold that guards nothing.
func unreplicated(s *settings) error {
	s.replicas = 0
	return nil
}
