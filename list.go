package redislock

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/backend"
	"example.com/redislock/internal/glob"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

const (
	// scanSize is how many keys one SCAN looks at, and inspectSize how many locks one pipeline inspects: both keep Redis busy for
	// a few milliseconds at most.
	scanSize    = 1000
	inspectSize = 200
	// maxListed is how many holds and how many places List shows of each lock.
	maxListed = 10
)

// List yields the locks under the prefix whose names match pattern, in no order and each once, as they are at the moment when
// List comes to them. They are the locks that are held or waited for, and the idle ones, whose last fence Redis remembers for
// about [WithRetention]. [Info.Idle] tells them apart. Of each lock List shows the first 10 holds and places; the counts are
// complete. Weak locks are not among them. A lock that begins or ends meanwhile may be missing.
//
// In the pattern * is any text, also with a slash, ? is any character, [a-c] is one of these, and [^a-c] is one that is not.
// A \ takes the meaning from the character that follows it. The empty pattern is every name. A pattern that cannot be read,
// or is not UTF-8, is [ErrInvalid].
//
// List goes through all keys of the server by SCAN, of each master of a cluster, 1000 at a time, and inspects the locks among them,
// 200 at a time. It goes no further than the caller takes its results. No step keeps Redis busy for long, however many locks there
// are. The user of the Redis client needs the right +scan besides those of [ACL]. With it the user can see the names of all keys. List
// keeps the names in memory. An error that comes with a name, such as [ErrDamaged], is about that lock alone, and the sequence goes
// on. After an error without a name it ends.
func (c *Client) List(ctx context.Context, pattern string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		fail := func(err error) { yield(Info{}, wrapOp("list", pattern, err)) }
		match, err := c.mayList(ctx, pattern)
		if err != nil {
			fail(err)
			return
		}
		seen := map[string]bool{}
		for keys, err := range c.scan(ctx, c.prefix+":{", glob.Literal(pattern)) {
			if err != nil {
				fail(err)
				return
			}
			names := keys[:0]
			for _, key := range keys {
				name := protocol.Unescape(key)
				if !match.MatchString(name) || seen[key] {
					continue
				}
				seen[key] = true
				if err := checkKey(name, key); err == nil {
					names = append(names, name)
				} else if !yield(Info{Name: name}, wrapOp("list", name, err)) {
					return
				}
			}
			for some := range slices.Chunk(names, inspectSize) {
				for info, err := range c.inspectAll(ctx, some) {
					switch err := wrapOp("list", info.Name, err); {
					case err == nil && !info.known():
					case err != nil && general(err):
						yield(Info{}, err)
						return
					case !yield(info, err):
						return
					}
				}
			}
		}
	}
}

// Idle reports whether nobody holds the lock and nobody waits for it.
func (i Info) Idle() bool { return i.Holders == 0 && i.Waiting == 0 }

// known reports whether Redis knows anything of the lock: a key may have expired since its name was seen.
func (i Info) known() bool { return !i.Idle() || i.Fence > 0 }

func (c *Client) mayList(ctx context.Context, pattern string) (*regexp.Regexp, error) {
	if err := c.usable(ctx); err != nil {
		return nil, err
	}
	match, err := glob.Compile(pattern)
	if err != nil {
		return nil, invalid("the pattern %q: %v", pattern, err)
	}
	return match, nil
}

// general reports whether an error of one key would also be the error of the others.
func general(err error) bool { return !errors.Is(err, ErrDamaged) }

// checkKey reports whether a name has the key in which it was found. A request for a name goes only to the name's own key.
func checkKey(name, key string) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("%w: a key that no name has: %v", ErrDamaged, err)
	}
	if protocol.Escape(name) != key {
		return fmt.Errorf("%w: a key that no name has: {%s}, that of the name is {%s}", ErrDamaged, key, protocol.Escape(name))
	}
	return nil
}

// inspectAll inspects locks on one master, in one pipeline.
func (c *Client) inspectAll(ctx context.Context, names []string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if len(names) == 0 {
			return
		}
		calls := make([]*transport.Call, len(names))
		for i, name := range names {
			calls[i] = transport.NewCall(lua.Inspect, c.keys.Lock(name), maxListed)
		}
		if err := c.within(ctx, func() { c.transport.Executor(calls[0].KeyText()).Deliver(slices.Clone(calls)) }); err != nil {
			yield(Info{}, err)
			return
		}
		for i, one := range calls {
			var info Info
			var err error
			if one.Answer.Err == nil {
				info, err = parseInfo(names[i], one.Answer.Value)
			} else {
				info, err = c.inspect(ctx, names[i], maxListed) // sends it again
			}
			info.Name = names[i]
			if !yield(info, err) {
				return
			}
		}
	}
}

// scan looks for keys that begin with head and then first. It yields what follows head in them, without the brace that ends them,
// or with one of the tails behind it, page by page, of every master. Keys of a wrong type are among them, so that they are
// reported.
func (c *Client) scan(ctx context.Context, head, first string, tails ...string) iter.Seq2[[]string, error] {
	pattern := glob.Quote(head+protocol.Escape(first)) + "*"
	return func(yield func([]string, error) bool) {
		masters, err := c.eachMaster(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, master := range masters {
			for cursor := uint64(0); ; {
				var keys []string
				var err error
				if ended := c.within(ctx, func() {
					keys, cursor, err = master.Scan(context.WithoutCancel(ctx), cursor, pattern, scanSize).Result()
				}); ended != nil {
					yield(nil, ended)
					return
				}
				if err == nil && keys == nil { // I11: an answer without keys is not nil
					err = transport.ErrNoAnswer
				}
				if err != nil {
					c.transport.Suspect(err)
					if transport.Refused(err) {
						err = fmt.Errorf("%w: scan: %w", ErrPermission, err)
					}
					yield(nil, fmt.Errorf("scan: %w", err))
					return
				}
				names := keys[:0]
				for _, key := range keys {
					rest, ours := strings.CutPrefix(key, head)
					name, whole := strings.CutSuffix(rest, "}")
					for _, tail := range tails {
						if !whole {
							name, whole = strings.CutSuffix(rest, "}"+tail)
						}
					}
					if ours && whole && !protocol.IsProbe(name) {
						names = append(names, name)
					}
				}
				if len(names) > 0 && !yield(names, nil) {
					return
				}
				if c.isClosed() {
					yield(nil, ErrClosed)
					return
				}
				if cursor == 0 {
					break
				}
			}
		}
	}
}

// eachMaster is every server that has keys.
func (c *Client) eachMaster(ctx context.Context) ([]redis.UniversalClient, error) {
	cluster := c.behind.Cluster
	if cluster == nil {
		return []redis.UniversalClient{c.rdb}, nil
	}
	var mu sync.Mutex
	var masters []redis.UniversalClient
	var failed error
	if err := c.within(ctx, func() {
		failed = cluster.ForEachMaster(context.WithoutCancel(ctx), func(_ context.Context, master *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			masters = append(masters, master)
			return nil
		})
	}); err != nil {
		return nil, err
	}
	return masters, failed
}

// within calls do. go-redis may keep do for longer than ctx lasts; within then returns the error of ctx, and do goes on in
// the background. A panic of do is an error.
func (c *Client) within(ctx context.Context, do func()) error {
	guarded := func() error {
		return backend.Guard(func() error {
			do()
			return nil
		})
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.enter(); err != nil {
		return err
	}
	if ctx.Done() == nil {
		defer c.leave()
		return guarded()
	}
	done := make(chan error, 1)
	go func() {
		defer c.leave()
		done <- guarded()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
