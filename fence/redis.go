package fence

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/backend"
)

// How long a register in Redis is kept.
const (
	// DefaultRetention is how long a fence is remembered after it was last accepted, unless [WithRetention] says
	// otherwise.
	DefaultRetention = 30 * 24 * time.Hour
	// MinRetention and MaxRetention bound [WithRetention].
	MinRetention = time.Minute
	MaxRetention = 10 * 365 * 24 * time.Hour
)

//go:embed redis.lua
var source string

// script is loaded once. The package has no other state.
var script = redis.NewScript(source)

// Redis keeps the greatest fences in Redis, and values with them. A resource is one key, in the slot of the lock of the
// same name and prefix, so it works in a cluster, and with the rights that locks need ([redislock.ACL]). Its methods may
// be called from any goroutine.
//
// It remembers as well as Redis does. If Redis loses the data, by FLUSHALL, eviction, a restart without persistence or a failover
// to a lagging replica, the next fence is accepted, whichever it is. Data that is not in Redis should not be fenced here: its
// check and its write are not one.
type Redis struct {
	rdb       redis.UniversalClient
	prefix    string
	retention time.Duration
	process   string // names this process among those that write
	writes    atomic.Int64
}

// RedisOption shapes a [Redis]. A value that cannot work makes [NewRedis] fail with [redislock.ErrInvalid].
type RedisOption func(*Redis) error

// WithPrefix sets the beginning of every key; the default is [redislock.DefaultPrefix]. Keys are "prefix:{resource}:fence", which
// is no key of a lock. At most 128 bytes, no braces.
func WithPrefix(prefix string) RedisOption {
	return func(r *Redis) error {
		if prefix == "" || len(prefix) > 128 || strings.ContainsAny(prefix, "{}") {
			return fmt.Errorf("%w: WithPrefix(%q): must have 1 to 128 bytes and no braces", redislock.ErrInvalid, prefix)
		}
		r.prefix = prefix
		return nil
	}
}

// WithRetention sets how long a fence, and the value set with it, are kept after a fence was last accepted, from a minute to ten
// years. The default is [DefaultRetention]. It must be longer than any writer can be late: when the fence is forgotten, no writer
// is refused. Of different retentions for one resource the longest counts.
func WithRetention(d time.Duration) RedisOption {
	return func(r *Redis) error {
		if d < MinRetention || d > MaxRetention {
			return fmt.Errorf("%w: WithRetention(%v): must be from %v to %v", redislock.ErrInvalid, d, MinRetention, MaxRetention)
		}
		r.retention = d
		return nil
	}
}

// NewRedis makes a register over rdb: any client of go-redis but *redis.Ring, which forgets when it moves a resource to
// another shard. The connection belongs to the caller: it is neither configured nor closed here. Nothing is sent.
func NewRedis(rdb redis.UniversalClient, opts ...RedisOption) (*Redis, error) {
	switch _, err := backend.Of(rdb); {
	case errors.Is(err, backend.ErrRing):
		return nil, fmt.Errorf("redislock: new fence register: %w: a redis.Ring forgets the fences of a shard that is lost: use one server, Sentinel or a cluster", redislock.ErrInvalid)
	case err != nil:
		return nil, fmt.Errorf("redislock: new fence register: %w: %w", redislock.ErrInvalid, err)
	}
	r := &Redis{rdb: rdb, prefix: redislock.DefaultPrefix, retention: DefaultRetention, process: rand.Text()[:16]}
	for _, opt := range opts {
		if opt == nil {
			return nil, fmt.Errorf("redislock: new fence register: %w: a nil RedisOption", redislock.ErrInvalid)
		}
		if err := opt(r); err != nil {
			return nil, fmt.Errorf("redislock: new fence register: %w", err)
		}
	}
	return r, nil
}

// Accept remembers the fence of a resource. The error is [ErrStale], as a [*StaleError], if a greater one was seen;
// [redislock.ErrInvalid]; or what Redis or the network said: then the fence may have been accepted, and Accept may be
// called again.
//
// What the caller writes elsewhere afterwards is not covered: before it is written, a greater fence may be accepted.
func (r *Redis) Accept(ctx context.Context, resource string, fence int64) error {
	return r.run(ctx, "accept a fence of", resource, fence)
}

// Set is Accept, and writes the value of the resource if the fence is accepted, in one step. The errors are those of
// Accept. A copy of a Set that Redis executes late, after its sender gave up on it, does not undo a later Set by this
// register.
func (r *Redis) Set(ctx context.Context, resource string, value []byte, fence int64) error {
	order := r.process + digits(r.writes.Add(1))
	return r.run(ctx, "set the value of", resource, fence, order, value)
}

// Get is the value that was last set, and the greatest fence that was accepted since or with it. Both are zero for a
// resource that Redis does not know, and the value is nil if none was ever set.
func (r *Redis) Get(ctx context.Context, resource string) (value []byte, fence int64, err error) {
	if err := r.called(ctx); err != nil {
		return nil, 0, wrap("get the value of", resource, err)
	}
	fields, err := r.rdb.HMGet(ctx, r.key(resource), "f", "v").Result()
	if err != nil {
		return nil, 0, wrap("get the value of", resource, err)
	}
	if len(fields) != 2 {
		return nil, 0, wrap("get the value of", resource, fmt.Errorf("unexpected answer %.80q", fmt.Sprint(fields)))
	}
	if seen, ok := fields[0].(string); ok {
		if fence, err = strconv.ParseInt(seen, 10, 64); err != nil {
			return nil, 0, wrap("get the value of", resource, err)
		}
	}
	if text, ok := fields[1].(string); ok {
		value = []byte(text)
	}
	return value, fence, nil
}

// Highest is the greatest fence that was accepted for a resource, 0 if none is remembered.
func (r *Redis) Highest(ctx context.Context, resource string) (int64, error) {
	_, fence, err := r.Get(ctx, resource)
	return fence, err
}

// Reset forgets the greatest fence of a resource, and keeps its value: the next fence is accepted, whichever it is. It is for
// operators who know that there is no late writer any more. The error is [redislock.ErrInvalid], or that of Redis or the network.
func (r *Redis) Reset(ctx context.Context, resource string) error {
	if err := r.called(ctx); err != nil {
		return wrap("reset", resource, err)
	}
	const op = "reset the fence of"
	if err := checkResource(resource); err != nil {
		return wrap(op, resource, err)
	}
	return wrap(op, resource, r.rdb.HDel(ctx, r.key(resource), "f", "o").Err())
}

// called returns an error if a call has no context, or if the register was not made by NewRedis.
func (r *Redis) called(ctx context.Context) error {
	switch {
	case r == nil || r.rdb == nil:
		return fmt.Errorf("%w: a register that NewRedis has not made", redislock.ErrInvalid)
	case ctx == nil:
		return fmt.Errorf("%w: a nil context", redislock.ErrInvalid)
	}
	return nil
}

func (r *Redis) run(ctx context.Context, op, resource string, fence int64, write ...any) error {
	if err := r.called(ctx); err != nil {
		return wrap(op, resource, err)
	}
	if err := check(resource, fence); err != nil {
		return wrap(op, resource, err)
	}
	args := append([]any{digits(fence), int64(math.Ceil(r.retention.Seconds()))}, write...)
	reply, err := script.Run(ctx, r.rdb, []string{r.key(resource)}, args...).Text()
	if err != nil {
		return wrap(op, resource, err)
	}
	seen, err := strconv.ParseInt(reply, 10, 64)
	if err != nil {
		return wrap(op, resource, err)
	}
	if seen > fence {
		return &StaleError{Resource: resource, Fence: fence, Seen: seen}
	}
	return nil
}

// digits makes numbers compare as text.
func digits(n int64) string { return fmt.Sprintf("%019d", n) }

// escape makes names with braces and percent signs safe inside the braces of a hash tag, and keeps different names
// different.
var escape = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D").Replace

// key has the same hash tag as the key of the lock, so both are on one shard. No key of a lock ends like it.
func (r *Redis) key(resource string) string { return r.prefix + ":{" + escape(resource) + "}:fence" }
