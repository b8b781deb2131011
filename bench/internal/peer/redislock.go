package peer

import (
	"context"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
)

func ours() Peer { return oursWith() }

// oursWith is this library with options for every acquire.
func oursWith(defaults ...redislock.Option) Peer {
	return Peer{
		Name: Ours, Module: "example.com/redislock", Setting: "defaults: fair, fenced, renewed", Renews: true,
		Open: func(addr string, o Options) (Locker, error) {
			rdb := Connect(addr, o)
			opts := []redislock.ClientOption{redislock.WithDefaults(defaults...)}
			if o.TTL > 0 {
				opts = append(opts, redislock.WithDefaults(redislock.WithLease(o.TTL)))
			}
			c, err := redislock.New(rdb, opts...)
			return &Client{Client: c, Redis: rdb}, err
		},
	}
}

// Client is this library's Locker.
type Client struct {
	*redislock.Client

	Redis redis.UniversalClient
}

// Lock is [redislock.Client.Acquire].
func (c *Client) Lock(ctx context.Context, name string) (Release, error) {
	l, err := c.Acquire(ctx, name)
	if err != nil {
		return nil, err
	}
	return l.Release, nil
}

// Close waits at most a second for what is under way.
func (c *Client) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Client.Close(ctx) // locks of waiters that were killed on purpose may be left
	_ = c.Redis.Close()
}

// Connect makes a client of go-redis, for one server or a cluster, with its defaults except for the size of the pool.
func Connect(addr string, o Options) redis.UniversalClient {
	var dialer func(ctx context.Context, network, addr string) (net.Conn, error) // nil: go-redis's own
	if o.Wrap != nil {
		dial := redis.NewDialer(&redis.Options{DialTimeout: 5 * time.Second}) // the default
		dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			return o.wrap(dial(ctx, network, addr))
		}
	}
	if o.Cluster {
		return redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}, PoolSize: o.Pool, Dialer: dialer})
	}
	return redis.NewClient(&redis.Options{Addr: addr, PoolSize: o.Pool, Dialer: dialer})
}
