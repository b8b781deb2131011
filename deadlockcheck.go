package redislock

import (
	"context"
	"time"

	"example.com/redislock/internal/waiting"
)

// WithDeadlockCheck has a wait that lasts longer than d find out, once, whether it is part of a deadlock ([Client.Deadlocks]); d is at
// least 100 ms. If it is the youngest in a cycle, the acquire fails with [ErrDeadlock] as a [DeadlockError], which names the
// cycle, and leaves nothing behind. The others in the cycle get on as soon as the caller has given back what it holds. Of several
// that check, only the youngest fails. A look that fails, for instance because the right to scan is missing, ends no wait. A
// wait under no lock is in no cycle: for it the option does nothing. Without this option nobody looks.
//
// A caller that waits for another one of its own process under [WithTurn] has no place in the queue of the server, and is not looked for.
// Let d be longer than locks are held as a rule: a look goes through all keys of the server.
func WithDeadlockCheck(d time.Duration) Option {
	return func(s *settings) error {
		if d < MinLease {
			return invalid("WithDeadlockCheck(%v): must be at least %v", d, MinLease)
		}
		s.seldom().deadlockCheck = d
		return nil
	}
}

// checking has the wait look for a deadlock after some time. The result ends that, and returns when it has ended.
func (q *acquisition) checking(ctx context.Context, w *waiting.Wait) (stop func()) {
	if q.few == nil || q.few.deadlockCheck == 0 || q.Looked || len(carriedBy(q.parent)) == 0 && q.changes == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	after := q.few.deadlockCheck
	go func() {
		defer close(done)
		if !sleep(ctx, after) {
			return
		}
		q.Looked = true
		if cycle := q.client.cycleOf(ctx, publicID(w.Token())); cycle != nil {
			w.Fail(&DeadlockError{Cycle: cycle})
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// cycleOf is the cycle in which the place of that ID is the youngest, or nil if there is none.
func (c *Client) cycleOf(ctx context.Context, place string) Cycle {
	g, err := c.waitGraph(ctx)
	if err != nil {
		return nil
	}
	for _, cycle := range g.Cycles {
		if cycle.Youngest().Place.ID == place {
			return cycle
		}
	}
	return nil
}
