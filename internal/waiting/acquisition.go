package waiting

import "example.com/redislock/internal/protocol"

// Action is what an acquisition does next.
type Action int

const (
	Ask       Action = iota // send the request under the present token; then Answered
	NewToken                // give up what the present token may still have, and take a new one; then Ask
	Subscribe               // subscribe to the grants of this lock; then Ask, to join the queue
	Await                   // wait for the outcome of the place in the queue; then Settled
	Confirm                 // confirm the grant, and find out whether it can be relied on; then Confirmed
	Retreat                 // give back the grant that cannot be relied on, and pause; then Ask under a new token
	Hold                    // the lock is held: the end
	Fail                    // leave nothing behind (I8), and return the error: the end
)

// Acquisition is one acquire under way, as a machine: its methods are the events, their results the actions.
//
//	        held                        waiting
//	Ask ───────────▶ Subscribe ──▶ Ask ─────────▶ Await
//	 ▲ │ granted                                   │ │
//	 │ └───────────▶ Confirm ◀──────── granted ────┘ │ the place is gone
//	 │                │    │                         ▼
//	 │      in time   │    └─ too late ─▶ Retreat  NewToken
//	 │                ▼                      │       │
//	 │               Hold                    │       │
//	 └───────────────────────────────────────┴───────┘
//
// Every state can lead to Fail: the request was refused, the caller's context ended, the Client was closed, or there was no
// answer. An acquisition that does not wait ends in Fail after the answer "held", and after a grant that came too late. If it has
// revoked the hold that is in its way, it waits for the holder to give the lock up, for a moment (Brief).
type Acquisition struct {
	Holder *protocol.Holder // the holder as last heard; nil if no answer has named one
	Ticket string           // of the place that it has or had; with it a lost place is sought again, so the turn stays (I5)
	Late   int32            // how many grants could not be relied on

	Waits bool // it waits for its turn; otherwise one answer decides
	Brief bool // it does not wait for its turn, but for a holder that it found stale to give the lock up
	Fixed bool // it is about an existing hold (a change of its mode, or its resumption), so it cannot begin anew

	Without bool // there is no subscription; only the checks will tell
	Queued  bool // it has, or had, a place in the queue, under this token or another

	// Of the present token: what it may have on the server, for the one that gives it up (I8).
	Joined     bool // it has a place in the queue
	Granted    bool // it has a hold, of which no Lock has been made
	Unanswered bool // an attempt had no answer, so Redis may still execute a copy of the request
	Asking     bool // an attempt is under way
	Unusable   bool // its hold is of no use, and why is the reason of the failure
}

// Answered is the event that the request was answered.
func (a *Acquisition) Answered(r protocol.Reply) Action {
	switch r.Status {
	case "granted":
		a.Granted = true
		return Confirm
	case "held":
		holder := r.Holder // not r: it would be made on the heap for every answer
		a.Holder = &holder
		if !a.Waits {
			if a.Fixed || !r.Leaving || r.Holder.Waiting > 0 {
				return Fail
			}
			a.Waits, a.Brief = true, true // a holder that lives gives the lock up at once
		}
		return Subscribe
	case "full":
		holder := r.Holder
		a.Holder = &holder
		return Fail
	case "waiting":
		a.Joined, a.Ticket = true, r.Ticket
		return Await
	case "over": // its hold was broken before the answer came, and left a tombstone
		a.NothingRemains()
		return NewToken
	case "more": // the queue is being cleaned, some places at a time
		return Ask
	default: // clash, conflict, gone
		return Fail
	}
}

// Settled is the event that its wait is over. h is the last known holder.
func (a *Acquisition) Settled(o Outcome, h protocol.Holder) Action {
	a.Holder = &h
	switch {
	case o.Err != nil:
		return Fail
	case o.Gone:
		return NewToken
	default:
		a.Granted = true
		return Confirm
	}
}

// Verdict says whether a grant can be used.
type Verdict int

const (
	Good    Verdict = iota
	TooLate         // nothing of the lease is left, or the grant was taken away before it was used
	Bad             // the reason is an error of its own
)

// Confirmed is the event that the grant was confirmed, or could not be.
func (a *Acquisition) Confirmed(v Verdict) Action {
	switch {
	case v == Good:
		return Hold
	case v == TooLate && a.Waits && !a.Fixed:
		a.Late++
		return Retreat
	default:
		a.Unusable = true
		return Fail
	}
}

// NothingRemains is the event that nothing of the present token is left on the server, or that another part of the Client gives
// it up.
func (a *Acquisition) NothingRemains() {
	a.Joined, a.Granted, a.Unanswered, a.Asking, a.Unusable = false, false, false, false, false
}

// MayRemain reports whether something of the present token may be left on the server.
func (a *Acquisition) MayRemain() bool { return a.Joined || a.Granted || a.Unanswered || a.Asking }
