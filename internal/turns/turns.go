// Package turns decides how a process passes a lock on among its own goroutines, under one hold of the server's.
//
// A [Turn] is the state of one lock in one process:
//
//	                     the server grants                          its body ends, and a waiter may be served
//	none ──▶ seeking ──────────────────────▶ body ────────────────────────────────────────────────────────┐
//	 ▲          ▲   one waiter asks for all    ▲ │                                                         │
//	 │          │                              │ └─ its body ends, nobody waits: it lingers ─▶ idle        │
//	 │          │                              └───────── a waiter comes ────────────────────────┤         │
//	 │          │                              └───────────────────────────────────────────────────────────┘
//	 │          └── given back, or lost, while others wait: the first of them asks           │
//	 └── given back, or lost ◀── the linger is over, or was recalled ◀───────────────────────┘
//
// These rules must hold. internal/model/turn searches all states for them:
//
//   - A local grant has a fence above the last one and below the server's clock, of which a lower bound is known (I2).
//   - It is made only while the hold may be relied on (I6), and no later than [Longest] after the grant of the server's. So a recall
//     that is lost, and a waiter whose Client knows of no recalls, cost that time at the most.
//   - A waiter elsewhere is passed by local waiters that came before it, and by others while the turn lasts (I5).
//   - A lock that somebody is known to wait for does not linger.
//
// Readers of one process have a lock together, under one hold (readers.go).
//
// Times are local; the server's clock is known by what it said at the grant and at each renewal.
package turns

import (
	"time"

	"example.com/redislock/internal/protocol"
)

const (
	// Longest is how long a process serves its own under one hold of the server's.
	Longest = time.Second
	// recalls is how many lingering locks are recalled before the name does not linger for the time of quiet. One that is as old is
	// forgotten.
	recalls = 3
	quiet   = 30 * time.Second
	// near is how far the clock may be behind the next fence for it to be worth waiting, in µs, and tries how often the clock is
	// looked at.
	near  = 10
	tries = 400
)

// Action is what the caller has to do.
type Action int

// The actions.
const (
	Wait     Action = iota // stand in line: Join, until told
	Seek                   // ask the server, for the whole process
	Serve                  // grant the lock to that waiter, with the fence of Fence
	Linger                 // keep the lock idle, until Until
	GiveBack               // release the hold. If there is a waiter, it asks the server
	Again                  // look at the clock again: the fence is not below it yet
	Nothing
)

type phase int8

const (
	none phase = iota
	seeking
	body
	idle
)

// Hold is what is known of a hold of the server when it is granted.
type Hold struct {
	Since  time.Time     // when it was granted, by the local clock
	Lease  time.Duration // what was asked for
	Sent   time.Time     // the server's clock said Now after that
	Now    protocol.Micros
	Fence  int64
	Alone  bool      // nobody else had the lock or waited for it
	Sought time.Time // when it was asked for: a local waiter that arrived before that came before all waiters elsewhere
}

// Waiter is a waiter in this process.
type Waiter struct {
	Arrived time.Time
	Lease   time.Duration
	Of      any

	before, behind *Waiter
	here           bool
}

// Turn is the state of one lock in one process. Its methods are the events; now is when they happen. The zero value has nothing.
type Turn struct {
	phase       phase
	first, last *Waiter // the waiters, in the order of arrival
	length      int

	hold   Hold
	heard  time.Time // the server's clock said hold.Now before that
	fence  int64     // the last one that was given
	waited bool      // somebody else waits for the lock
	cutoff time.Time // a local waiter that arrived before that came before the waiter elsewhere
	until  time.Time // the end of a linger
	tries  int
	inside int  // of readers: how many read
	queued bool // of readers: who asked waits for itself alone
	gone   bool // of readers: another one has taken its place

	early    protocol.Micros // the ticket of a recall that came before the answer of the acquire; 0 if none did
	recalls  int             // how many lingering locks were recalled
	recalled time.Time       // when the last of them was
	quiet    time.Time       // the name does not linger before
}

// Arrive is the event that a caller wants the lock. left is how long the idle hold may be relied on.
func (t *Turn) Arrive(now time.Time, lease, left time.Duration) Action {
	switch t.phase {
	case none:
		t.phase = seeking
		return Seek
	case idle:
		if lease != t.hold.Lease || now.Sub(t.hold.Since) >= Longest || left <= 0 {
			t.phase = seeking
			return GiveBack
		}
		a := t.next(now)
		switch a {
		case Serve:
			t.phase = body
		case GiveBack:
			t.phase = seeking
		}
		return a
	}
	return Wait
}

// Join puts a waiter at the end of the line.
func (t *Turn) Join(w *Waiter) {
	w.here, w.before, w.behind = true, t.last, nil
	if t.last != nil {
		t.last.behind = w
	} else {
		t.first = w
	}
	t.last = w
	t.length++
}

// Leave is the event that a waiter waits no more. It reports whether it still stood in line.
func (t *Turn) Leave(w *Waiter) bool {
	if !w.here {
		return false
	}
	if w.before != nil {
		w.before.behind = w.behind
	} else {
		t.first = w.behind
	}
	if w.behind != nil {
		w.behind.before = w.before
	} else {
		t.last = w.before
	}
	w.here, w.before, w.behind = false, nil, nil
	t.length--
	return true
}

// Length is how many stand in line.
func (t *Turn) Length() int { return t.length }

// Granted is the event that the server has granted the lock to the caller that asked.
func (t *Turn) Granted(h Hold) {
	t.phase, t.hold, t.heard, t.fence, t.tries, t.queued = body, h, h.Since, h.Fence, 0, false
	t.waited, t.cutoff = !h.Alone, h.Sought
	if t.early > 0 {
		t.waiting(t.early)
	}
	t.early = 0
}

// Over is the event that the hold was lost or is given back, or that the caller that asked has failed. The result is the waiter
// that asks next.
func (t *Turn) Over() *Waiter {
	t.phase, t.early, t.inside, t.queued = none, 0, 0, false
	w := t.first
	if w != nil {
		t.Leave(w)
		t.phase = seeking
	}
	return w
}

// Ended is the event that a body has ended. left is how long the hold may be relied on; turn and linger are what its body asked for.
func (t *Turn) Ended(now time.Time, left, turn, linger time.Duration) (Action, *Waiter) {
	age := now.Sub(t.hold.Since)
	fit := left > 0 && age < Longest
	if w := t.first; w != nil {
		if fit && w.Lease == t.hold.Lease && (!t.waited || w.Arrived.Before(t.cutoff) || age < turn) {
			switch a := t.next(now); a {
			case Serve:
				t.Leave(w)
				return a, w
			case Again:
				return a, nil
			}
		}
		return GiveBack, t.Over()
	}
	if fit && linger > 0 && !t.waited && !now.Before(t.quiet) {
		t.phase, t.until = idle, now.Add(linger)
		return Linger, nil
	}
	return GiveBack, t.Over()
}

// next gives the next fence, if one is to be had: Serve. Else it is Again for a moment, or GiveBack where the fences are ahead of the
// server's clock.
func (t *Turn) next(now time.Time) Action {
	most := int64(t.clock(now)) - 1
	fence := max(t.fence+1, most)
	if ahead := fence - most; ahead > 0 {
		if t.tries++; ahead > near || t.tries > tries {
			t.tries = 0
			return GiveBack
		}
		return Again
	}
	t.fence, t.tries = fence, 0
	return Serve
}

// clock is a lower bound of the server's clock. It may run slower than the local one, by a thousandth.
func (t *Turn) clock(now time.Time) protocol.Micros {
	passed := now.Sub(t.heard)
	return t.hold.Now.Add(passed - passed/1000)
}

// Sampled is the event that the server's clock has said something just now. Where it went back, the bound follows.
func (t *Turn) Sampled(said protocol.Micros, now time.Time) {
	if said < t.clock(now) {
		t.hold.Now, t.heard = said, now
	}
}

// Fence is the last fence that was given. Since is when the server granted the hold, and Until is when a linger ends.
func (t *Turn) Fence() int64     { return t.fence }
func (t *Turn) Since() time.Time { return t.hold.Since }
func (t *Turn) Until() time.Time { return t.until }

// Idle reports whether the lock lingers.
func (t *Turn) Idle() bool { return t.phase == idle }

// Recalled is the event that another process waits for the lock, with that ticket.
func (t *Turn) Recalled(ticket protocol.Micros, now time.Time) Action {
	switch t.phase {
	case seeking:
		if t.early == 0 || ticket < t.early {
			t.early = ticket
		}
	case body:
		t.waiting(ticket)
	case idle:
		if now.Sub(t.recalled) >= quiet {
			t.recalls = 0
		}
		t.recalled = now
		if t.recalls++; t.recalls >= recalls {
			t.recalls, t.quiet = 0, now.Add(quiet)
		}
		t.Over()
		return GiveBack
	}
	return Nothing
}

// Doubted is the event that a recall may have been lost.
func (t *Turn) Doubted() Action {
	switch t.phase {
	case body:
		t.waited, t.cutoff = true, t.hold.Since
	case idle:
		t.Over()
		return GiveBack
	}
	return Nothing
}

// waiting notes that another process waits with that ticket. The server's clock was not past it before the cutoff.
func (t *Turn) waiting(ticket protocol.Micros) {
	later := ticket.Sub(t.hold.Now)
	cutoff := t.hold.Sent.Add(later - max(later, 0)/1000)
	if !t.waited || cutoff.Before(t.cutoff) {
		t.waited, t.cutoff = true, cutoff
	}
}

// Due is the event that it is time to look. An idle lock is given back when its linger is over, or the Client ends.
func (t *Turn) Due(now time.Time, ending bool) Action {
	if t.phase == idle && (ending || !now.Before(t.until)) {
		t.Over()
		return GiveBack
	}
	return Nothing
}

// Busy reports whether it has, asks for or waits for the lock.
func (t *Turn) Busy() bool { return t.phase != none || t.length > 0 }

// Forgettable reports whether nothing is lost with t; if not, the second result is when to look again at the earliest.
func (t *Turn) Forgettable(now time.Time) (bool, time.Time) {
	switch {
	case t.Busy():
		return false, time.Time{}
	case now.Before(t.quiet):
		return false, t.quiet
	case t.recalls > 0 && now.Sub(t.recalled) < quiet:
		return false, t.recalled.Add(quiet)
	}
	return true, time.Time{}
}
