package peer

import (
	"context"
	"errors"
	"time"

	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
)

// syncs is redsync with its defaults: 32 tries, 50 to 250 ms apart.
func syncs() Peer {
	return Peer{
		Name: "redsync", Module: "github.com/go-redsync/redsync/v4", Polls: true,
		Setting: "defaults: 50 to 250 ms between tries, expiry 8 s, not renewed",
		Open:    func(addr string, o Options) (Locker, error) { return openSyncs(addr, o) },
	}
}

func syncsFast() Peer {
	return Peer{
		Name: "redsync, 1 ms", Module: "github.com/go-redsync/redsync/v4", Polls: true, Variant: true,
		Setting: "1 ms between tries, expiry 8 s, not renewed",
		Open: func(addr string, o Options) (Locker, error) {
			return openSyncs(addr, o, redsync.WithRetryDelay(time.Millisecond))
		},
	}
}

func openSyncs(addr string, o Options, opts ...redsync.Option) (Locker, error) {
	rdb := Connect(addr, o)
	if o.TTL > 0 {
		opts = append(opts, redsync.WithExpiry(o.TTL))
	}
	return &syncsClient{redsync.New(goredis.NewPool(rdb)), rdb, opts}, nil
}

type syncsClient struct {
	locks *redsync.Redsync
	rdb   redis.UniversalClient
	opts  []redsync.Option
}

func (c *syncsClient) Lock(ctx context.Context, name string) (Release, error) {
	m := c.locks.NewMutex(name, c.opts...)
	for {
		err := m.LockContext(ctx)
		if err == nil {
			return func(ctx context.Context) error {
				ok, err := m.UnlockContext(ctx)
				if err == nil && !ok {
					err = errors.New("redsync: not unlocked")
				}
				return err
			}, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var taken *redsync.ErrTaken
		if !errors.As(err, &taken) && !errors.Is(err, redsync.ErrFailed) {
			return nil, err // otherwise its tries were used up, and it tries again
		}
	}
}

func (c *syncsClient) Close() { _ = c.rdb.Close() }
