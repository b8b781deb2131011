package redislock

import (
	"context"
	"fmt"
	"sync"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/scheduler"
	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

// expiredSlack is added to what a server's deadline is checked after.
const expiredSlack = time.Millisecond

// lease is the liveness of one hold: until when it may be relied on, and when it is renewed.
type lease struct {
	hold       *hold
	boxed      any // the token, as an argument
	boxedKey   any // and the key
	nonce      string
	length     time.Duration
	unanswered bool // an acquire of this token had no answer
	once       bool // renewed only to turn a claim into the whole lease
	given      bool // somebody gives it up, or gave it up; guarded by mu
	alone      bool // it is all that the hash has beside the fence, as far as its owner knows; guarded by mu

	mu      sync.Mutex
	fence   string         // an upgrade raises it
	valid   clock.Bound    // held until this has passed
	total   *clock.Bound   // and this, unless it is nil: WithMaxHold
	granted time.Time      // local time of the grant
	renewAt time.Time      // zero: not again
	ended   error          // why it was released or lost; nil while it is kept
	task    scheduler.Task // in the scheduler
	next    time.Duration  // pause before the next attempt after a failed one
}

func (l *lease) key() string { return l.boxedKey.(string) }

func (l *lease) token() string { return l.boxed.(string) }

// start begins to keep the lease: it is renewed after a third of what is left of it, a claim after a quarter, to make
// it whole.
func (l *lease) start(claimed bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended != nil { // it was broken before it was used
		return
	}
	if claimed {
		l.renewAt = now.Add(l.valid.LeftAt(now) / 4)
	} else if !l.once {
		l.renewAt = now.Add(l.valid.LeftAt(now) / 3)
	}
	l.schedule(now)
}

// schedule puts the lease at its next event. The caller holds l.mu.
func (l *lease) schedule(now time.Time) {
	at := now.Add(l.leftAt(now))
	if !l.renewAt.IsZero() && l.renewAt.Before(at) {
		at = l.renewAt
	}
	l.hold.client.scheduler.Set(&l.task, at)
}

// left is how long it may be relied on. The caller holds l.mu, or does not mind.
func (l *lease) leftAt(now time.Time) time.Duration {
	left := l.valid.LeftAt(now)
	if l.total != nil {
		left = min(left, l.total.LeftAt(now))
	}
	return left
}

// expired says why the lease has ended, or has run out by the local clock; nil while neither.
func (l *lease) expired(now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended != nil {
		return l.ended
	}
	switch {
	case l.total != nil && l.total.LeftAt(now) <= 0:
		return fmt.Errorf("%w: held for its longest time of %v", ErrLost, l.total.Span)
	case l.valid.LeftAt(now) <= 0 && l.hold.client.transport.IsOrphaned():
		return fmt.Errorf("%w: its lease of %v ran out: %w", ErrLost, l.length, transport.ErrOrphaned)
	case l.valid.LeftAt(now) <= 0:
		return fmt.Errorf("%w: its lease of %v ran out", ErrLost, l.length)
	}
	return nil
}

func (l *lease) fenceNow() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return protocol.ParseFence(l.fence)
}

func (l *lease) held() time.Duration { return clock.Elapsed(l.granted) }

// stop ends renewal for good. Of several reasons the first counts: it is returned, and whether this call gave it.
func (l *lease) stop(why error) (reason error, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended != nil {
		return l.ended, false
	}
	l.ended = why
	l.hold.client.scheduler.Remove(&l.task)
	return why, true
}

// surrender reports whether the caller is the one to give the hold up on the server.
func (l *lease) surrender() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := !l.given
	l.given = true
	return first
}

// isAlone reports whether the hold may be all that the hash has: nobody waited for it when it was granted, and its mode was not
// changed, which keeps it in the long form.
func (l *lease) isAlone() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alone
}

// run is the lease's turn in the scheduler: it has run out, or is to be renewed.
func (l *lease) Run() {
	if err := l.expired(time.Now()); err != nil {
		l.hold.lose(err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended != nil {
		return
	}
	if l.hold.client.transport.IsOrphaned() { // no renewal can come through: it is lost at its bound
		l.renewAt = time.Time{}
	}
	if !l.renewAt.IsZero() && clock.Reached(l.renewAt, time.Now()) { // after a suspension at once
		l.hold.client.transport.Enqueue(transport.NewCall(lua.Renew, l.key(), l.token(), l.fence), l.renewed)
		// Until it is answered, a renewal is sent again on another connection: a stuck one must not cost the lock.
		l.renewAt = time.Now().Add(max(l.length/6, 20*time.Millisecond))
	}
	l.schedule(time.Now())
}

// soon renews now rather than when it is due, to learn whether the hold is still there.
func (l *lease) soon() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended == nil && !l.once {
		l.renewAt = time.Now()
		l.schedule(l.renewAt)
	}
}

// renewed takes the answer of a renewal.
func (l *lease) renewed(a transport.Answer) {
	if a.Err != nil {
		l.failed(a.Err)
		return
	}
	r, err := protocol.ParseReply(a.Value)
	if err != nil {
		l.failed(err)
		return
	}
	switch r.Status {
	case "gone":
		l.hold.lose(fmt.Errorf("%w: the server no longer knows the hold", ErrLost))
	case "revoked":
		l.hold.lose(robbery(r.Note))
	case "": // a plain time
		if l.extend(clock.Until(a.Sent, r.Now, r.Now.Add(l.length), l.hold.client.margin), a.Sent) {
			l.observe(EventRenewed, nil)
		}
	default:
		l.failed(fmt.Errorf("unexpected answer %q", r.Status))
	}
}

// leave is the last renewal, of another length: the hold stays that long although its owner is gone. It goes on in the
// background where there is no answer. The results are those of vacate.
func (l *lease) leave(ctx context.Context, length time.Duration) (outcome, err error) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), transport.ResendTime)
	defer cancel()
	begun := time.Now()
	tombstone := ""
	if l.unanswered {
		tombstone = "tombstone" // I8: nobody will release this token
	}
	length = max(length, time.Millisecond)
	keep, _ := l.hold.client.keep(length)
	args := []any{l.token(), fmt.Sprintf("%016d", l.fenceNow()), tombstone, string(protocol.AppendLength(nil, length, keep))}
	a := l.hold.client.transport.Ask(bounded, nil, lua.Renew, l.key(), args...)
	if a.Err != nil {
		l.hold.client.transport.Insist(lua.Renew, l.key(), args, func(value any) bool {
			_, _ = l.parted(value)
			return false
		})
		return nil, a.Err
	}
	r, err := l.parted(a.Value)
	switch {
	case err != nil || r.Status == "":
	case r.Status == "revoked" && r.Note == "": // a hold that is kept is never stolen: no attempt has kept it
		outcome = fmt.Errorf("%w: %w", ErrNotHeld, errStale)
	default:
		outcome = l.keptUntil(protocol.Remains{Note: r.Note, Fence: r.Fence}, a.Unanswered, begun, length)
	}
	return outcome, err
}

// parted reads the answer of the last renewal. What was revoked is given up instead.
func (l *lease) parted(value any) (protocol.Reply, error) {
	r, err := protocol.ParseReply(value)
	if r.Status == "revoked" {
		l.hold.client.giveUp(l.key(), l.token(), l.unanswered)
	}
	return r, err
}

// extend takes over a later bound, unless the lease has ended: what has run out stays lost.
func (l *lease) extend(fresh clock.Bound, sent time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended != nil || l.valid.Left() <= 0 {
		return false
	}
	if fresh.Left() > l.valid.Left() {
		l.valid = fresh
	}
	l.next = 0
	l.renewAt = time.Time{}
	if !l.once {
		l.renewAt = sent.Add(l.length / 3)
	}
	l.schedule(time.Now())
	return true
}

// failed has the renewal tried again: only the server's word or the deadline ends a hold.
func (l *lease) failed(err error) {
	l.mu.Lock()
	if l.ended != nil {
		l.mu.Unlock()
		return
	}
	l.next = min(max(2*l.next, 10*time.Millisecond), l.length/6, time.Second)
	// A renewal that is not planned any more succeeded by another attempt.
	if at := time.Now().Add(l.next); !l.renewAt.IsZero() && at.Before(l.renewAt) {
		l.renewAt = at
	}
	l.schedule(time.Now())
	l.mu.Unlock()
	l.observe(EventRenewalFailed, err)
}

func (l *lease) observe(kind EventKind, err error) {
	if l.hold.client.observer == nil {
		return
	}
	l.hold.client.report(l.hold.event(kind, err))
}
