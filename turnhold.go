package redislock

import (
	"time"

	"example.com/redislock/internal/lease"
	"example.com/redislock/internal/lifetime"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/turns"
	"example.com/redislock/internal/waiting"
)

// This file passes a hold from one goroutine of the process to the next, and ends it.

// passOn has the next in line ask the server.
func (t *turn) passOn() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over()
}

// over tells the next in line that it is to ask the server. The caller has locked t.mu.
func (t *turn) over() { t.tell(t.machine.Over()) }

// tell tells a waiter that it is to ask the server. The caller has locked t.mu.
func (t *turn) tell(w *turns.Waiter) {
	if t.held != nil { // I2: its grants within the process are fences that the Client has seen
		t.client.floors.note(t.key.name, t.machine.Fence())
	}
	t.held = nil
	if w != nil {
		w.Of.(*inLine).told <- nil
	}
}

// holder says who has the lock, for callers that do not get it. That is not known while the process asks for it. The caller has
// locked t.mu.
func (t *turn) holder() protocol.Holder {
	h := protocol.Holder{Holders: 1, Waiting: t.machine.Length()}
	if t.held != nil {
		h.Info = t.client.inTurns + t.held.metadata
		h.Since = protocol.Micros(t.held.lease.Fence())
		h.Deadline = h.Since.Add(t.held.lease.Held() + t.held.lease.Valid().Left())
	}
	return h
}

// expect notes the token of an acquire: a recall may come before its answer.
func (t *turn) expect(token, nonce string) {
	tt := &t.client.turns
	tt.mu.Lock()
	defer tt.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(tt.byToken, t.token)
	tt.byToken[token] = t
	t.token, t.nonce = token, nonce
}

// granted takes a hold that the server has granted to this process.
func (t *turn) granted(h *hold, g turns.Hold) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g.Sought = t.sought
	if t.reads() { // others are let in when it has begun (admit)
		t.got, h.first.life = g, &lifetime.Lifetime{}
		return
	}
	t.machine.Granted(g)
	t.held = h
}

// grant makes a lock for the rest of a hold, with the next fence. It fails if the Client is closed, or drains. The caller has
// locked t.mu.
func (t *turn) grant(q *acquisition, rest lease.Rest, now time.Time) (*Lock, error) {
	h := t.client.newHold(q.parent, t.key.name, &q.settings)
	h.turn = t
	fence := t.machine.Fence()
	if t.reads() { // they have that of the server's grant
		h.first.life, fence = &lifetime.Lifetime{}, 0
		t.noteReader(&h.first, now)
	}
	h.lease.Continue(h, rest, fence, now)
	if err := t.client.adopt(h); err != nil {
		return nil, err
	}
	t.held = h
	h.lease.Go(now)
	return &h.first, nil
}

// going says where a lock goes that its handle has ended.
type going int8

const (
	toServer      going = iota // it is to be given back, or was lost; the next in line asks the server
	withinProcess              // it has gone on, or lingers
	withOthers                 // others read under the hold
)

// ended is the end of the last handle of a hold, or of a reader of several. strict says that the lock is not to go on.
func (t *turn) ended(h *hold, strict bool, now time.Time) (first bool, on going, reason error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reads() && t.held == h && t.machine.LeftReader() {
		return true, withOthers, nil
	}
	rest, reason, first := h.lease.Part(ErrReleased)
	h.life.Finish(reason) // I7: before anybody else gets the lock
	if t.held != h {
		return first, toServer, reason
	}
	if strict || !first {
		t.over()
		return first, toServer, reason
	}
	c := t.client
	linger := time.Duration(h.lingerTime) * time.Microsecond
	if linger > 0 && (c.draining.on.Load() || !c.subscriber.Listens()) { // nobody could recall it
		linger = 0
	}
	for ; ; now = time.Now() {
		a, w := t.machine.Ended(now, rest.Left(now), time.Duration(h.turnTime)*time.Microsecond, linger)
		switch a {
		case turns.Again:
			continue
		case turns.Serve:
			next := w.Of.(*inLine)
			l, err := t.grant(next.q, rest, now)
			if err != nil { // the Client takes no locks, and its waiters find that out
				t.tell(w)
				return first, toServer, reason
			}
			next.told <- l
			return first, withinProcess, reason
		case turns.Linger:
			t.rest, t.held = rest, nil
			c.background.Add() // until it is given back, or goes on
			c.scheduler.SetNoLater(&t.task, t.machine.Until())
			return first, withinProcess, reason
		}
		t.tell(w)
		return first, toServer, reason
	}
}

// lost is the end of a hold that its owner did not end.
func (t *turn) lost(h *hold) {
	t.mu.Lock()
	if t.held == h {
		t.over()
	}
	t.mu.Unlock()
	t.client.turns.done(t)
}

// sampled takes what the server's clock said.
func (t *turn) sampled(h *hold, said protocol.Micros) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held == h {
		t.machine.Sampled(said, time.Now())
	}
}

// dropIdle gives a lingering lock back. The channel closes when that is done. The caller has locked t.mu.
func (t *turn) dropIdle() <-chan struct{} {
	done := t.dismiss(t.rest)
	t.rest = lease.Rest{}
	t.client.background.Done()
	return done
}

// dismiss gives back a hold that nobody has, in the background.
func (t *turn) dismiss(rest lease.Rest) <-chan struct{} {
	t.client.floors.note(t.key.name, t.machine.Fence())
	return t.client.dismiss(rest.Key.(string), protocol.ReleaseArgs(rest.Token.(string), rest.Unanswered(), rest.Carried()))
}

// Run is the turn of the name in the scheduler: a linger is over, or what is remembered of it.
func (t *turn) Run() {
	t.mu.Lock()
	if t.machine.Due(time.Now(), t.client.draining.on.Load()) == turns.GiveBack {
		t.dropIdle()
	} else if t.machine.Idle() {
		t.client.scheduler.Set(&t.task, t.machine.Until())
	}
	t.mu.Unlock()
	t.client.turns.done(t)
}

// sample is the server's clock as a grant shows it.
func (q *acquisition) sample(g waiting.Grant, now time.Time) turns.Hold {
	return turns.Hold{Since: now, Lease: q.lease, Sent: g.Sent, Now: g.Now, Fence: protocol.ParseFence(g.Fence), Alone: g.Alone || q.mode == Read && g.Direct}
}
