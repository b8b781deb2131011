package waiting

import (
	"context"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
)

// Wait is one token in a queue. Most acquires find the lock free, so what costs something is made when the answer says otherwise:
// until then the wait is in no queue. Its zero value is for Expect.
type Wait struct {
	token   string        // of this wait alone: whoever is gone joins again under another one
	lease   time.Duration // what it asks for: a grant is never relied on for longer
	steal   time.Duration // 0: never
	outcome chan *Outcome // holds one: the first counts

	// Guarded by Waits.mu.
	named *named                 // nil while it is expected
	early *protocol.GrantMessage // a message that came then
	hasty bool                   // so did one that says to look

	// Guarded by named.mu.
	pending bool  // not settled by a check: one that a message has settled is asked for until it is removed
	place   int32 // in queue.waits
	sample  Sample
}

// Outcome is what a wait came to.
type Outcome struct {
	Grant Grant // granted, unless it is Gone or there is an error
	Gone  bool  // the server has neither place nor hold for its token
	Err   error // why it ended otherwise
}

// Grant is a lock that an acquire or a wait got.
type Grant struct {
	Fence string
	Valid clock.Bound   // held until this has passed (I6)
	Sent  time.Time     // when it was asked for, or heard of
	Lease time.Duration // how long the server holds it: less than asked for if it is only a claim
	Alone bool          // nobody else had it or waited for it
}

// Sample relates the server's clock to ours: a request left at Sent, and was answered when the server said Now. It is good as long
// as the subscription that it was taken under: another one may be of another server.
type Sample struct {
	Sent  time.Time
	Now   protocol.Micros
	Epoch uint64
}

// Token is the token of the wait, empty before Expect.
func (w *Wait) Token() string { return w.token }

// settle gives the wait its outcome, unless it has one.
func (w *Wait) settle(o Outcome) {
	select {
	case w.outcome <- &o:
	default:
	}
}

// Await sleeps until the wait, which has joined, is settled, ctx ends, or the Client is closed. A context that has ended comes first.
func (w *Wait) Await(ctx context.Context) Outcome {
	cfg := &w.named.waits.cfg
	select {
	case o := <-w.outcome:
		if ctx.Err() == nil {
			return *o
		}
	case <-ctx.Done():
	case <-cfg.Closing:
		return Outcome{Err: cfg.Cause()}
	}
	w.named.mu.Lock()
	defer w.named.mu.Unlock()
	return Outcome{Err: transport.During(ctx.Err(), w.named.queue.why)}
}

// Holder is who had the lock when that was last heard, and who else waits for it. The wait has joined.
func (w *Wait) Holder() protocol.Holder {
	w.named.mu.Lock()
	defer w.named.mu.Unlock()
	h := w.named.queue.holder
	h.Waiting = max(h.Waiting-1, 0) // but for this one
	return h
}
