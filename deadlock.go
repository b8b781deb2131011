package redislock

import (
	"context"
	"runtime"
	"strings"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/waiting"
)

// A caller waits for itself if it holds a lock and asks for it again under a context that does not carry the hold. This happens
// if a function under the lock uses the outer context instead of its own. Redis cannot tell that from two goroutines of one
// process that take turns. The stack of the caller can: the body of a Do is on it.

// selfWaitAfter is how long an acquire waits for a lock of its own process before the Observer is told.
const selfWaitAfter = time.Second

// waitsForItself reports whether the acquisition probably waits for its own caller. That is so if its process holds the lock, and
// if the caller is inside a function that runs under a lock, or asked by [Lockable.Acquire] under the same context under which
// the lock was asked for before.
func (q *acquisition) waitsForItself(holder string) bool {
	if !q.client.isOwn(holder) {
		return false
	}
	inBody, lockable := onStack()
	return inBody || lockable && q.client.askedUnder(q)
}

// heldBy is the error of the acquisition that found the lock taken.
func (q *acquisition) heldBy(cause error) *HeldError {
	e := q.client.heldBy(*q.Holder, cause)
	e.self = e.own && q.Queued && q.waitsForItself(q.Holder.Info)
	return e
}

// isOwn reports whether the description of a holder, as it travels, is that of this process under the Client's name.
func (c *Client) isOwn(info string) bool {
	rest, own := strings.CutPrefix(info, c.info[:len(c.info)-1])
	return own && (strings.HasPrefix(rest, "\n") || strings.HasPrefix(rest, " "))
}

// askedUnder reports whether the Client has a hold of the name that was asked for under the same context.
func (c *Client) askedUnder(q *acquisition) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.holds {
		if h.name == q.name && h.first.asked == q.parent {
			return true
		}
	}
	return false
}

// tellOfItself makes the Observer be told if the acquisition still waits for its own caller after selfWaitAfter. The result ends that.
func (q *acquisition) tellOfItself(holder string) (stop func()) {
	if q.client.observer == nil || !q.waitsForItself(holder) {
		return func() {}
	}
	e := q.event(EventSelfWait)
	e.Queued, e.Holder, e.Err = true, parseOwner(holder), ErrDeadlock
	timer := time.AfterFunc(selfWaitAfter, func() {
		e.Wait = clock.Elapsed(q.asked)
		q.client.report(e)
	})
	return func() { timer.Stop() }
}

// onStack looks at the functions that the goroutine is in. inBody: behind functions of others there is a Do or DoAll of this package,
// so one of them runs under a lock. lockable: the acquire was asked for by Lockable.Acquire.
func onStack() (inBody, lockable bool) {
	var pcs [64]uintptr
	pkg, foreign := "", false
	for skip := 1; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs[:])
		for _, pc := range pcs[:n] {
			f := runtime.FuncForPC(pc - 1)
			if f == nil {
				continue
			}
			if pkg == "" {
				pkg = strings.TrimSuffix(f.Name(), "onStack") // the first is this function
			}
			name, ours := strings.CutPrefix(f.Name(), pkg)
			switch {
			case !ours:
				foreign = true
			case !foreign && name == "(*Lockable).Acquire":
				lockable = true
			case foreign && (name == "(*Client).do" || name == "(*Client).DoAll"):
				return true, lockable
			}
		}
		if n < len(pcs) {
			return false, lockable
		}
	}
}

// WithDeadlockCheck looks whether a wait is part of a deadlock ([Client.Deadlocks]) when the wait has lasted for d, and again
// after 3 d, 7 d, 15 d and so on. d is at least 100 ms. If it is the youngest in a cycle, the acquire fails with [ErrDeadlock] as
// a [DeadlockError], which names the cycle, and leaves nothing behind. The others in the cycle go on as soon as the caller has
// given back the lock that it holds. If several waits of a cycle have this option, only the youngest fails ([Cycle.Youngest]); if
// the youngest has it not, none does. A look that fails, for instance because the right to scan is missing, ends no wait. A
// caller that holds no lock is in no cycle: for it the option does nothing.
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

// checking has the wait look for a deadlock after some time, and again each time that the wait has
// doubled. The result ends that, and returns when it has ended.
func (q *acquisition) checking(ctx context.Context, w *waiting.Wait) (stop func()) {
	if q.few == nil || q.few.deadlockCheck == 0 || len(carriedBy(q.parent)) == 0 && q.changes == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	pause := q.few.deadlockCheck
	go func() {
		defer close(done)
		for ; sleep(ctx, pause); pause *= 2 { // the circle may close only after a look
			if cycle := q.client.cycleOf(ctx, publicID(w.Token())); cycle != nil {
				w.Fail(&DeadlockError{Cycle: cycle})
				return
			}
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
