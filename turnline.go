package redislock

import (
	"context"
	"time"

	"example.com/redislock/internal/lease"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/turns"
)

// This file is the acquire of a caller that may be granted the lock within the process.

// inTurn is pursue for a lock that may be granted within the process.
func (q *acquisition) inTurn() (*Lock, error) {
	if q.mode == Read {
		return q.amongReaders()
	}
	c := q.client
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer c.leave()
	t := c.turns.enter(c, q.turnKey())
	defer c.turns.leave(t)
	t.mu.Lock()
	for {
		now := time.Now()
		switch t.machine.Arrive(now, q.lease, t.rest.Left(now)) {
		case turns.Again:
			continue
		case turns.Serve:
			return q.serveIdle(t, now)
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

// serveIdle takes a lock that lingers. The caller has locked t.mu; serveIdle unlocks it.
func (q *acquisition) serveIdle(t *turn, now time.Time) (*Lock, error) {
	defer t.client.background.Done() // of the linger
	defer t.mu.Unlock()
	rest := t.rest
	t.rest = lease.Rest{}
	l, err := t.grant(q, rest, now)
	if err != nil {
		t.machine.Over()
		t.dismiss(rest)
	}
	return l, err
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
	l, err := q.askServer()
	if granted = err == nil; granted && t.reads() {
		t.admit(l.hold)
	}
	return l, err
}

// askServer is pursue after a wait within the process.
func (q *acquisition) askServer() (*Lock, error) {
	if q.waitSet && q.settings.wait > 0 {
		q.settings.wait = max(q.settings.wait-time.Since(q.asked), time.Millisecond)
	}
	q.key = q.client.keys.Lock(q.name)
	return q.pursue()
}

// standInLine waits for a grant within the process, or until it is its turn to ask the server. The caller has locked t.mu.
func (q *acquisition) standInLine(t *turn) (*Lock, error) {
	c, ctx := q.client, q.parent
	held := t.held != nil
	if q.waitSet && q.settings.wait == 0 && !held { // the process only asks for the lock: the server knows who has it
		t.mu.Unlock()
		_ = strictly(&q.settings)
		q.key = c.keys.Lock(q.name)
		return q.pursue()
	}
	if q.waitSet && q.settings.wait == 0 {
		q.heldWithin(t)
		t.mu.Unlock()
		return nil, q.fail(ctx, nil)
	}
	if c.observer != nil { // otherwise it is said when the wait fails
		q.heldWithin(t)
	}
	q.Queued = true
	c.queued.add(q)
	defer c.queued.remove(q)
	var stop func()
	defer func() {
		if stop != nil {
			stop()
		}
	}()
	l, err := q.inLine(t, func() {
		if c.observer != nil {
			c.observeAside(q.event(EventQueued))
			if held {
				stop = q.tellOfItself(q.Holder.Info)
			}
		}
	})
	if l == nil && err == nil {
		return q.seekFor(t)
	}
	return l, err
}

// inLine waits in line for a lock that is granted within the process. If it returns neither an error nor a lock, this caller is
// to ask the server. The caller has locked t.mu; inLine unlocks it. waits is called meanwhile.
func (q *acquisition) inLine(t *turn, waits func()) (l *Lock, err error) {
	c, ctx := q.client, q.parent
	w := c.turns.inLine()
	w.q, w.Arrived, w.Lease = q, q.asked, q.lease
	t.machine.Join(&w.Waiter)
	t.mu.Unlock()
	told := false
	defer func() {
		if !told { // also where a callback of the user's has panicked, or ended the goroutine
			q.leaveLine(ctx, t, w)
		}
		w.q = nil
		c.turns.spare.Put(w)
	}()
	waits()
	if q.waitSet {
		bounded, cancel := context.WithTimeout(ctx, q.settings.wait)
		defer cancel()
		ctx = bounded
	}
	var draining <-chan struct{}
	if c.carried(q.parent) == nil { // otherwise it belongs to a lock that is held
		draining = c.draining.begun
	}
	select {
	case l = <-w.told:
		told = true
		if err = ctx.Err(); err != nil {
			q.unused(ctx, t, l)
		}
	case <-ctx.Done():
		err = ctx.Err()
	case <-draining:
		err = c.refuses(q.parent)
	case <-c.closing:
		err = c.failed()
	}
	if err == nil {
		return l, nil
	}
	if !told {
		told = true
		q.leaveLine(ctx, t, w)
	}
	if q.Holder == nil && !t.reads() {
		t.mu.Lock()
		q.heldWithin(t)
		t.mu.Unlock()
	}
	return nil, q.fail(ctx, err)
}

// heldWithin notes which caller of the process has the lock. The caller has locked t.mu.
func (q *acquisition) heldWithin(t *turn) {
	holder := t.holder()
	q.Holder = &holder
}

// leaveLine is the end of a wait. What was given to it meanwhile goes on (I8).
func (q *acquisition) leaveLine(ctx context.Context, t *turn, w *inLine) {
	t.mu.Lock()
	left := t.machine.Leave(&w.Waiter)
	t.mu.Unlock()
	if left {
		return
	}
	q.unused(ctx, t, <-w.told)
}

// unused passes on what its caller does not take: the turn to ask the server, or a lock, which it gives back, as giveBack does
// with a grant of the server's.
func (q *acquisition) unused(ctx context.Context, t *turn, l *Lock) {
	switch l {
	case nil:
		t.passOn()
		return
	case toAlone:
		return
	}
	c, h := q.client, l.hold
	if h.turn.reads() {
		h.turn.forgetReader(l)
	}
	_, on, _ := h.turn.ended(h, false, time.Now())
	if on == withOthers {
		return
	}
	defer c.forget(h)
	if on == withinProcess {
		return
	}
	defer c.turns.done(h.turn)
	if h.lease.GiveUp() { // unless it was lost meanwhile
		q.patiently(ctx, c.dismiss(h.lease.Key(), protocol.ReleaseArgs(h.lease.Token(), h.lease.Unanswered(), h.lease.Carried())))
	}
}
