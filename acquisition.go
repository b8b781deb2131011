package redislock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
)

// acquisition is one acquire on its way, or one of its two relatives: a hold that is to change its mode when the others allow
// it, and a hold that is taken over from another process.
type acquisition struct {
	client   *Client
	name     string
	key      string
	boxedKey any // as an argument
	settings
	changes *Lock    // the handle whose hold changes its mode; nil for any other acquisition
	resumes *handoff // what is taken over; nil for any other acquisition

	parent context.Context // the caller's
	asked  time.Time
	holder *protocol.Holder // who had it when last heard
	ticket string           // of a place that was lost: it is sought again under a new token
	late   int              // grants that came too late to be relied on

	// Of the present token.
	token      string
	boxed      any    // the token, as an argument
	back       string // of the change that undoes it
	nonce      string
	unanswered bool  // an attempt had no answer: a copy of it may be executed late
	asking     bool  // an attempt is under way
	joined     bool  // it has a place
	alone      bool  // there is no subscription: the checks alone will tell
	seen       int64 // the greatest fence of the name that the Client had seen before it asked
	wait       *wait

	// Of the first token and the first request: most need no other.
	firstWait wait
	firstCall transport.Call
}

func (q *acquisition) newToken() {
	q.dropWait()
	q.token, q.nonce = protocol.NewTokenAndNonce()
	if q.changes != nil {
		q.token, q.back = q.changes.hold.changeToken(), q.changes.hold.changeToken()
	}
	q.unanswered, q.joined, q.boxed = false, false, nil
	q.seen = q.client.floors.of(q.name)
}

func (q *acquisition) dropWait() {
	if q.wait != nil {
		q.client.removeWait(q.wait)
		q.wait = nil
	}
}

// pursue is obtain as a registered operation: Close waits until a waiter that it fails has left its place. If a callback of the
// user's panics, or ends the goroutine, nothing is left behind either (I8).
func (q *acquisition) pursue() (*Lock, error) {
	if err := q.client.enter(); err != nil {
		return nil, err
	}
	defer q.client.leave()
	returned := false
	defer func() {
		if !returned && (q.joined || q.unanswered || q.asking) {
			q.unanswered = true // what became of the last attempt is not known
			q.undo()
		}
	}()
	l, err := q.obtain()
	returned = true
	return l, err
}

// obtain asks, and waits if that is wanted, until there is a lock or a reason why not.
func (q *acquisition) obtain() (*Lock, error) {
	c, ctx := q.client, q.parent
	waits := !q.waitSet || q.settings.wait > 0
	if q.waitSet && waits {
		bounded, cancel := context.WithTimeout(ctx, q.settings.wait)
		defer cancel()
		ctx = bounded
	}
	if err := c.prepare(ctx); err != nil {
		return nil, q.fail(ctx, err)
	}
	q.newToken()
	defer q.dropWait()
	for {
		r, sent, epoch, err := q.ask(ctx, waits)
		if err != nil {
			return nil, q.fail(ctx, err)
		}
		switch r.Status {
		case "granted":
			valid := clock.Until(sent, r.Now, r.At+r.Lease, c.margin)
			if l, err := q.take(ctx, waits, grant{fence: r.Fence, sent: sent, valid: valid, lease: r.Lease.Sub(0), alone: r.Alone}); l != nil || err != nil {
				return l, err
			}
		case "held":
			q.held(r.Holder)
			if !waits {
				return nil, q.fail(ctx, nil)
			}
			if q.alone, err = c.hub.Await(ctx, q.name); err != nil { // subscribe, see it confirmed, then join
				return nil, q.fail(ctx, err)
			}
		case "waiting":
			first := !q.joined && q.ticket == ""
			q.joined = true
			if first && c.observer != nil {
				c.observeAside(q.event(EventQueued))
			}
			c.contention.met(q.name, true)
			c.joined(q.wait, q.name, r, sample{sent, r.Now, epoch})
			line := q.wait.waiters
			o := q.wait.await(ctx)
			if o.err != nil || o.gone {
				q.heldIn(line)
			}
			switch {
			case o.err != nil:
				return nil, q.fail(ctx, o.err)
			case o.gone:
				q.ticket = r.Ticket
				if q.unanswered {
					q.undo()
				}
				q.newToken()
			default:
				q.ticket = r.Ticket
				q.heldIn(line)
				if q.changes == nil && o.grant.lease < min(q.lease, claimTime) { // the server does not count us, and yet the message came
					c.hub.Suspect()
				}
				if l, err := q.take(ctx, waits, o.grant); l != nil || err != nil {
					return l, err
				}
			}
		case "over": // the hold was broken before its answer came
			q.newToken()
		case "clash":
			return nil, q.fail(ctx, clash(q.mode, r.Note))
		case "conflict":
			return nil, q.fail(ctx, ErrConflict)
		case "gone":
			return nil, q.fail(ctx, ErrNotHeld)
		case "more": // the queue is being cleaned, some places at a time: ask again
		default:
			return nil, q.fail(ctx, fmt.Errorf("unexpected answer %q", r.Status))
		}
	}
}

// ask sends the acquire once more, to join if the Client is subscribed.
func (q *acquisition) ask(ctx context.Context, waits bool) (r protocol.Reply, sent time.Time, epoch uint64, err error) {
	c := q.client
	mode := protocol.NoWait
	if waits {
		m, e := c.hub.Channel(q.name).State()
		if m == "" && q.alone {
			m = protocol.Uncountable
		}
		if m != "" {
			mode, epoch = m, e
			if q.wait == nil { // before it is sent: the message may be faster than the reply
				if q.wait = &q.firstWait; q.wait.token != "" {
					q.wait = &wait{}
				}
				c.expect(q.wait, q.token, q.lease, q.steal)
			}
		}
	}
	one := &q.firstCall
	if one.Script != nil { // it may still be under way
		one = &transport.Call{}
	}
	q.request(one, mode)
	stays := ctx.Done() == nil
	if !stays { // I8: this answer may come when nobody waits for it any more
		undo := q.undoing(true)
		one.Late = func(a transport.Answer) {
			if a.Err == nil {
				undo()
			}
		}
	}
	q.asking = true
	a := c.transport.Attempt(ctx, one, stays)
	q.asking = false
	if a.Err == nil {
		one.Forget()
	}
	q.unanswered = q.unanswered || a.Unanswered
	if a.Err != nil {
		return r, a.Sent, epoch, a.Err
	}
	if r, err = protocol.ParseReply(a.Value); err != nil {
		q.unanswered = true // whatever it was, let it not become a hold
	}
	if q.resumes != nil && r.Status == "granted" {
		q.mode.wire, q.weight = protocol.ParseMode(r.Note)
	}
	if r.Status == "" { // the fast path: granted at this very time
		r.Status, r.Lease, r.Alone = "granted", protocol.Micros(q.lease.Microseconds()), true
	}
	return r, a.Sent, epoch, err
}

// undoing is what gives up whatever the present token has or may yet get.
func (q *acquisition) undoing(tombstone bool) func() <-chan struct{} {
	c, key, token := q.client, q.key, q.token
	if q.changes != nil {
		h, back := q.changes.hold, q.back
		return func() <-chan struct{} { return h.convert(h.readArgs(back)) }
	}
	return func() <-chan struct{} { return c.giveUp(key, token, tombstone) }
}

func (q *acquisition) undo() <-chan struct{} { return q.undoing(q.unanswered)() }

// held notes who has the lock.
func (q *acquisition) held(h protocol.Holder) { q.holder = &h }

// heldIn notes who had it when that was last heard.
func (q *acquisition) heldIn(l *waiters) {
	h := l.last()
	h.Waiting = max(h.Waiting-1, 0) // but for this one
	q.held(h)
}

// take makes a Lock of a grant, once it is confirmed. A grant that came too late to be relied on is given back, and sought
// anew if the caller waits: then both results are nil.
func (q *acquisition) take(ctx context.Context, waits bool, g grant) (*Lock, error) {
	c := q.client
	q.dropWait()
	late := errLate
	now := time.Now()
	if q.changes != nil || g.valid.LeftAt(now) > 0 {
		var err error
		switch g, err = q.confirm(g); {
		case errors.Is(err, errGone) && q.changes == nil && q.resumes == nil:
			late, g.valid = errGone, clock.Bound{}
		case errors.Is(err, errGone): // there is nothing to be sought anew
			q.giveBack(ctx)
			return nil, fmt.Errorf("%w: %w", ErrNotHeld, err)
		case err != nil: // I8
			q.giveBack(ctx)
			return nil, err
		}
		now = time.Now() // the bound is that of the confirmation
	}
	if q.changes != nil { // its lease goes on as it was
		q.changes.hold.changed(q.mode, g.fence)
		return q.changes, nil
	}
	if g.valid.LeftAt(now) <= 0 {
		q.late++
		pause := time.NewTimer(min(transport.Backoff(q.late), time.Second))
		defer pause.Stop()
		q.giveBack(ctx)
		if !waits {
			return nil, late
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return nil, q.fail(ctx, late)
		}
		q.newToken()
		return nil, nil
	}
	h := c.newHold(q.parent, q.name, &q.settings)
	e := &h.lease
	e.boxedKey, e.boxed, e.nonce, e.fence = q.boxedKey, q.boxed, q.nonce, g.fence
	e.length, e.unanswered, e.once, e.alone = q.lease, q.unanswered, q.noRenewal, g.alone
	e.valid, e.granted = g.valid, g.sent
	if q.maxHold > 0 {
		e.total = &clock.Bound{From: g.sent, Span: q.maxHold}
	}
	if !c.adopt(h) {
		c.giveUp(q.key, q.token, q.unanswered)
		return nil, ErrClosed
	}
	e.start(g.lease < q.lease, now)
	return &h.first, nil
}

// fail ends an acquisition without the lock: nothing of it is left behind (I8), and the error says which of three it was,
// contended, given up by the caller, or unreachable. ctx is the caller's with the bound of WithWait.
func (q *acquisition) fail(ctx context.Context, cause error) error {
	q.dropWait()
	if q.joined || q.unanswered {
		q.giveBack(ctx)
	}
	switch ended := q.parent.Err(); {
	case errors.Is(cause, ErrClosed), errors.Is(cause, transport.ErrOrphaned), errors.Is(cause, ErrPermission), errors.Is(cause, ErrMode), errors.Is(cause, ErrConflict), errors.Is(cause, ErrNotHeld):
		return cause
	case cause == nil:
		return q.client.heldBy(*q.holder, nil)
	case ctx.Err() == nil:
		return cause
	case q.holder != nil:
		return q.client.heldBy(*q.holder, transport.During(ended, cause))
	case ended != nil:
		return transport.During(ended, cause)
	default:
		return unanswered(q.settings.wait, cause)
	}
}

// giveBack gives up what the present token has, and waits until that is done, or goes on in the background because it takes longer
// than a caller should wait. One whose ctx has ended should hardly wait at all: WithWait is a bound. And where Redis has just
// not answered, nobody waits for another answer.
func (q *acquisition) giveBack(ctx context.Context) {
	done, patience := q.undo(), giveUpPatience
	if ctx.Err() != nil {
		if q.unanswered {
			return
		}
		patience = endedPatience
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// clash is the error of a mode that cannot be used on a lock while others use it as they do.
func clash(m Mode, rules string) error {
	if rules == "" {
		return fmt.Errorf("%w: too many different modes are in use on this lock", ErrMode)
	}
	return fmt.Errorf("%w: %q has the rules %q here, and is in use on this lock with %q", ErrMode, m.Name(), m.wire.Rules, rules)
}

var errLate = errors.New("granted, but the answer took longer than the lease lasts")

// unanswered is the error of a wait that ended before Redis said anything, and why it did not, as far as cause tells.
func unanswered(wait time.Duration, cause error) error {
	return fmt.Errorf("no answer from Redis within WithWait(%v): %w", wait, transport.During(context.DeadlineExceeded, cause))
}
