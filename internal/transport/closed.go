package transport

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// If the user has closed the Redis client, no request will ever be answered again. So every wait fails at once, the loops
// end, and locks are no longer renewed and are lost at their bounds.

// ErrOrphaned is the error of everything from then on.
var ErrOrphaned = fmt.Errorf("the Redis client was closed: %w", redis.ErrClosed)

// orphan is how a Client knows that its Redis client is closed.
type orphan struct {
	mu      sync.Mutex
	looking bool
	known   chan struct{} // closed when it is
}

// Suspect takes the error of a request, or of a subscription, for a sign: that a master may have died and another have taken
// its place, or that the Redis client is closed.
func (t *Transport) Suspect(err error) {
	if err == nil {
		return
	}
	if cluster := t.behind.Cluster; cluster != nil && !Answered(err) {
		// go-redis asks for the map of the slots again when a node redirects it, which a dead one does not, and else once a minute.
		cluster.ReloadState(context.Background()) // in the background, a few times a second at the most
	}
	if !errors.Is(err, redis.ErrClosed) {
		return
	}
	t.orphan.mu.Lock()
	defer t.orphan.mu.Unlock()
	if !t.orphan.looking && !t.IsOrphaned() && !t.isEnding() {
		t.orphan.looking = true
		t.background.Add()
		go t.lookOrphaned()
	}
}

// lookOrphaned makes sure: a cluster client closes those of nodes that have left the cluster, and a wrapper may have another
// client by now. A client that is closed refuses everything.
func (t *Transport) lookOrphaned() {
	defer t.background.Done()
	closed := true
	for attempt := 0; closed && attempt < 5; attempt++ {
		if attempt > 0 && !t.pause(time.Millisecond<<attempt) {
			break
		}
		ping := NewCommand(context.Background(), 0, "ping")
		Process(context.Background(), t.rdb, ping)
		closed = errors.Is(ping.Err(), redis.ErrClosed)
	}
	t.orphan.mu.Lock()
	defer t.orphan.mu.Unlock()
	t.orphan.looking = false
	if closed {
		close(t.orphan.known)
		t.orphaned(ErrOrphaned)
	}
}

// IsOrphaned reports whether the Redis client was found to be closed.
func (t *Transport) IsOrphaned() bool {
	select {
	case <-t.orphan.known:
		return true
	default:
		return false
	}
}
