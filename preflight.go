package redislock

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/glob"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

// preflight is the check whether the server lets the Client do what the scripts do. It passes once.
type preflight struct {
	passed atomic.Bool

	mu    sync.Mutex
	under *rightsCheck // the attempt that is under way
}

// rightsCheck is one attempt, for all callers that came meanwhile.
type rightsCheck struct {
	done chan struct{} // closed when the attempt is over
	err  error
}

// prepare starts the loops with the first lock, and checks once that the server lets the Client do what the scripts do. Until
// that check has passed, all callers wait for one and the same attempt, each no longer than its ctx. After an attempt that
// failed, the next caller makes another.
func (c *Client) prepare(ctx context.Context) error {
	p := &c.preflight
	if p.passed.Load() {
		return nil
	}
	c.start()
	p.mu.Lock()
	here := p.under
	if here == nil && !p.passed.Load() {
		here = &rightsCheck{done: make(chan struct{})}
		p.under = here
		c.background.Add()
		go func() {
			defer c.background.Done()
			here.err = errors.New("the check of the rights was cut short") // if a hook ends this goroutine
			defer func() {
				p.mu.Lock()
				p.under = nil
				p.passed.Store(here.err == nil)
				p.mu.Unlock()
				close(here.done)
			}()
			here.err = c.checkRights(context.WithoutCancel(ctx), 0)
		}()
	}
	p.mu.Unlock()
	if here == nil { // the check has passed just now
		return nil
	}
	select {
	case <-here.done:
		return here.err
	case <-ctx.Done():
		return transport.During(ctx.Err(), c.transport.Trouble())
	case <-c.closing:
		return c.cause
	}
}

// checkRights asks the server that has this key of the probe which of the needed rights the ACL refuses.
func (c *Client) checkRights(ctx context.Context, number int) error {
	args := []any{c.subscriber.WakeChannel(), c.keys.Broadcasts()}
	if c.subscriber.Sharded() {
		args = append(args, protocol.ProbeChannel(c.subscriber.WakeChannel(), number))
	}
	a := c.transport.Ask(ctx, nil, lua.Preflight, c.keys.ProbeAt(number), args...)
	if a.Err != nil {
		return a.Err
	}
	f, err := protocol.FieldsOf(a.Value)
	if err != nil {
		return err
	}
	switch {
	case len(f.Values) == 0:
		return nil
	case f.Values[0] == lua.TooOld:
		return fmt.Errorf("%w: it is older than Redis 6.0", ErrServer)
	}
	return fmt.Errorf("%w: %v", ErrPermission, f.Values)
}

// ACL is the rule that a user of Redis 7 or later, or of Valkey, needs for locks under a prefix. Put it behind "ACL SETUSER name
// on >password". The rule grants exactly the commands that the scripts use, on exactly the keys and channels of that prefix. It
// grants nothing on the keys of a longer prefix, such as app:sub beside app. It takes away the commands, keys and channels that
// the user had before. It also grants what go-redis itself needs on a cluster. A prefix that [WithPrefix] refuses has no keys;
// its rule takes everything away and grants nothing.
//
// Earlier servers refuse the rule, for it names commands that they do not have: [ACLFor] leaves them out.
func ACL(prefix string) string { return rule(prefix, true, true) }

// ACLFor is [ACL] for a server, named as "redis 6.2" or "valkey 9.1"; a patch level may follow. The rule has only rights that the
// server knows: before Redis 7 there are no sharded channels, and Redis 6.0 grants every channel to every user. The error says
// that the name cannot be read, or that the server is older than Redis 6.0, which this library does not support ([ErrServer]).
func ACLFor(server, prefix string) (string, error) {
	product, version, _ := strings.Cut(server, " ")
	majorText, rest, _ := strings.Cut(version, ".")
	minorText, _, _ := strings.Cut(rest, ".")
	major, err := strconv.Atoi(majorText)
	minor, wrong := strconv.Atoi(minorText)
	switch {
	case err != nil || wrong != nil || product != "redis" && product != "valkey":
		return "", fmt.Errorf("redislock: rule: %w", invalid("the server %q is not of the form \"redis 7.0\" or \"valkey 9.1\"", server))
	case major < 6:
		return "", fmt.Errorf("redislock: rule: %w: %s is older than Redis 6.0", ErrServer, server)
	}
	return rule(prefix, major >= 7, major >= 7 || minor >= 2), nil
}

// rule is the rule for a server that has, or has not, sharded channels and rights to channels.
func rule(prefix string, sharded, channels bool) string {
	rule := "-@all resetkeys"
	if checkPrefix(prefix) == nil {
		commands := "evalsha eval time hlen hget hmget hgetall hset hdel expire expireat publish subscribe unsubscribe ping " +
			"set get del pttl getrange " + // for the weak kind and for records
			"pubsub|numsub " + // counts the receivers of a grant
			"wait " + // WithReplicas
			"pubsub|shardnumsub " // on a cluster; without this right, a server that has no such command reports only the missing right
		if sharded {
			commands += "spublish ssubscribe sunsubscribe "
		}
		commands += "cluster|slots command asking readonly " + // on a cluster
			"select client|setname" // go-redis, where the connection has a database or a name
		rule = "-@all +" + strings.Join(strings.Fields(commands), " +") + " resetkeys"
		own := glob.Quote(prefix)
		wake := own + ":c:" + strings.Repeat("[^:]", protocol.TokenLength) // of one Client
		rule += " ~" + own + ":{*"                                         // locks, and the registers of package fence
		for _, kind := range []string{protocol.WeakKind, protocol.DedupeKind, protocol.RecordKind} {
			rule += " ~" + own + kind + ":{*"
		}
		if channels {
			return rule + " resetchannels &" + own + ":n &" + own + ":n:{* &" + wake + " &" + wake + ":{*"
		}
	} else if channels {
		rule += " resetchannels"
	}
	return rule
}

// maxTried is how many keys are tried until each master of a cluster has one of them. 64 masters of even size need some 300.
const maxTried = 10_000

// Check asks whether this Client can do its work, before the first lock needs it. It is for the start of a program and for a
// readiness probe. It asks each master, anew with each call:
//
//   - that Redis answers, is not older than 6.0, and has Lua ([ErrServer] if not);
//   - that the user of the Redis client may do all that locks need ([ErrPermission]; the text names each command, key or
//     channel that is refused, and [ACL] returns a rule that suffices);
//   - that it takes writes: it is no replica, has memory, and can write its disk;
//   - that the Client can subscribe to what it waits for.
//
// The error joins what is wrong with each of them, and says of a cluster's master which one it is. It is [ErrClosed] if the
// Client was closed, and [ErrDraining] after [Client.Drain]. A nil says that all this was so a moment ago. How a server is set
// up, such as its eviction policy or its replicas, is not asked: "redislock doctor" does that. Check takes no lock, and leaves no
// key behind. If Redis does not answer, Check returns when ctx ends at the latest. If ctx does not end, the timeouts of the Redis
// client decide.
func (c *Client) Check(ctx context.Context) error {
	if err := c.check(ctx); err != nil {
		return fmt.Errorf("redislock: check: %w", err)
	}
	return nil
}

func (c *Client) check(ctx context.Context) error {
	if err := c.called(ctx); err != nil {
		return err
	}
	if err := c.refuses(ctx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	c.start()
	if err := c.enter(); err != nil {
		return err
	}
	defer c.leave()
	masters, err := c.onePerMaster(ctx)
	if err != nil {
		return err
	}
	var wrong []error
	for _, m := range masters {
		for _, ask := range []func() error{
			func() error { return c.checkRights(ctx, m.number) },
			func() error { return c.checkWrites(ctx, m.number) },
			func() error { return c.checkSubscription(ctx, m.name) },
		} {
			if err := ask(); err != nil {
				if m.addr != "" {
					err = fmt.Errorf("%s: %w", m.addr, err)
				}
				wrong = append(wrong, err)
				break // what follows needs it
			}
		}
	}
	if len(wrong) == 0 {
		c.preflight.passed.Store(true)
	}
	return errors.Join(wrong...)
}

// shard is a master, with what lies on it.
type shard struct {
	addr   string // empty where there is no cluster
	number int    // of a key of the probe
	name   string // of a lock that need not exist
}

// onePerMaster is every master with a key of the probe and the name of a lock that it serves.
func (c *Client) onePerMaster(ctx context.Context) ([]shard, error) {
	cluster := c.behind.Cluster
	if cluster == nil {
		return []shard{{name: "0"}}, nil
	}
	masters, err := c.eachMaster(ctx)
	if err != nil {
		return nil, err
	}
	found := map[string]*shard{}
	for _, m := range masters {
		if single, ok := m.(*redis.Client); ok {
			addr := single.Options().Addr
			found[addr] = &shard{addr: addr, number: -1}
		}
	}
	missing := 2 * len(found)
	serving := func(key string) *shard {
		if master, err := cluster.MasterForKey(context.WithoutCancel(ctx), key); err == nil {
			return found[master.Options().Addr]
		}
		return nil
	}
	for i := 0; i < maxTried && missing > 0; i++ {
		if s := serving(c.keys.ProbeAt(i)); s != nil && s.number < 0 {
			s.number = i
			missing--
		}
		name := fmt.Sprint(i)
		if s := serving(c.keys.Lock(name)); s != nil && s.name == "" {
			s.name = name
			missing--
		}
	}
	var all []shard
	for _, m := range masters {
		if single, ok := m.(*redis.Client); ok {
			if s := found[single.Options().Addr]; s.number >= 0 && s.name != "" { // a master without slots has no locks
				all = append(all, *s)
			}
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no master of the cluster has a slot")
	}
	return all, nil
}

// checkWrites writes a key that is gone a moment later.
func (c *Client) checkWrites(ctx context.Context, number int) error {
	cmd := c.plain(ctx, transport.NewCommand(ctx, 1, "set", c.keys.ProbeAt(number), "", "px", "1"))
	if err := cmd.Err(); err != nil {
		return fmt.Errorf("the server refuses writes: %w", err)
	}
	return nil
}

// checkSubscription sees whether a waiter would be told of its grant.
func (c *Client) checkSubscription(ctx context.Context, name string) error {
	bounded, cancel := context.WithTimeout(ctx, transport.ResendTime)
	defer cancel()
	if err := c.subscriber.Hears(bounded, name); err != nil {
		return fmt.Errorf("this Client cannot subscribe: %w", err)
	}
	return nil
}
