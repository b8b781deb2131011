package quorum

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock"
)

const (
	// endedPatience is how long an acquire whose time is over, or that does not wait, waits for its own traces to be gone, and
	// patience is the same for another failure. After that they are removed in the background.
	endedPatience = 20 * time.Millisecond
	patience      = 250 * time.Millisecond
	// tryPatience is how long a TryAcquire waits for the rest, when a majority has answered and it has not the lock yet.
	tryPatience = 100 * time.Millisecond
)

// Acquire takes the lock of that name on a majority of the nodes. It asks all nodes at once, and waits in the order of arrival
// until ctx ends or the time of [redislock.WithWait] is over. The lock is renewed until it is released. ctx bounds the waiting
// only, not the hold.
//
// The options are [redislock.WithLease], WithWait, WithMetadata, WithMaxHold, WithoutRenewal, WithStealAfter and NonReentrant.
// Any other is [redislock.ErrInvalid], and so is a lease that is longer than [WithLongestLease]. WithStealAfter counts the age of
// a hold on each node, from the vote of that node, or from the acquire if that was less than a second before. WithoutRenewal ends
// the lock when one lease is over since the grant; a vote is renewed until then, for it may have been there long before.
//
// Under the context of a lock of that name by this Locker, Acquire returns another handle of it, at once and with nothing sent.
//
// After an error nothing is left behind on any node. The error is [redislock.ErrHeld] if a majority has answered and another has
// the lock. Otherwise it names the nodes that could not be asked, with the error of each; [errors.Is] finds each of these, and
// that of ctx.
func (q *Locker) Acquire(ctx context.Context, name string, opts ...redislock.Option) (*Lock, error) {
	l, err := q.acquire(ctx, name, opts)
	return l, wrap("acquire", name, err)
}

// TryAcquire is Acquire without waiting. If another has the lock, it returns [redislock.ErrHeld] at once. Two that try at the same
// time can keep each other from it. Nodes that are missing are asked again when the lock is granted, as by Acquire.
func (q *Locker) TryAcquire(ctx context.Context, name string, opts ...redislock.Option) (*Lock, error) {
	l, err := q.acquire(ctx, name, append(opts[:len(opts):len(opts)], redislock.WithWait(0)))
	return l, wrap("acquire", name, err)
}

// Do takes the lock of that name, runs fn while it holds the lock, and gives the lock back. The context of fn ends when ctx ends or
// when the lock is lost. Do returns the error of the acquire, or fn's own. If the lock was lost while fn ran, the error is
// [redislock.ErrLost] too, even where fn returned nil.
func (q *Locker) Do(ctx context.Context, name string, fn func(context.Context) error, opts ...redislock.Option) (err error) {
	if fn == nil {
		return wrap("do", name, invalid("a nil function"))
	}
	l, err := q.Acquire(ctx, name, opts...)
	if err != nil {
		return err
	}
	defer func() { // also when fn panics
		loss := l.finish(ctx, true)
		if errors.Is(loss, redislock.ErrLost) {
			err = errors.Join(err, wrap("release", name, loss))
		}
	}()
	return fn(l.under(ctx))
}

// Wrap is the decorator: it returns a function that runs fn under the lock of that name, as [Locker.Do] does.
func (q *Locker) Wrap(name string, fn func(context.Context) error, opts ...redislock.Option) func(context.Context) error {
	return func(ctx context.Context) error { return q.Do(ctx, name, fn, opts...) }
}

func (q *Locker) acquire(ctx context.Context, name string, opts []redislock.Option) (*Lock, error) {
	switch {
	case q == nil || len(q.nodes) == 0:
		return nil, invalid("a Locker that New has not made")
	case ctx == nil:
		return nil, invalid("a nil context")
	}
	lease, wait, maxHold, waits, strict, node, err := root.Settings(q.nodes[0].client, name, opts)
	for i := 1; errors.Is(err, redislock.ErrClosed) && i < q.majority; i++ { // a minority of the Clients may be closed
		lease, wait, maxHold, waits, strict, node, err = root.Settings(q.nodes[i].client, name, opts)
	}
	if err != nil {
		return nil, err
	}
	if lease > q.longest {
		return nil, invalid("WithLease(%v): longer than WithLongestLease(%v)", lease, q.longest)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if l, nested, err := q.nest(ctx, name, strict); nested {
		return l, err
	}
	try, outer := waits && wait == 0, ctx
	if waits && !try {
		bounded, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		ctx = bounded
	}
	if err := q.prepare(ctx); err != nil {
		return nil, err
	}
	h := q.newHold(name, node, try, strict, maxHold)
	var enough <-chan time.Time
	if try {
		t := time.NewTimer(tryPatience)
		defer t.Stop()
		enough = t.C
	}
	for ended := false; !ended; {
		select {
		case <-h.settled:
			if ctx.Err() == nil && h.wasGranted() {
				if err := h.err(); err != nil { // the process was paused (I10)
					return nil, err
				}
				return newLock(h, nil, outer), nil
			}
			ended = true
		case <-ctx.Done():
			ended = true
		case <-enough:
			if ended = h.answered(); !ended {
				enough = time.After(tryPatience)
			}
		}
	}
	h.abandon(ctx, try)
	return nil, h.outcome(outer, ctx, wait)
}

// answered reports whether a majority of the nodes has answered.
func (h *hold) answered() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for i := range h.votes {
		if v := &h.votes[i]; v.lock != nil || v.why != nil {
			n++
		}
	}
	return n >= h.locker.majority
}

// abandon ends an acquire that has failed. It waits a little until nothing of it is left (I8), and hardly at all for a caller
// that is in a hurry, or whose time, which ctx bounds, is over by then.
func (h *hold) abandon(ctx context.Context, hurry bool) {
	h.mu.Lock()
	h.end(redislock.ErrReleased, nil)
	if h.busy == 0 {
		h.mu.Unlock()
		return
	}
	h.idle = make(chan struct{})
	h.mu.Unlock()
	t := time.NewTimer(patience)
	defer t.Stop()
	if !hurry {
		select {
		case <-h.idle:
			return
		case <-t.C:
			return
		case <-ctx.Done():
		}
	}
	t.Reset(endedPatience)
	select {
	case <-h.idle:
	case <-t.C:
	}
}

// outcome is the error of an acquire that has failed.
func (h *hold) outcome(outer, ctx context.Context, wait time.Duration) error {
	switch {
	case outer.Err() != nil:
		return h.failure(outer.Err(), "")
	case ctx.Err() != nil:
		return h.failure(nil, fmt.Sprintf(" within WithWait(%v)", wait))
	}
	return h.failure(nil, "")
}
