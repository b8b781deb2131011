package quorum

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/bridge"
)

// root has the functions of package redislock that are not exported to users; see its node.go.
var root = bridge.Root.(interface {
	Redis(*redislock.Client) (redis.UniversalClient, *redis.Client)
	Trouble(*redislock.Client) error
	Prefix(*redislock.Client) string
	Dials(*redislock.Client) *atomic.Uint64
	Settings(c *redislock.Client, name string, opts []redislock.Option) (lease, wait, maxHold time.Duration, waits, strict bool, node any, err error)
	Acquire(ctx context.Context, c *redislock.Client, name string, node any, ticket string, try bool, of voter) (*redislock.Lock, error)
	Confirm(l *redislock.Lock, fence int64) (int64, error)
	Held(*redislock.Lock) (since, until time.Time)
})

// voter is told about a vote.
type voter = interface {
	Queued()
	Asked(why string)
	Ended(cause error)
}
