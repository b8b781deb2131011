package peer

import (
	"context"
	"strings"

	"github.com/go-redsync/redsync/v4"
	redsyncredis "github.com/go-redsync/redsync/v4/redis"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/quorum"
)

// The names of the libraries over several servers, and of this library over the first of them.
const (
	Quorum          = Ours + ", quorum"
	OneServer       = Ours + ", one server"
	RedsyncMajority = "redsync, three servers"
	RueidisMajority = "rueidislock, three keys"
)

// Majorities are the libraries in which a majority decides: of servers, or with rueidislock of keys on the first server. This library
// is the first, and the last is this library over the first server only. Their address has one for each server, separated by commas.
func Majorities() []Peer {
	rueidis := rueiOf(2)
	rueidis.Name, rueidis.Variant = RueidisMajority, true
	rueidis.Setting = "majority of 2 keys out of 3, all on one server, NOLOOP; validity 5 s, renewed"
	rueidis.Open = overFirst(rueidis.Open)
	one := ours()
	one.Name, one.Variant = OneServer, true
	one.Open = overFirst(one.Open)
	return []Peer{
		{
			Name: Quorum, Module: one.Module, Setting: "package quorum over three servers, defaults", Renews: true, Variant: true,
			Open: openQuorum,
		},
		{
			Name: RedsyncMajority, Module: "github.com/go-redsync/redsync/v4", Polls: true, Variant: true,
			Setting: "over three servers; defaults: 50 to 250 ms between tries, expiry 8 s, not renewed", Open: openSyncsMajority,
		},
		rueidis,
		one,
	}
}

func overFirst(open func(string, Options) (Locker, error)) func(string, Options) (Locker, error) {
	return func(addrs string, o Options) (Locker, error) {
		first, _, _ := strings.Cut(addrs, ",")
		return open(first, o)
	}
}

type quorumClient struct {
	*quorum.Locker

	nodes []*Client
}

func openQuorum(addrs string, o Options) (Locker, error) {
	q := &quorumClient{}
	var clients []*redislock.Client
	for addr := range strings.SplitSeq(addrs, ",") {
		l, err := ours().Open(addr, o)
		if err != nil {
			q.Close()
			return nil, err
		}
		q.nodes = append(q.nodes, l.(*Client))
		clients = append(clients, l.(*Client).Client)
	}
	var err error
	// Otherwise a server that has just been started does not count.
	if q.Locker, err = quorum.New(clients, quorum.WithDurableNodes()); err != nil {
		q.Close()
		return nil, err
	}
	return q, nil
}

func (q *quorumClient) Lock(ctx context.Context, name string) (Release, error) {
	l, err := q.Acquire(ctx, name)
	if err != nil {
		return nil, err
	}
	return l.Release, nil
}

func (q *quorumClient) Close() {
	for _, c := range q.nodes {
		c.Close()
	}
}

type syncsMajority struct {
	syncsClient

	nodes []redis.UniversalClient
}

func openSyncsMajority(addrs string, o Options) (Locker, error) {
	c := &syncsMajority{}
	var pools []redsyncredis.Pool
	for addr := range strings.SplitSeq(addrs, ",") {
		rdb := Connect(addr, o)
		c.nodes = append(c.nodes, rdb)
		pools = append(pools, goredis.NewPool(rdb))
	}
	c.locks = redsync.New(pools...)
	if o.TTL > 0 {
		c.opts = append(c.opts, redsync.WithExpiry(o.TTL))
	}
	return c, nil
}

func (c *syncsMajority) Close() {
	for _, rdb := range c.nodes {
		_ = rdb.Close()
	}
}
