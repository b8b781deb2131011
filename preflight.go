package redislock

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

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
			here.err = errors.New("the look at the rights was cut short") // if a hook ends this goroutine
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

// ACL is the rule that a user of Redis 7 or later, or of Valkey, needs for locks under a prefix. Put it behind "ACL SETUSER
// name on >password". It grants exactly what the scripts use, on exactly the keys and channels of that prefix. It grants
// nothing on those of a longer prefix, such as app:sub beside app. It takes away the commands, keys and channels that the
// user had before. It also grants what go-redis itself needs on a cluster. A prefix that [WithPrefix] refuses has no keys;
// its rule takes everything away and grants nothing.
//
// Earlier servers refuse the rule, for it names commands that they do not have: [ACLFor] leaves them out.
func ACL(prefix string) string { return rule(prefix, true, true) }

// ACLFor is [ACL] for a server, named as "redis 6.2" or "valkey 9.1"; a patch level may follow. The rule has what that server
// can grant: before Redis 7 there are no sharded channels, and Redis 6.0 grants every channel to every user. The error says that
// the name cannot be read, or that the server is older than Redis 6.0, which this library does not support ([ErrServer]).
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
			"pubsub|numsub " + // counts the Clients that hear of a grant
			"wait " + // WithReplicas
			"pubsub|shardnumsub " // on a cluster; who asks a server that has none is told so only with the right
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
