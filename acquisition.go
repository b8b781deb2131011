package redislock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/lease"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
	"example.com/redislock/internal/waiting"
)

// acquisition is one acquire under way. It may also be one of its two relatives: a hold that is to change its mode when the
// others allow it, or a hold that is taken over from another process. The machine of package waiting decides what the
// acquisition does next; this file does it.
type acquisition struct {
	waiting.Acquisition
	client *Client
	name   string
	key    any // a string, as an argument
	settings
	changes *modeChange // nil for any other acquisition
	resumes *handoff    // what is taken over; nil for any other acquisition

	parent context.Context // the caller's
	asked  time.Time

	// Of the present token.
	token any // a string, as an argument
	nonce string
	seen  int64 // the greatest fence of the name that the Client had seen before it asked
	wait  *waiting.Wait

	firstWait waiting.Wait // of the first token. Most acquisitions need no other
}

// modeChange is the change of mode that an acquisition makes.
type modeChange struct {
	*Lock        // the handle whose hold changes its mode
	back  string // the token of the change that undoes this one
}

func (q *acquisition) newToken() {
	q.dropWait()
	token, nonce := protocol.NewTokenAndNonce()
	if q.changes != nil {
		token, q.changes.back = q.changes.hold.changeToken(), q.changes.hold.changeToken()
	}
	q.token, q.nonce = token, nonce
	if q.turn != 0 || q.linger != 0 {
		q.nonce = string(protocol.TurnsMark) + q.nonce[1:]
	}
	if q.inTurns() {
		q.client.turns.of(q.turnKey()).expect(token, q.nonce)
	}
	if q.Queued {
		q.client.queued.add(q)
		if hear := q.placed(); hear != nil {
			hear(false)
		}
	}
	q.NothingRemains()
	q.seen = q.client.floors.of(q.name)
}

func (q *acquisition) dropWait() {
	if q.wait != nil {
		q.client.waits.Remove(q.wait)
		q.wait = nil
	}
}

// end forgets the wait.
func (q *acquisition) end() {
	q.dropWait()
	if q.Queued {
		q.client.queued.remove(q)
	}
}

// pursue is obtain as a registered operation. So Close, which makes waiters fail, waits until each has left its place. If a
// callback of the user's panics, or ends the goroutine, nothing is left behind either (I8).
func (q *acquisition) pursue() (*Lock, error) {
	if err := q.client.enter(); err != nil {
		return nil, err
	}
	defer q.client.leave()
	returned := false
	defer func() {
		if !returned && q.MayRemain() {
			q.Unanswered = true // nobody knows what became of the last attempt
			q.undo()
		}
	}()
	l, err := q.obtain()
	returned = true
	return l, err
}

// obtain does what the machine says, until there is a lock or an error.
func (q *acquisition) obtain() (l *Lock, err error) {
	ctx, c := q.parent, q.client
	if v := q.vote(); v != nil {
		q.Ticket = v.ticket
	}
	q.Waits, q.Fixed = !q.waitSet || q.settings.wait > 0, q.changes != nil || q.resumes != nil
	if q.waitSet && q.Waits {
		bounded, cancel := context.WithTimeout(ctx, q.settings.wait)
		defer cancel()
		ctx = bounded
	}
	if err := c.prepare(ctx); err != nil {
		return nil, q.fail(ctx, err)
	}
	q.newToken()
	defer q.end()
	var r protocol.Reply  // the last answer
	var s waiting.Sample  // when it was given
	var g waiting.Grant   // what is to be confirmed
	var v waiting.Verdict // and what it is worth
	for next := waiting.Ask; ; {
		switch next {
		case waiting.Ask:
			if r, s, err = q.ask(ctx); err != nil {
				next = waiting.Fail
				break
			}
			switch next = q.Answered(r); {
			case next == waiting.Fail:
				err = q.refusal(r)
			case next != waiting.Confirm && q.inTurns() && q.mode == Read:
				q.notAtOnce()
			}
			g = waiting.Grant{Fence: r.Fence, Sent: s.Sent, Valid: clock.Until(s.Sent, r.Now, r.At+r.Lease, c.margin), Lease: r.Lease.Sub(0), Alone: r.Alone, Direct: q.direct(r), Now: r.Now}
		case waiting.NewToken:
			if q.Unanswered {
				q.undo()
			}
			q.newToken()
			next = waiting.Ask
		case waiting.Subscribe: // wait until it is confirmed, then join
			if q.Brief && ctx == q.parent {
				bounded, cancel := context.WithTimeout(ctx, stealPatience)
				defer cancel()
				ctx = bounded
			}
			next = waiting.Ask
			if q.Without, err = c.subscriber.Await(ctx, q.name); err != nil {
				next = waiting.Fail
			}
		case waiting.Await:
			o := q.await(ctx, r, s)
			g, err = o.Grant, o.Err
			next = q.Settled(o, q.wait.Holder())
		case waiting.Confirm:
			l, v, err = q.take(g)
			next = q.Confirmed(v)
		case waiting.Retreat:
			next = waiting.Ask
			if !q.retreat(ctx) {
				next = waiting.Fail
			}
		case waiting.Hold:
			return l, nil
		default:
			return nil, q.fail(ctx, err)
		}
	}
}

// await waits until the wait in the queue has an outcome.
func (q *acquisition) await(ctx context.Context, r protocol.Reply, s waiting.Sample) waiting.Outcome {
	c := q.client
	if !q.Queued {
		q.Queued = true
		c.queued.add(q)
		if v := q.vote(); v != nil {
			v.hears.voter.Queued()
		}
		if hear := q.placed(); hear != nil {
			hear(true)
		}
		if c.observer != nil {
			c.observeAside(q.event(EventQueued))
		}
	}
	defer q.tellOfItself(r.Holder.Info)()
	c.waits.Join(q.wait, q.changes != nil || c.carried(q.parent) != nil, q.name, r, s)
	stop := q.checking(ctx, q.wait)
	o := q.wait.Await(ctx)
	stop()
	if o.Err == nil && !o.Gone && q.changes == nil && o.Grant.Lease < min(q.lease, protocol.Claim) { // the server does not count this Client as a receiver, and yet the message came
		c.subscriber.Suspect()
	}
	return o
}

// undoing returns the function that gives up everything that the present token has or may yet get.
func (q *acquisition) undoing(tombstone bool) func() <-chan struct{} {
	c, key, token := q.client, q.key.(string), q.token.(string)
	if q.changes != nil {
		h, back := q.changes.hold, q.changes.back
		return func() <-chan struct{} { return h.convert(h.readArgs(back)) }
	}
	return func() <-chan struct{} { return c.giveUp(key, token, tombstone) }
}

func (q *acquisition) undo() <-chan struct{} { return q.undoing(q.Unanswered)() }

// take confirms a grant, and makes a Lock of it if it can be relied on.
func (q *acquisition) take(g waiting.Grant) (*Lock, waiting.Verdict, error) {
	c := q.client
	q.dropWait()
	now := time.Now()
	if q.changes != nil || g.Valid.LeftAt(now) > 0 {
		var err error
		switch g, err = q.confirm(g); {
		case errors.Is(err, errGone) && q.Fixed:
			return nil, waiting.Bad, fmt.Errorf("%w: %w", ErrNotHeld, err)
		case errors.Is(err, errGone):
			return nil, waiting.TooLate, errGone
		case err != nil:
			return nil, waiting.Bad, err
		}
		now = time.Now() // the bound is that of the confirmation
	}
	if q.changes != nil { // its lease goes on as it was
		q.changes.hold.changed(q.mode, g.Fence)
		return q.changes.Lock, waiting.Good, nil
	}
	if g.Valid.LeftAt(now) <= 0 {
		return nil, waiting.TooLate, errLate
	}
	h := c.newHold(q.parent, q.name, &q.settings)
	h.alone = g.Alone
	h.lease.Init(h, lease.Grant{
		Key: q.key, Token: q.token, Nonce: q.nonce, Fence: g.Fence, Length: q.lease, MaxHold: q.maxHold, Final: q.noRenewal,
		Unanswered: q.Unanswered, Valid: g.Valid, Granted: g.Sent,
	})
	if q.inTurns() {
		h.turn = c.turns.of(q.turnKey())
		h.turn.granted(h, q.sample(g, now))
	}
	if err := c.adopt(h); err != nil {
		return nil, waiting.Bad, err
	}
	h.lease.Start(g.Lease < q.lease, now)
	return &h.first, waiting.Good, nil
}

// retreat gives back a grant that came too late, and pauses before the next attempt. It reports false if ctx ended first.
func (q *acquisition) retreat(ctx context.Context) bool {
	pause := time.NewTimer(min(transport.Backoff(int(q.Late)), time.Second))
	defer pause.Stop()
	q.giveBack(ctx)
	q.NothingRemains()
	select {
	case <-pause.C:
		q.newToken()
		return true
	case <-ctx.Done():
		return false
	}
}

// fail ends an acquisition without the lock. Nothing of it is left behind (I8). The error tells three cases apart: the lock
// is contended, the caller gave up, or Redis is unreachable. ctx is the caller's context with the bound of WithWait.
func (q *acquisition) fail(ctx context.Context, cause error) error {
	q.dropWait()
	unusable := q.Unusable
	if q.MayRemain() {
		q.giveBack(ctx)
	}
	switch ended := q.parent.Err(); {
	case unusable: // the reason is why the grant could not be used
		return cause
	case errors.Is(cause, ErrDeadlock):
		return cause
	case errors.Is(cause, ErrQueueFull):
		return q.client.heldBy(*q.Holder, cause)
	case errors.Is(cause, ErrClosed), errors.Is(cause, transport.ErrOrphaned), errors.Is(cause, ErrPermission), errors.Is(cause, ErrMode), errors.Is(cause, ErrConflict), errors.Is(cause, ErrNotHeld):
		return cause
	case cause == nil:
		return q.heldBy(nil)
	case ctx.Err() == nil:
		return cause
	case q.Holder != nil:
		if q.vote() != nil {
			ended = nil // the Locker has ended it, and no context of a caller
		}
		return q.heldBy(transport.During(ended, cause))
	case ended != nil:
		return transport.During(ended, cause)
	default:
		return unanswered(q.settings.wait, cause)
	}
}

// giveBack gives up what the present token has.
func (q *acquisition) giveBack(ctx context.Context) { q.patiently(ctx, q.undo()) }

// patiently waits until the token's traces are given back. If it takes longer than a caller should wait, it goes on in the
// background. Once ctx has ended, before or meanwhile, the caller should hardly wait at all, because WithWait is a bound. If
// Redis has just not answered, patiently does not wait for another answer.
func (q *acquisition) patiently(ctx context.Context, done <-chan struct{}) {
	patience := time.NewTimer(giveUpPatience)
	defer patience.Stop()
	select {
	case <-done:
		return
	case <-patience.C:
		return
	case <-ctx.Done():
	}
	if q.Unanswered {
		return
	}
	patience.Reset(endedPatience)
	select {
	case <-done:
	case <-patience.C:
	}
}

var errLate = errors.New("granted, but the answer took longer than the lease lasts")

// unanswered is the error of a wait that ended before Redis said anything. It gives the reason as far as cause tells it.
func unanswered(wait time.Duration, cause error) error {
	return fmt.Errorf("no answer from Redis within WithWait(%v): %w", wait, transport.During(context.DeadlineExceeded, cause))
}
