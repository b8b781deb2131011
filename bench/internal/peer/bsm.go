package peer

import (
	"cmp"
	"context"
	"time"

	bsmlock "github.com/bsm/redislock"
	"github.com/redis/go-redis/v9"
)

// bsm has the setting of its README: a linear backoff of 100 ms.
func bsm() Peer { return bsmEvery("bsm/redislock", 100*time.Millisecond) }

func bsmFast() Peer {
	p := bsmEvery("bsm/redislock, 1 ms", time.Millisecond)
	p.Variant = true
	return p
}

func bsmEvery(name string, pause time.Duration) Peer {
	return Peer{
		Name: name, Module: "github.com/bsm/redislock", Polls: true,
		Setting: "linear backoff of " + pause.String() + ", TTL 30 s, not renewed",
		Open: func(addr string, o Options) (Locker, error) {
			rdb := Connect(addr, o)
			return &bsmClient{bsmlock.New(rdb), rdb, pause, cmp.Or(o.TTL, 30*time.Second)}, nil
		},
	}
}

type bsmClient struct {
	locks *bsmlock.Client
	rdb   redis.UniversalClient
	pause time.Duration
	ttl   time.Duration
}

func (c *bsmClient) Lock(ctx context.Context, name string) (Release, error) {
	// Without a deadline Obtain gives up after the TTL. Here the caller decides about the wait, as with the other libraries.
	for {
		l, err := c.locks.Obtain(ctx, name, c.ttl, &bsmlock.Options{RetryStrategy: bsmlock.LinearBackoff(c.pause)})
		switch {
		case err == nil:
			return l.Release, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != bsmlock.ErrNotObtained: //nolint:errorlint // as it is documented
			return nil, err
		}
	}
}

func (c *bsmClient) Close() { _ = c.rdb.Close() }
