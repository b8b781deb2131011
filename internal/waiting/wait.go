package waiting

import (
	"context"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
)

// Wait is one token in a queue. Most acquires find the lock free, so a Wait makes its costly parts only when the answer says
// otherwise. Until then it is in no queue. Its zero value is for Expect.
type Wait struct {
	token   string        // of this wait alone: a waiter that is gone joins again under another token
	lease   time.Duration // the lease that it asks for; a grant is never relied on for longer
	steal   time.Duration // 0: never
	outcome chan *Outcome // has room for one: the first counts

	// Guarded by Waits.mu.
	named *named                 // nil while the wait is expected
	early *protocol.GrantMessage // a message that came while it was expected

	// Guarded by named.mu.
	sample  Sample
	hasty   bool  // a message "sooner" came while it was expected; guarded by Waits.mu, and here for the size of all
	pending bool  // not settled by a check: one that a message has settled is asked for until it is removed
	nested  bool  // it belongs to a lock that is held; never changes after Join
	place   int32 // in queue.waits
}

// Outcome is the end of a wait.
type Outcome struct {
	Grant Grant // the grant, unless the wait is Gone or there is an error
	Gone  bool  // the server has neither place nor hold for its token
	Err   error // why the wait ended otherwise
}

// Grant is a grant of the lock to an acquire or a wait.
type Grant struct {
	Fence string
	Valid clock.Bound   // the lock counts as held until this has passed (I6)
	Sent  time.Time     // when the lock was asked for, or when the message came
	Lease time.Duration // how long the server keeps the hold; less than asked for if it is only a claim
	Alone bool          // nobody else had the lock or waited for it
	// Direct says that nobody waited for it.
	Direct bool
	Now    protocol.Micros // the server's clock was at that, or later, when this was heard
}

// Sample relates the server's clock to the local one: a request left at Sent, and the server said Now in its answer. It is valid
// as long as the subscription under which it was taken, because another subscription may be at another server.
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

// Fail ends the wait, which has joined, with an error, unless it has an outcome.
func (w *Wait) Fail(err error) { w.settle(Outcome{Err: err}) }

// Await sleeps until the wait, which has joined, is settled, or ctx ends. If ctx has ended, that comes first.
func (w *Wait) Await(ctx context.Context) Outcome {
	select { // each case more would cost every waiter memory
	case o := <-w.outcome:
		if ctx.Err() == nil {
			return *o
		}
	case <-ctx.Done():
	}
	w.named.mu.Lock()
	defer w.named.mu.Unlock()
	return Outcome{Err: transport.During(ctx.Err(), w.named.queue.why)}
}

// Holder is the last known holder of the lock, and how many others wait for it. The wait has joined.
func (w *Wait) Holder() protocol.Holder {
	w.named.mu.Lock()
	defer w.named.mu.Unlock()
	h := w.named.queue.holder
	h.Waiting = max(h.Waiting-1, 0) // without this one
	return h
}
