// Package lease decides until when a hold may be relied on, and keeps it: renewals, deadlines, and the end.
//
// A lease is in one of these states:
//
//	                    a renewal is due: it is sent
//	           ┌──────────────────────────────────────────────┐
//	           │     the answer: a later bound                ▼
//	Begin ─▶ kept ◀───────────────────────────────────── being renewed ──┐ no answer, or an error: again on another
//	           │                                              │  ▲       │ connection, with growing pauses
//	           │                                              │  └───────┘
//	           ├── its bound or its longest time is over ─────┤
//	           ├── the server no longer knows it: "gone" ─────┤
//	           ├── it was stolen or broken: "revoked" ────────┼──▶ lost: the context ends before the lock is another's (I7)
//	           │                                              │
//	           └── released, handed off, left to lapse ───────┴──▶ ended by its owner
//
// A lease may go on under another owner of the same process, with a greater fence (Part, Continue): for the first owner it has ended.
//
// The first end counts, and there is no way back: a renewal that is answered later changes nothing. Only the server's word or
// the bound ends a hold, never an error. A renewal without an answer is sent again until the bound.
//
// A claim is a hold that was granted by message. It lasts for at most [protocol.Claim], and its first renewal makes it whole.
//
//	lease.go    Lease: the machine of the drawing, without I/O, clock or goroutine
//	keeper.go   Keeper: its timer, its requests, and its lock
package lease

import (
	"errors"
	"fmt"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
)

// ErrLost is why a lease has ended, if its owner has not ended it.
var ErrLost = errors.New("lock lost")

// firstPause is how long after its failure a renewal is tried again. Each failure in a row doubles the pause.
const firstPause = 10 * time.Millisecond

// mostFailures is from which number of failures on the pauses do not grow any more.
const mostFailures = 10

// Lease is one lease. Its methods are the events; now is when they happen, by the local clock.
type Lease struct {
	length time.Duration // the lease that was asked for
	fence  string        // of the hold on the server; an upgrade raises it (I2)
	local  int64         // of a grant within the process, under that hold; 0 if there was none (package turns)

	granted time.Time    // when the grant was asked for, or when its message came
	valid   clock.Bound  // the hold may be relied on until this has passed (I6)
	total   *clock.Bound // the longest time that the lock may be held; nil if there is none
	renewAt time.Time    // when to send the next renewal; zero if there is none
	ended   error        // why the lease has ended; nil while it is kept

	failures   uint8 // how many renewals failed since the last one that succeeded, at most mostFailures
	claim      bool  // it was granted by message, and no renewal has made it whole yet
	final      bool  // WithoutRenewal: renewed only to turn a claim into the whole lease
	unanswered bool  // an acquire of this token had no answer: a copy of it may yet be executed (I8)
	given      bool  // somebody gives the hold up on the server, or gave it up
	leaves     bool  // a renewal is about to leave: while all connections are stuck, no other is put behind it
}

// begin is the event of the grant. The lease is renewed after a third of what is left of it. A claim is renewed after a
// quarter, to make it whole.
func (l *Lease) begin(claimed bool, now time.Time) {
	l.claim = claimed
	switch left := l.valid.LeftAt(now); {
	case claimed:
		l.renewAt = now.Add(left / 4)
	case !l.final:
		l.renewAt = now.Add(left / 3)
	}
}

// gathered is how many parts a third of a lease has, within which renewals are gathered.
const gathered = 32

// gather moves the renewal to an earlier time. A lease has its own times for renewals, a third of it apart, counted from its
// grant. So after an outage, in which all Clients renew their holds, the renewals are spread over time as before. These times are
// at the beginning of a part of a third, as parts are counted from began, and so are those of the other leases of the Client:
// they leave in one request. If none of them comes before the renewal is due, it leaves at the beginning of its part. One that
// failed does not wait for others.
func (l *Lease) gather(began, now time.Time) {
	part := l.length / 3 / gathered
	if l.renewAt.IsZero() || l.failures > 0 || part <= 0 {
		return
	}
	const third = gathered // parts
	beginning := func(t time.Time) time.Duration { return t.Sub(began) / part }
	first, next, due := beginning(l.granted), beginning(now), beginning(l.renewAt)
	if own := next + third - (next-first)%third; own <= due {
		due = own
	}
	if at := began.Add(due * part); at.After(now) {
		l.renewAt = at
	}
}

// next is when something is due: a renewal, or the end.
func (l *Lease) next(now time.Time) time.Time {
	at := now.Add(l.left(now))
	if !l.renewAt.IsZero() && l.renewAt.Before(at) {
		at = l.renewAt
	}
	return at
}

// left is how long the hold may be relied on.
func (l *Lease) left(now time.Time) time.Duration {
	left := l.valid.LeftAt(now)
	if l.total != nil {
		left = min(left, l.total.LeftAt(now))
	}
	return left
}

// expired says why the lease has ended or has run out. It is nil if neither is so. orphaned says that the Redis client is
// closed, so that no renewal could succeed.
func (l *Lease) expired(now time.Time, orphaned bool) error {
	switch {
	case l.ended != nil:
		return l.ended
	case l.total != nil && l.total.LeftAt(now) <= 0:
		return fmt.Errorf("%w: held for its longest time of %v", ErrLost, l.total.Span)
	case l.valid.LeftAt(now) <= 0 && orphaned:
		return fmt.Errorf("%w: %w", ranOut{l.length, l.claim}, transport.ErrOrphaned)
	case l.valid.LeftAt(now) <= 0:
		return ranOut{l.length, l.claim}
	}
	return nil
}

// ranOut is the error of a lease of that length, or of a claim. The text is made only when it is read, because many leases can
// run out together.
type ranOut struct {
	length time.Duration
	claim  bool
}

func (r ranOut) Error() string {
	if r.claim {
		return fmt.Sprintf("%v: it was handed over for %v at first, and no renewal was answered in that time", ErrLost, protocol.Claim)
	}
	return fmt.Sprintf("%v: its lease of %v ran out", ErrLost, r.length)
}
func (r ranOut) Unwrap() error { return ErrLost }

// due is the event that its time has come. It reports whether a renewal is to be sent. Until one is answered, another follows
// on another connection, for a stuck connection must not cost the lock.
func (l *Lease) due(now time.Time, orphaned bool) (renew bool) {
	if orphaned { // the lease is lost at its bound
		l.renewAt = time.Time{}
	}
	if l.renewAt.IsZero() || !clock.Reached(l.renewAt, now) { // by either clock, so that it is due at once after a suspension
		return false
	}
	l.renewAt = now.Add(max(l.length/6, 20*time.Millisecond))
	return true
}

// soon is the event of a doubt. The lease is renewed at a time before that is due, to learn whether the hold still exists.
func (l *Lease) soon(now, at time.Time) bool {
	if l.ended != nil || l.final {
		return false
	}
	if l.renewAt.IsZero() || at.Before(l.renewAt) {
		l.renewAt = at
	}
	return true
}

// extend is the event that the server has prolonged the lease. A lease that has run out stays lost. sent is when the request
// left.
func (l *Lease) extend(fresh clock.Bound, sent, now time.Time) bool {
	if l.ended != nil || l.valid.LeftAt(now) <= 0 {
		return false
	}
	if fresh.LeftAt(now) > l.valid.LeftAt(now) {
		l.valid = fresh
	}
	l.failures, l.claim, l.renewAt = 0, false, time.Time{}
	if !l.final {
		l.renewAt = sent.Add(l.length / 3)
	}
	return true
}

// failed is the event that a renewal had no answer, or that its answer was an error. If no renewal is planned any more,
// another attempt has succeeded.
func (l *Lease) failed(now time.Time) bool {
	if l.ended != nil {
		return false
	}
	pause := min(firstPause<<l.failures, l.length/6, time.Second)
	l.failures = min(l.failures+1, mostFailures)
	if at := now.Add(pause); at.Before(l.renewAt) {
		l.renewAt = at
	}
	return true
}

// end is the event that the lease ends. If there are several reasons, the first counts. end returns that reason, and whether
// this call gave it.
func (l *Lease) end(why error) (reason error, first bool) {
	if l.ended != nil {
		return l.ended, false
	}
	l.ended = why
	return why, true
}

// giveUp reports whether the caller is the one to give the hold up on the server.
func (l *Lease) giveUp() bool {
	first := !l.given
	l.given = true
	return first
}

// raise is the event that the hold has another fence.
func (l *Lease) raise(fence string) { l.fence = max(l.fence, fence) }

// fenceNow is the fence as a number.
func (l *Lease) fenceNow() int64 {
	if l.local > 0 {
		return l.local
	}
	return protocol.ParseFence(l.fence)
}

// continued is a lease that goes on under another owner of the process, with a fence of its own.
func (l *Lease) continued(fence int64, now time.Time) {
	l.ended, l.local, l.granted, l.leaves = nil, fence, now, false
}
