package redislock

import (
	"cmp"
	"slices"
	"time"

	"example.com/redislock/internal/lifetime"
	"example.com/redislock/internal/turns"
)

// This file is for the readers of a process that share one hold of the server. Each has a handle of its own, with its own
// context, release and events; the last one gives the hold back, or leaves it to linger.

// aloneInTurns is the turn of a reader that asks the server for itself alone. The mark stays on its request, for those who recall what is
// behind its hold (lua/contention.lua).
const aloneInTurns = -1

// toAlone tells a reader in line to ask the server for itself.
var toAlone = &Lock{}

// reader is the handle of a reader that was let in.
type reader struct {
	Lock
	own lifetime.Lifetime
}

// together reports whether the hold is one of readers in turns, who have nothing but the lock.
func (h *hold) together() bool { return h.turn != nil && h.turn.reads() || h.turnTime == aloneInTurns }

var errTogether = invalid("WithTurn or WithLinger: a lock that the readers of a process have together is only read and released")

// amongReaders is pursue for a reader that may be let in beside those of its process.
func (q *acquisition) amongReaders() (*Lock, error) {
	c := q.client
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer c.leave()
	for t := c.turns.enter(c, q.turnKey()); ; {
		l, anew, err := q.readerOf(t)
		if anew == nil {
			return l, err
		}
		t = anew
	}
}

// readerOf is amongReaders with those that there are, unless nobody joins them any more: then it is to be with those of the
// second result. It leaves t.
func (q *acquisition) readerOf(t *turn) (l *Lock, anew *turn, err error) {
	tt := &q.client.turns
	defer tt.leave(t)
	t.mu.Lock()
	now := time.Now()
	switch t.machine.ArriveReader(now, q.lease, t.left(now)) {
	case turns.Enter:
		l = t.letIn(q, now)
		t.mu.Unlock()
	case turns.Serve:
		l, err = q.serveIdle(t, now)
	case turns.Replace:
		t.mu.Unlock()
		anew = tt.replace(t)
	case turns.GiveBack:
		t.dropIdle()
		t.mu.Unlock()
		l, err = q.seekFor(t)
	case turns.Seek:
		t.mu.Unlock()
		l, err = q.seekFor(t)
	case turns.Alone:
		t.mu.Unlock()
		l, err = q.alone()
	default:
		l, err = q.waitForReaders(t)
	}
	return l, anew, err
}

// left is how long the hold may be relied on, idle or not. The caller has locked t.mu.
func (t *turn) left(now time.Time) time.Duration {
	h := t.held
	if h == nil {
		return t.rest.Left(now)
	}
	if h.life.Err() != nil || h.lease.Expired(now) != nil {
		return 0
	}
	return h.lease.Valid().LeftAt(now)
}

// alone asks the server for this reader alone.
func (q *acquisition) alone() (*Lock, error) {
	q.turn, q.linger = aloneInTurns, 0
	return q.askServer()
}

// waitForReaders waits for the result of the reader that asks the server. The caller has locked t.mu.
func (q *acquisition) waitForReaders(t *turn) (*Lock, error) {
	if q.waitSet && q.settings.wait == 0 {
		t.mu.Unlock()
		return q.alone()
	}
	l, err := q.inLine(t, func() {})
	switch {
	case err != nil:
		return nil, err
	case l == toAlone:
		return q.alone()
	case l == nil:
		return q.seekFor(t)
	}
	return l, nil
}

// letIn makes a handle for one more reader. The caller has locked t.mu.
func (t *turn) letIn(q *acquisition, now time.Time) *Lock {
	r, h := &reader{}, t.held
	h.mu.Lock()
	h.handle(&r.Lock, nil, q.parent, &q.settings)
	h.mu.Unlock()
	r.life = &r.own
	t.noteReader(&r.Lock, now)
	return &r.Lock
}

// admit lets in the readers that came while a reader asked the server, if that reader was granted the lock at once.
func (t *turn) admit(h *hold) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, line := time.Now(), t.machine.Admitted(t.got)
	if h.life.Err() != nil { // it was lost meanwhile, and nobody else is under it
		for _, w := range line {
			w.Of.(*inLine).told <- toAlone
		}
		t.over()
		return
	}
	t.held = h
	t.noteReader(&h.first, now)
	for _, w := range line {
		next := w.Of.(*inLine)
		if t.machine.ArriveReader(now, next.q.lease, t.left(now)) == turns.Enter {
			next.told <- t.letIn(next.q, now)
		} else {
			next.told <- toAlone
		}
	}
}

// notAtOnce sends away the readers that wait for the answer to this reader: it was not granted the lock at once.
func (q *acquisition) notAtOnce() {
	t := q.client.turns.of(q.turnKey())
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.machine.Queued() {
		w.Of.(*inLine).told <- toAlone
	}
}

// replace begins anew with a name, beside readers that nobody joins any more: unless another reader has done so, or the last of
// those has ended meanwhile. Only the state in byName asks the server for a name.
func (tt *turnTable) replace(old *turn) *turn {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	t := tt.byName[old.key]
	if t == nil || t == old {
		old.mu.Lock()
		if t == nil || old.machine.Reading() {
			t = &turn{client: old.client, key: old.key, machine: old.machine.Successor()}
			t.task.Job = t
			tt.byName[old.key] = t
		}
		old.mu.Unlock()
	}
	t.users++
	return t
}

// noteReader notes a reader, for the Observer. The caller has locked t.mu.
func (t *turn) noteReader(l *Lock, now time.Time) {
	if t.client.observer == nil {
		return
	}
	if t.readers == nil {
		t.readers = map[*Lock]readerNote{}
	}
	t.notes++
	t.readers[l] = readerNote{t.notes, now}
}

// readerNote is when somebody began to read, and its number in that order.
type readerNote struct {
	number uint64
	since  time.Time
}

// endOf is the event of the end of a reader, and forgets it.
func (t *turn) endOf(l *Lock, kind EventKind, cause error) Event {
	note := t.forgetReader(l)
	e := l.hold.event(kind, cause)
	e.Context, e.Held = l.asked, time.Since(note.since)
	return e
}

func (t *turn) forgetReader(l *Lock) readerNote {
	t.mu.Lock()
	defer t.mu.Unlock()
	note := t.readers[l]
	delete(t.readers, l)
	return note
}

// lossOf are the events of a hold that was lost: one for each who reads under it.
func (t *turn) lossOf(h *hold, kind EventKind, cause error) (all []Event) {
	t.mu.Lock()
	var lost []*Lock
	for l := range t.readers {
		if l.hold == h {
			lost = append(lost, l)
		}
	}
	slices.SortFunc(lost, func(a, b *Lock) int { return cmp.Compare(t.readers[a].number, t.readers[b].number) })
	t.mu.Unlock()
	for _, l := range lost {
		all = append(all, t.endOf(l, kind, cause))
	}
	return all
}
