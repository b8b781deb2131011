package redislock

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/bridge"
	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/lua"
)

// A lock of package quorum is one lock of this package on each of its nodes. It needs more than the exported API: a ticket of its
// own choice, and one fence for all nodes. This file has that. A condition of package barrier needs to know of a place in a
// queue.

func init() { bridge.Root = nodes{} }

// nodes has the functions that packages quorum and barrier need of a Client.
type nodes struct{}

// Redis is the Redis client of a Client, and the client of one server behind it; that is nil where something else is.
func (nodes) Redis(c *Client) (redis.UniversalClient, *redis.Client) {
	if c == nil || c.rdb == nil {
		return nil, nil
	}
	return c.rdb, c.behind.Single
}

// Dials counts the connections that the Redis client of a Client has made since the first call, by a hook. If the number is the
// same before one request and after another, the same run of the server answered both.
func (nodes) Dials(c *Client) *atomic.Uint64 {
	c.dials.once.Do(func() { c.behind.Single.AddHook(&c.dials) })
	return &c.dials.made
}

// dials is a hook that counts connections.
type dials struct {
	once sync.Once
	made atomic.Uint64
}

func (d *dials) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err == nil {
			d.made.Add(1)
		}
		return conn, err
	}
}

func (*dials) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (*dials) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// Trouble is why the last request of a Client had no answer, nil if it had one.
func (nodes) Trouble(c *Client) error { return c.transport.Trouble() }

// Prefix is that of the keys of a Client.
func (nodes) Prefix(c *Client) string { return c.prefix }

// Settings returns the values of options for a Client: the lease; how long to wait, if waits is true; how long to hold, if more
// than 0; and whether nested handles are forbidden. node is for Acquire, on this node and on all others. An option that a lock
// over several nodes does not have is [ErrInvalid].
func (nodes) Settings(c *Client, name string, opts []Option) (lease, wait, maxHold time.Duration, waits, strict bool, node any, err error) {
	s := c.defaults
	if err := c.accept(context.Background(), name, opts, &s); err != nil {
		return 0, 0, 0, false, false, nil, err
	}
	switch {
	case s.mode != Exclusive || s.weight != 1:
		err = invalid("WithMode, WithWeight: a lock of a quorum is exclusive")
	case s.inTurns():
		err = invalid("WithTurn, WithLinger: only the nodes grant a lock of a quorum")
	case s.replicas > 0:
		err = invalid("WithReplicas: the nodes of a quorum have no replicas")
	case s.few != nil && s.few.deadlockCheck > 0:
		err = invalid("WithDeadlockCheck: it does not see waits on several nodes")
	case s.maxQueue > 0:
		err = invalid("WithMaxQueue: each node of a quorum has a queue of its own")
	case s.floor > 0:
		err = invalid("WithFenceFloor: a quorum confirms its fence by itself")
	}
	if err != nil {
		return 0, 0, 0, false, false, nil, err
	}
	maxHold = s.maxHold
	if s.noRenewal && (maxHold == 0 || s.lease < maxHold) {
		maxHold = s.lease
	}
	of := &settings{lease: s.lease, weight: 1, metadata: s.metadata, steal: s.steal, stealSet: s.stealSet, stays: true}
	return s.lease, s.wait, maxHold, s.waitSet, s.nonReentrant, of, nil
}

// voter is told about a vote, which is a lock on one node. Its methods are called on goroutines of the Client, or on that which
// releases the lock, and must not block.
type voter = interface {
	Queued()           // the acquire waits for its turn
	Asked(why string)  // somebody asks for the lock (Client.Ask)
	Ended(cause error) // the lock has ended, as its context has; perhaps before its acquire returns
}

// vote has what a lock of package quorum needs in addition.
type vote struct {
	ticket string // its place in the queue, and the fence that it would like: 16 digits of server µs
	hears  hears
}

// Acquire takes the lock of one node, as [Client.Acquire] does, until ctx ends; if try is true, it does not wait. It goes on until an
// attempt that is under way has ended, whatever ctx says. The lock is renewed until it is released.
func (nodes) Acquire(ctx context.Context, c *Client, name string, node any, ticket string, try bool, of voter) (*Lock, error) {
	if c.isClosed() {
		return nil, wrapOp("acquire", name, ErrClosed)
	}
	q := &acquisition{client: c, name: name, parent: ctx, settings: *node.(*settings)}
	q.few, q.waitSet = &few{vote: &vote{ticket, hears{voter: of}}}, try
	if q.lease-q.lease/1000 <= c.margin {
		return nil, wrapOp("acquire", name, invalid("WithLease(%v): nothing of it is left under a clock margin of %v", q.lease, c.margin))
	}
	l, err := c.seek(q)
	return l, wrapOp("acquire", name, err)
}

// Confirm gives the hold that fence, if its own is not greater, and makes its lease whole. The result is its fence then. A hold that
// is over is [ErrLost].
func (nodes) Confirm(l *Lock, fence int64) (int64, error) {
	h := l.hold
	c := h.client
	args := []any{h.lease.Token(), floorArg(fence - 1), ""}
	a := c.transport.Ask(context.Background(), nil, lua.Confirm, h.lease.Key(), args...)
	if a.Err != nil {
		return 0, a.Err
	}
	r, err := protocol.ParseReply(a.Value)
	switch {
	case err != nil:
		return 0, err
	case r.Status == "gone":
		return 0, errGone
	case r.Status == "ahead":
		return 0, fmt.Errorf("the fence %d is more than a day ahead of this server's clock, whose time is %d", fence, r.Now)
	case r.Status != "granted":
		return 0, fmt.Errorf("unexpected answer %q", r.Status)
	}
	if r.Fence != h.lease.FenceText() {
		h.lease.Raise(r.Fence)
		h.mu.Lock()
		h.alone = false // the hash has it in its long form
		h.mu.Unlock()
	}
	h.lease.Extend(clock.Until(a.Sent, r.Now, r.At+r.Lease, c.margin), a.Sent)
	got := protocol.ParseFence(r.Fence)
	c.floors.note(h.name, got)
	return got, nil
}

// Held is since when a lock has been held, and until when it counts as held unless it is renewed, by the local clock.
func (nodes) Held(l *Lock) (since, until time.Time) {
	return l.hold.lease.Granted(), l.hold.lease.Deadline()
}

// placed is told that an acquire has got its place in the queue, and, with false, that the place was lost. It must not block.
type placed = func(has bool)

// Enqueue acquires a lock exclusively, as [Client.Acquire] does, and says when it has a place in the queue. Of the options and of the
// defaults of the Client, lease and metadata count.
func (nodes) Enqueue(ctx context.Context, c *Client, name string, opts []Option, hear placed) (*Lock, error) {
	q := &acquisition{client: c, name: name, parent: ctx}
	var s settings
	if c != nil {
		s = c.defaults
	}
	if err := c.accept(ctx, name, opts, &s); err != nil {
		return nil, wrapOp("acquire", name, err)
	}
	q.settings = settings{lease: s.lease, weight: 1, metadata: s.metadata, stealSet: true, few: &few{placed: hear}}
	l, err := c.seek(q)
	return l, wrapOp("acquire", name, err)
}

// Within is ctx, but ends with the lock too. Acquires under it find the lock, [FromContext] and package fence do not.
func (nodes) Within(ctx context.Context, l *Lock) context.Context { return l.within(ctx) }

// Whole says whether the release of this handle gives back a hold of that Client.
func (nodes) Whole(l *Lock, c *Client) error {
	switch {
	case !l.made():
		return errNoHandle
	case l.hold.client != c:
		return invalid("a lock of another Client")
	case l.hold.together():
		return errTogether
	}
	if err := l.mayHandOff(); err != nil {
		return err
	}
	l.hold.endChange()
	return nil
}

// Under says whether ctx carries a lock of that name of that Client: an acquire under ctx would nest in it.
func (nodes) Under(ctx context.Context, c *Client, name string) bool {
	return ctx.Value(heldKey{c, name}) != nil
}

// Lease is the lease of an acquire with these options.
func (nodes) Lease(c *Client, opts []Option) (time.Duration, error) {
	s := c.defaults
	err := s.apply(opts)
	return s.lease, err
}
