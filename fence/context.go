package fence

import (
	"context"

	"example.com/redislock"
)

// carried is a fence in a context, and the lock that was the innermost when it got there.
type carried struct {
	fence int64
	lock  *redislock.Lock
}

type carriedKey struct{}

// NewContext is ctx with a fence that came from elsewhere: by a request, a message, or an environment variable.
// [Require] and [Middleware] do this for HTTP.
func NewContext(ctx context.Context, fence int64) context.Context {
	lock, _ := redislock.FromContext(ctx)
	return context.WithValue(ctx, carriedKey{}, carried{fence, lock})
}

// FromContext is the fence that ctx comes with: that of the innermost lock whose context it is
// ([redislock.FromContext]), or the one that [NewContext] put there, whichever is further in. Without either the answer
// is false.
func FromContext(ctx context.Context) (int64, bool) {
	lock, held := redislock.FromContext(ctx)
	c, came := ctx.Value(carriedKey{}).(carried)
	switch {
	case came && c.lock == lock: // no lock since
		return c.fence, true
	case held:
		return lock.Fence(), true
	}
	return 0, false
}
