package redislock

import (
	"context"
	"time"

	"example.com/redislock/internal/lease"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/turns"
)

// This file is the acquire of one who may be granted the lock within the process.

// inTurn is pursue for a lock that may be granted within the process.
func (q *acquisition) inTurn() (*Lock, error) {
	c := q.client
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer c.leave()
	t := c.turns.enter(c, q.name)
	defer c.turns.leave(t)
	t.mu.Lock()
	for {
		now := time.Now()
		switch t.machine.Arrive(now, q.lease, t.rest.Left(now)) {
		case turns.Again:
			continue
		case turns.Serve:
			rest := t.rest
			l, err := t.grant(q, rest, now)
			if err != nil {
				t.machine.Over()
				t.dismiss(rest)
			}
			t.rest = lease.Rest{}
			t.mu.Unlock()
			c.background.Done() // of the linger
			return l, err
		case turns.GiveBack:
			t.dropIdle()
			t.mu.Unlock()
			return q.seekFor(t)
		case turns.Seek:
			t.mu.Unlock()
			return q.seekFor(t)
		}
		return q.standInLine(t)
	}
}

// seekFor asks the server, for all of the process. If that fails, the next in line asks.
func (q *acquisition) seekFor(t *turn) (*Lock, error) {
	granted := false
	defer func() {
		if !granted { // also if a callback of the user's panics
			t.mu.Lock()
			defer t.mu.Unlock()
			t.over()
		}
	}()
	t.mu.Lock()
	t.sought = time.Now()
	t.mu.Unlock()
	q.key = q.client.keys.Lock(q.name)
	l, err := q.pursue()
	granted = err == nil
	return l, err
}

// standInLine waits for a grant within the process, or until it is its turn to ask the server. The caller has locked t.mu.
func (q *acquisition) standInLine(t *turn) (*Lock, error) {
	c, ctx := q.client, q.parent
	holder, held := t.holder(), t.held != nil
	if q.waitSet && q.settings.wait == 0 && !held { // the process only asks for the lock: the server knows who has it
		t.mu.Unlock()
		_ = strictly(&q.settings)
		q.key = c.keys.Lock(q.name)
		return q.pursue()
	}
	q.Holder = &holder
	if q.waitSet && q.settings.wait == 0 {
		t.mu.Unlock()
		return nil, q.fail(ctx, nil)
	}
	w := c.turns.inLine()
	w.q, w.Arrived, w.Lease = q, q.asked, q.lease
	t.machine.Join(&w.Waiter)
	t.mu.Unlock()
	told := false
	defer func() {
		if !told { // a callback of the user's has panicked, or ended the goroutine
			q.leaveLine(ctx, t, w)
		}
		w.q = nil
		c.turns.spare.Put(w)
	}()
	q.Queued = true
	c.queued.add(q)
	defer c.queued.remove(q)
	if c.observer != nil {
		c.observeAside(q.event(EventQueued))
	}
	if held {
		defer q.tellOfItself(holder.Info)()
	}
	if q.waitSet {
		bounded, cancel := context.WithTimeout(ctx, q.settings.wait)
		defer cancel()
		ctx = bounded
	}
	var draining <-chan struct{}
	if c.carried(q.parent) == nil { // otherwise it belongs to a lock that is held
		draining = c.draining.begun
	}
	var l *Lock
	var err error
	select {
	case l = <-w.told:
		told = true
		if ctx.Err() == nil {
			break
		}
		if err = ctx.Err(); l != nil {
			q.unused(ctx, l.hold)
		} else {
			t.passOn()
		}
	case <-ctx.Done():
		err = ctx.Err()
	case <-draining:
		err = c.refuses(q.parent)
	case <-c.closing:
		err = c.failed()
	}
	switch {
	case err != nil:
		if !told {
			told = true
			q.leaveLine(ctx, t, w)
		}
		return nil, q.fail(ctx, err)
	case l != nil:
		return l, nil
	}
	if q.waitSet {
		q.settings.wait = max(q.settings.wait-time.Since(q.asked), time.Millisecond)
	}
	return q.seekFor(t)
}

// leaveLine is the end of a wait. What was given to it meanwhile goes on (I8).
func (q *acquisition) leaveLine(ctx context.Context, t *turn, w *inLine) {
	t.mu.Lock()
	left := t.machine.Leave(&w.Waiter)
	t.mu.Unlock()
	if left {
		return
	}
	if l := <-w.told; l != nil {
		q.unused(ctx, l.hold)
	} else {
		t.passOn()
	}
}

// unused passes on a lock that its caller does not get, or gives it back, as giveBack does with a grant of the server's.
func (q *acquisition) unused(ctx context.Context, h *hold) {
	c := q.client
	defer c.forget(h)
	_, passed, _ := h.turn.ended(h, false)
	if passed {
		return
	}
	defer c.turns.done(h.turn)
	if h.lease.GiveUp() { // unless it was lost meanwhile
		q.patiently(ctx, c.dismiss(h.lease.Key(), protocol.ReleaseArgs(h.lease.Token(), h.lease.Unanswered(), h.lease.Carried())))
	}
}
