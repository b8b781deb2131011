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

// Client takes locks in one Redis, under one prefix. It is safe for use by many goroutines; one per process is
// enough. Besides the connections of the user's own Redis client it keeps one subscription, from its first lock on,
// and two goroutines, however many locks it holds or waits for; on a cluster also one of each for every master that has a
// lock which it waits for.
type Client struct {
	rdb       redis.UniversalClient
	behind    backend.Backend // what rdb is, however it is wrapped
	prefix    string
	keys      protocol.Keys
	owner     Owner
	info      string // the owner as it travels, without metadata
	retention time.Duration
	margin    time.Duration
	defaults  settings
	observer  Observer
	trace     func(context.Context) string
	reports   reports
	jitter    func(time.Duration) time.Duration // random, below its argument

	transport  *transport.Transport
	scheduler  *scheduler.Scheduler
	subscriber *wakeup.Subscriber
	leases     lease.Config
	replicas   replication.Config
	waits      *waiting.Waits
	floors     floors

	mu     sync.Mutex
	holds  map[string]*hold // by token
	closed bool
	empty  chan struct{}
	begin  sync.Once

	preflight preflight
	onces     memo.Memo                                 // of Once
	gates     singleflight.Gate                         // of Once
	fetches   singleflight.Group[fetchKey, sharedValue] // of Share
	failures  failures
	watchers  watchers

	background tracker.Tracker // operations, requests under way and give-backs that are not through
	telling    tracker.Tracker // calls of the Observer
	loops      tracker.Tracker // the scheduler and the subscription
	shutting   atomic.Bool     // Close has begun
	closing    chan struct{}   // closed then, or when the Redis client is closed: what waits fails
	cause      error           // why: it may be read when that is closed
	failing    sync.Once
	stopped    chan struct{} // closed when Close has waited long enough: loops end
	stop       sync.Once
}

// New makes a Client over rdb: any client of go-redis but *redis.Ring, whose rehashing on the loss of a shard gives a
// lock two owners; or a wrapper that embeds such a client, which then sees every command. The connection belongs to the
// caller: it is neither configured nor closed here. Nothing is sent until the first lock is asked for.
//
// The errors are [ErrInvalid] for a nil rdb, a Ring, either of them inside a wrapper, a client whose Subscribe panics, and an
// option that cannot work.
func New(rdb redis.UniversalClient, opts ...ClientOption) (*Client, error) {
	behind, err := backend.Of(rdb)
	switch {
	case errors.Is(err, backend.ErrRing):
		return nil, fmt.Errorf("redislock: new: %w", invalid("a redis.Ring moves a lock to another shard when one is lost, and so gives it two owners: use one server, Sentinel or a cluster"))
	case err != nil:
		return nil, fmt.Errorf("redislock: new: %w", invalid("%v", err))
	}
	cfg := config{prefix: DefaultPrefix, retention: DefaultRetention, margin: DefaultClockMargin, jitter: random.Below}
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
		jitter:    cfg.jitter,
		defaults:  settings{lease: DefaultLease, weight: 1},
		floors:    newFloors(),
		holds:     map[string]*hold{},
		closing:   make(chan struct{}),
		stopped:   make(chan struct{}),
	}
	c.info = c.owner.info()
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
	c.leases = lease.Config{Transport: c.transport, Scheduler: c.scheduler, Margin: c.margin}
	c.replicas = replication.Config{
		Backend: behind, Transport: c.transport, Background: &c.background, Margin: c.margin, Closing: c.closing, Cause: c.failed, Closed: c.closedError,
	}
	c.waits = waiting.New(waiting.Config{
		Keys: c.keys, Subscriptions: c.subscriber, Sender: c.transport, Scheduler: c.scheduler, Margin: c.margin, Jitter: c.jitter, Closing: c.closing, Cause: c.failed,
	})
	return c, nil
}

// Acquire takes the lock of that name, waiting for it in the order of arrival until ctx ends or [WithWait] is over.
// The lock is renewed until it is released. ctx bounds the waiting only, not the hold.
//
// Under the context of a hold of the same lock ([Lock.Context]) it is re-entry: another handle of that hold, at once and
// with nothing sent, if the hold is in the same mode with no less weight, or tolerates nobody. The lock is given back by
// the release of the last handle. Of the options of such an acquire only [WithMode], [WithWeight] and [NonReentrant]
// mean anything.
//
// An error leaves nothing behind: no hold, no place in the queue. It is [ErrHeld] if somebody else has the lock (with
// the context's own error too, if that ended the wait), [ErrDeadlock] if ctx is that of a hold of the same lock which
// does not give what is asked for, [ErrMode], [ErrNotReplicated], [ErrClosed], [ErrInvalid], [ErrPermission], [ErrDamaged], or what
// Redis or the network said.
func (c *Client) Acquire(ctx context.Context, name string, opts ...Option) (*Lock, error) {
	l, err := c.acquire(ctx, name, opts)
	return l, wrapOp("acquire", name, err)
}

// TryAcquire is Acquire without waiting: [ErrHeld] at once if the lock is taken or others wait for it. With
// [WithStealAfter] a stale hold is revoked all the same, so that a later try finds the lock free.
func (c *Client) TryAcquire(ctx context.Context, name string, opts ...Option) (*Lock, error) {
	l, err := c.acquire(ctx, name, append(opts[:len(opts):len(opts)], WithWait(0)))
	return l, wrapOp("acquire", name, err)
}

// Do runs fn while it holds the lock of that name, under a context that ends when ctx does or when the lock is lost,
// and gives the lock back. fn does not run without the lock. The error is that of the acquire, or fn's own, and if the
// lock was lost while fn ran, [ErrLost] too, even where fn returned nil: what fn did last may not have been protected. A
// lock that fn gave back or handed off itself ([Lock.Handoff]) was not lost.
func (c *Client) Do(ctx context.Context, name string, fn func(context.Context) error, opts ...Option) (err error) {
	if err := c.called(ctx); err != nil {
		return wrapOp("do", name, err)
	}
	if fn == nil {
		return wrapOp("do", name, invalid("a nil function"))
	}
	l, err := c.Acquire(ctx, name, opts...)
	if err != nil {
		return err
	}
	defer func() { // also when fn panics
		err = errors.Join(err, lossOf(wrapOp("release", name, l.finish(ctx, true, 0))))
	}()
	return fn(l.under(ctx))
}

// Wrap is the decorator: a function that runs fn under the lock of that name, as [Client.Do] does. With WithWait(0)
// and the lock held, fn is not run and the caller gets [ErrHeld].
func (c *Client) Wrap(name string, fn func(context.Context) error, opts ...Option) func(context.Context) error {
	return func(ctx context.Context) error { return c.Do(ctx, name, fn, opts...) }
}

// WrapBy is [Client.Wrap] for a function with an argument, which names the lock.
func WrapBy[T any](c *Client, name func(T) string, fn func(context.Context, T) error, opts ...Option) func(context.Context, T) error {
	return func(ctx context.Context, arg T) error {
		return c.Do(ctx, name(arg), func(ctx context.Context) error { return fn(ctx, arg) }, opts...)
	}
}
