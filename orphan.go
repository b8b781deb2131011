package redislock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// The user's Redis client is closed for good, and by the user: nothing will ever be answered again. So whoever waits fails at
// once, in place of waiting for what cannot come; the loops end; and what is held is not renewed any more and is lost at its
// bound.

// errOrphaned is the error of everything from then on.
var errOrphaned = fmt.Errorf("the Redis client was closed: %w", redis.ErrClosed)

// orphan is how a Client knows that its Redis client is closed.
type orphan struct {
	mu      sync.Mutex
	looking bool
	known   chan struct{} // closed when it is
}

// suspect takes the error of a request, or of a subscription, for a sign: that a master may have died and another have taken
// its place, or that the Redis client is closed.
func (c *Client) suspect(err error) {
	if err == nil {
		return
	}
	if cluster := c.behind.Cluster; cluster != nil && !answered(err) {
		// go-redis asks for the map of the slots again when a node redirects it, which a dead one does not, and else once a minute.
		cluster.ReloadState(context.Background()) // in the background, a few times a second at the most
	}
	if !errors.Is(err, redis.ErrClosed) {
		return
	}
	c.orphan.mu.Lock()
	defer c.orphan.mu.Unlock()
	if !c.orphan.looking && !c.isOrphaned() && !c.isStopped() {
		c.orphan.looking = true
		c.background.add()
		go c.lookOrphaned()
	}
}

// lookOrphaned makes sure: a cluster client closes those of nodes that have left the cluster, and a wrapper may have another
// client by now. A client that is closed refuses everything.
func (c *Client) lookOrphaned() {
	defer c.background.done()
	closed := true
	for attempt := 0; closed && attempt < 5; attempt++ {
		if attempt > 0 && !c.pause(time.Millisecond<<attempt) {
			break
		}
		ping := newCommand(context.Background(), 0, "ping")
		process(context.Background(), c.rdb, ping)
		closed = errors.Is(ping.Err(), redis.ErrClosed)
	}
	c.orphan.mu.Lock()
	defer c.orphan.mu.Unlock()
	c.orphan.looking = false
	if closed {
		close(c.orphan.known)
		c.fail(errOrphaned)
	}
}

func (c *Client) isOrphaned() bool {
	select {
	case <-c.orphan.known:
		return true
	default:
		return false
	}
}

// fail fails whatever waits, for the first of the causes that are given.
func (c *Client) fail(cause error) {
	c.failing.Do(func() {
		c.cause = cause
		close(c.closing)
	})
}

// failed is why whatever waits fails, nil if it does not.
func (c *Client) failed() error {
	select {
	case <-c.closing:
		return c.cause
	default:
		return nil
	}
}
