package redislock

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/transport"
)

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
// up, such as its eviction policy or its replicas, is not asked: "redislock doctor" does that. Check takes no lock, and leaves
// no key behind. Where Redis does not answer, it returns at the latest when ctx ends; without an end of ctx the timeouts of
// the Redis client decide.
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
		return fmt.Errorf("it takes no writes: %w", err)
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
