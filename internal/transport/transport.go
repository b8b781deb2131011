// Package transport is how requests leave. It sends scripts and commands to the masters of one Redis, those of many callers
// together. It sends them again if that is safe, and returns the result of each.
//
//	Ask, Attempt ──▶ executor of the key's master ──▶ alone, at once, on the caller's goroutine
//	Insist           │  ▲                              or together, in the next pipeline, when two batches are in flight
//	                 ▼  └── no answer to what nobody waits for: again, together
//	Enqueue, Flush ─▶ a pipeline of their own for renewals and checks, which stand behind nobody
//
// A [Call] is under way until it is answered or has failed. Its caller may stop waiting earlier: what comes then goes to Late.
//
//   - I3, I8: go-redis sends nothing twice. What had no answer is sent again here, with the same token, and the answer says so
//     ([Answer].Unanswered): a copy may be executed late.
//   - I11: a command comes back with a value or an error (send.go), and errors.go decides in one place what an error means: whether the
//     same request may succeed at once, never, or when somebody has mended something.
//
// Which answers are tried again: errors.go. How often and how long: ask.go, and insist.go for requests without a waiting caller.
// What leaves together: executor.go.
package transport

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"example.com/redislock/internal/backend"
	"example.com/redislock/internal/tracker"
)

// Transport sends requests to the masters of one Redis.
type Transport struct {
	rdb        redis.UniversalClient
	behind     backend.Backend
	prompt     bool             // a request is answered or has failed within ResendTime, unless
	relaxes    bool             // its node announces maintenance: the client waits longer then
	background *tracker.Tracker // requests under way and give-backs that are not through
	closing    <-chan struct{}  // closed when what waits fails
	stopped    <-chan struct{}  // closed when what is tried in the background ends
	orphaned   func(error)      // told once, when the Redis client is found to be closed
	orphan     orphan
	single     *executor

	mu      sync.Mutex
	masters map[string]*executor
	mapped  atomic.Bool // the cluster client has a map of the slots

	outbox     []Errand // of the scheduler's goroutine
	unanswered unanswered
}

// New makes the transport over rdb, behind which is that client. What is under way counts in background. When closing is closed, no
// attempt is waited for; when stopped is, nothing is tried in the background any more. orphaned is told when the Redis client is found
// to be closed.
func New(rdb redis.UniversalClient, behind backend.Backend, background *tracker.Tracker, closing, stopped <-chan struct{}, orphaned func(error)) *Transport {
	t := &Transport{
		rdb: rdb, behind: behind, prompt: prompt(behind), relaxes: relaxes(behind), background: background, closing: closing, stopped: stopped,
		orphaned: orphaned, orphan: orphan{known: make(chan struct{})}, masters: map[string]*executor{},
	}
	t.single = t.newExecutor()
	return t
}

// Orphaned is closed when the Redis client was found to be closed.
func (t *Transport) Orphaned() <-chan struct{} { return t.orphan.known }

// Trouble is why the last request had no answer, nil if it had one. On a cluster it is not known of which master.
func (t *Transport) Trouble() error { return t.single.why() }

// isEnding reports whether nothing is tried in the background any more.
func (t *Transport) isEnding() bool {
	select {
	case <-t.stopped:
		return true
	default:
		return false
	}
}

// pause sleeps, and reports whether to go on.
func (t *Transport) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-t.stopped:
		return false
	case <-t.orphan.known:
		return false
	}
}

// prompt reports whether the client is known to give up a read in time. Where it is not, a goroutine of its own waits for
// the answers that must not hold up their caller. A wrapper may wait as long as it likes.
func prompt(b backend.Backend) bool {
	var timeout time.Duration
	switch {
	case b.Wrapped:
	case b.Single != nil:
		timeout = b.Single.Options().ReadTimeout
	case b.Cluster != nil:
		timeout = b.Cluster.Options().ReadTimeout
	}
	return timeout > 0 && timeout <= ResendTime
}

// relaxes reports whether the client waits longer than ResendTime for an answer when a server has announced that it is being
// maintained (go-redis' maintnotifications): 10 s unless it is told otherwise.
func relaxes(b backend.Backend) bool {
	var config *maintnotifications.Config
	switch {
	case b.Single != nil:
		config = b.Single.Options().MaintNotificationsConfig
	case b.Cluster != nil:
		config = b.Cluster.Options().MaintNotificationsConfig
	}
	return config == nil || config.RelaxedTimeout == 0 || config.RelaxedTimeout > ResendTime
}

// relaxed reports whether the master of a key is one that announces its maintenance. go-redis finds that out with its first
// connection; Redis and Valkey themselves are none.
func (t *Transport) relaxed(key string) bool {
	node := t.behind.Single
	if !t.relaxes {
		return false
	}
	if t.behind.Cluster != nil {
		node, _ = MasterOf(context.Background(), t.behind.Cluster, key) // without one, the request fails at once
	}
	return node != nil && node.GetMaintNotificationsManager() != nil
}

// PoolSize is how many connections a client has to each node. Half of them may be blocked by WAIT.
func PoolSize(b backend.Backend) int {
	size, most := 0, 0
	switch {
	case b.Single != nil:
		size, most = b.Single.Options().PoolSize, b.Single.Options().MaxActiveConns
	case b.Cluster != nil:
		size, most = b.Cluster.Options().PoolSize, b.Cluster.Options().MaxActiveConns
	}
	if most > 0 {
		size = min(size, most)
	}
	return size
}
