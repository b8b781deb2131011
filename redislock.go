package redislock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/backend"
	"example.com/redislock/internal/lease"
	"example.com/redislock/internal/memo"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/random"
	"example.com/redislock/internal/replication"
	"example.com/redislock/internal/scheduler"
	"example.com/redislock/internal/singleflight"
	"example.com/redislock/internal/tracker"
	"example.com/redislock/internal/transport"
	"example.com/redislock/internal/waiting"
	"example.com/redislock/internal/wakeup"
)

// Client takes locks in one Redis, under one prefix. Many goroutines may use it at once; one Client per process is enough.
// Besides the connections of the user's own Redis client, the Client keeps one subscription, from its first lock on, and two
// goroutines. That does not depend on how many locks it holds or waits for. On a cluster it also keeps one of each for every
// master that has a lock which the Client waits for.
type Client struct {
	rdb       redis.UniversalClient
	behind    backend.Backend // the client of go-redis in rdb, also inside a wrapper
	prefix    string
	keys      protocol.Keys
	owner     Owner
	info      string // the owner as it travels, without metadata; the other is that of a request in turns
	inTurns   string
	retention time.Duration
	margin    time.Duration
	defaults  settings
	observer  Observer
	trace     func(context.Context) string
	shown     int // WithShown
	reports   reports
	jitter    func(time.Duration) time.Duration // random, below its argument

	transport  *transport.Transport
	scheduler  *scheduler.Scheduler
	subscriber *wakeup.Subscriber
	leases     lease.Config
	replicas   replication.Config
	waits      *waiting.Waits
	floors     floors
	turns      turnTable
	dials      dials // of package quorum
	queued     queued
	waitedFor  waitedFor

	mu     sync.Mutex
	holds  map[string]*hold // by token
	closed bool
	empty  chan struct{} // closed when no lock is held any more; nil until Drain or Close has begun
	begin  sync.Once

	preflight preflight
	onces     memo.Memo                                 // of Once
	gates     singleflight.Gate                         // of Once
	fetches   singleflight.Group[fetchKey, sharedValue] // of Share
	failures  failures
	followers followers

	background tracker.Tracker // operations, requests under way, and give-backs that are not done yet
	telling    tracker.Tracker // calls of the Observer
	loops      tracker.Tracker // the scheduler and the subscription
	draining   drain           // Drain has begun
	shutting   atomic.Bool     // Close has begun
	closing    chan struct{}   // closed then, or when the Redis client is closed: all waits fail
	cause      error           // why closing was closed; it may be read after that
	failing    sync.Once
	stopped    chan struct{} // closed when Close has waited long enough: the loops end
	stop       sync.Once
}

// New makes a Client over rdb. rdb is any client of go-redis but *redis.Ring: a Ring moves a lock to another shard when one
// is lost, and so gives the lock two owners. rdb may also be a wrapper that embeds such a client; the wrapper then sees every
// command. The connection belongs to the caller: the Client neither configures nor closes it. Nothing is sent until the first
// lock is asked for.
//
// New returns [ErrInvalid] for a nil rdb, for a Ring, for a wrapper around either of them, for a client whose Subscribe
// panics, and for an option that cannot work.
func New(rdb redis.UniversalClient, opts ...ClientOption) (*Client, error) {
	behind, err := backend.Of(rdb)
	switch {
	case errors.Is(err, backend.ErrRing):
		return nil, fmt.Errorf("redislock: new: %w", invalid("a redis.Ring moves a lock to another shard when one is lost, and so gives it two owners: use one server, Sentinel or a cluster"))
	case err != nil:
		return nil, fmt.Errorf("redislock: new: %w", invalid("%v", err))
	}
	cfg := config{prefix: DefaultPrefix, retention: DefaultRetention, margin: DefaultClockMargin, shown: DefaultShown, jitter: random.Below}
	for _, opt := range opts {
		if opt == nil {
			return nil, fmt.Errorf("redislock: new: %w", invalid("a nil ClientOption"))
		}
		if err := opt(&cfg); err != nil {
			return nil, fmt.Errorf("redislock: new: %w", err)
		}
	}
	c := &Client{
		rdb:       rdb,
		behind:    behind,
		prefix:    cfg.prefix,
		keys:      protocol.Keys(cfg.prefix),
		owner:     myself(cfg.name),
		retention: cfg.retention,
		margin:    cfg.margin,
		observer:  cfg.observer,
		trace:     cfg.trace,
		shown:     cfg.shown,
		jitter:    cfg.jitter,
		defaults:  settings{lease: DefaultLease, weight: 1},
		floors:    newFloors(),
		holds:     map[string]*hold{},
		closing:   make(chan struct{}),
		stopped:   make(chan struct{}),
		draining:  drain{begun: make(chan struct{})},
	}
	c.info = c.owner.info()
	inTurns := c.owner
	inTurns.Turns = true
	c.inTurns = inTurns.info()
	c.fetches.Panicked = func(value any, stack []byte) error { return &PanicError{value, stack} }
	c.transport = transport.New(rdb, behind, &c.background, c.closing, c.stopped, c.fail)
	if err := c.defaults.apply(cfg.defaults); err != nil {
		return nil, fmt.Errorf("redislock: new: defaults: %w", err)
	}
	if c.defaults.floor > 0 {
		return nil, fmt.Errorf("redislock: new: defaults: %w", invalid("WithFenceFloor: it is about one name, and so no default"))
	}
	if err := c.defaults.strong(); err != nil {
		return nil, fmt.Errorf("redislock: new: defaults: %w", err)
	}
	if err := c.countable(&c.defaults); err != nil {
		return nil, fmt.Errorf("redislock: new: defaults: %w", err)
	}
	c.scheduler = scheduler.New(c.transport.Flush)
	c.subscriber = wakeup.New(wakeup.Config{
		Redis: rdb, Backend: behind, Keys: c.keys, Transport: c.transport, Scheduler: c.scheduler, Background: &c.background, Loops: &c.loops,
		Closing: c.closing, Cause: c.failed, Stopped: c.stopped, Listener: (*listener)(c),
	})
	c.leases = lease.Config{Transport: c.transport, Scheduler: c.scheduler, Margin: c.margin, Began: time.Now()}
	c.replicas = replication.Config{
		Backend: behind, Transport: c.transport, Background: &c.background, Margin: c.margin, Closing: c.closing, Cause: c.failed, Closed: c.closedError,
	}
	c.waits = waiting.New(waiting.Config{
		Keys: c.keys, Subscriptions: c.subscriber, Sender: c.transport, Scheduler: c.scheduler, Margin: c.margin, Jitter: c.jitter,
	})
	return c, nil
}

// Acquire takes the lock of that name. It waits in the order of arrival until ctx ends or the time of [WithWait] is over. The
// Client renews the lock until it is released. ctx bounds the waiting only, not the hold.
//
// If ctx is the context of a hold of the same lock ([Lock.Context]), Acquire re-enters: it returns another handle of that
// hold, at once and without sending anything. That needs a hold in the same mode with at least the same weight, or a hold
// whose mode tolerates nobody. The release of the last handle gives the lock back. Of the options, only [WithMode],
// [WithWeight] and [NonReentrant] mean anything to such an acquire.
//
// After an error nothing is left behind: no hold and no place in the queue. The error is [ErrHeld] if somebody else has the lock;
// it has the context's own error in it too, if that ended the wait. The error is [ErrDeadlock] if ctx is that of a hold of the
// same lock, and that hold does not allow the mode or weight that is asked for. Other errors are [ErrMode], [ErrNotReplicated],
// [ErrClosed], [ErrInvalid], [ErrPermission], [ErrDamaged], and those of Redis and the network.
func (c *Client) Acquire(ctx context.Context, name string, opts ...Option) (*Lock, error) {
	l, err := c.acquire(ctx, name, opts)
	return l, wrapOp("acquire", name, err)
}

// TryAcquire is Acquire without waiting. If the lock is taken, or if others wait for it, it returns [ErrHeld] at once. With
// [WithStealAfter] it revokes the stale holds in its way, and then it does wait, at most a quarter of a second, for the holder to
// give the lock up: a holder that lives does so at once. If the holder does not, the error is ErrHeld, and a later try finds the
// lock free when the lease is over.
func (c *Client) TryAcquire(ctx context.Context, name string, opts ...Option) (*Lock, error) {
	l, err := c.acquire(ctx, name, append(opts[:len(opts):len(opts)], WithWait(0)))
	return l, wrapOp("acquire", name, err)
}

// Do takes the lock of that name, runs fn while it holds the lock, and gives the lock back. The context of fn ends when ctx ends
// or when the lock is lost. fn does not run without the lock. Do returns the error of the acquire, or fn's own. If the lock was
// lost while fn ran, the error is [ErrLost] too, even if fn returned nil, because the last actions of fn may not have been
// protected. A lock that fn itself gave back or handed off ([Lock.Handoff]) was not lost.
func (c *Client) Do(ctx context.Context, name string, fn func(context.Context) error, opts ...Option) error {
	_, err := c.do(ctx, name, fn, opts)
	return err
}

// Wrap is the decorator: it returns a function that runs fn under the lock of that name, as [Client.Do] does. If the lock is
// held and [WithWait] is 0, fn does not run and the caller gets [ErrHeld].
func (c *Client) Wrap(name string, fn func(context.Context) error, opts ...Option) func(context.Context) error {
	return func(ctx context.Context) error { return c.Do(ctx, name, fn, opts...) }
}

// WrapBy is [Client.Wrap] for a function with an argument. name makes the name of the lock from that argument.
func WrapBy[T any](c *Client, name func(T) string, fn func(context.Context, T) error, opts ...Option) func(context.Context, T) error {
	if name == nil || fn == nil {
		return func(context.Context, T) error { return wrapOp("wrap", "", invalid("a nil function")) }
	}
	return func(ctx context.Context, arg T) error {
		return c.Do(ctx, name(arg), func(ctx context.Context) error { return fn(ctx, arg) }, opts...)
	}
}
