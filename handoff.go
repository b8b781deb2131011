package redislock

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

// handoff is a hold on its way to another owner.
type handoff struct {
	name, token, fence string
}

const ticketKind = "redislock1."

// ticket is a handoff as text: the token, the fence, the prefix and the name.
func (h handoff) ticket(prefix string) string {
	return ticketKind + base64.RawURLEncoding.EncodeToString([]byte(h.token+h.fence+prefix+"\n"+h.name))
}

func (c *Client) parseTicket(ticket string) (handoff, error) {
	text, ours := strings.CutPrefix(ticket, ticketKind)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ours || err != nil || len(raw) < protocol.TokenLength+protocol.FenceLength {
		return handoff{}, invalid("not a ticket of Handoff")
	}
	h := handoff{token: string(raw[:protocol.TokenLength]), fence: string(raw[protocol.TokenLength : protocol.TokenLength+protocol.FenceLength])}
	prefix, name, ok := strings.Cut(string(raw[protocol.TokenLength+protocol.FenceLength:]), "\n")
	if _, err := protocol.ParseMicros(h.fence); err != nil || !ok || checkName(name) != nil {
		return handoff{}, invalid("not a ticket of Handoff")
	}
	if prefix != c.prefix {
		return handoff{}, invalid("a ticket of a Client with the prefix %q, this one has %q", prefix, c.prefix)
	}
	h.name = name
	return h, nil
}

// Handoff lets another process go on with the hold. It returns a ticket for [Client.Resume], and the handle is spent. Its context
// ends with [ErrReleased], and nothing renews the hold any more. So the ticket is good for one lease from now on; after that the
// lock is free. Handoff is for work that begins in one process and ends in another. Anybody who has the ticket can take the lock
// over: keep it secret.
//
// Within 5 s Handoff sends one request that makes the lease whole. A lease that [WithoutRenewal] made final stays as it is, and
// nothing is sent for it. If a reply to the acquire was lost, Handoff sends one more request. It returns [ErrNotHeld] if the lock
// was lost or released before. It returns [ErrOrder] for a nested handle, and while other handles are nested in this one.
// Otherwise it returns the error of Redis or of the network. In the last two cases the lock is held as before.
func (l *Lock) Handoff() (string, error) {
	ticket, err := l.handoff()
	if err != nil {
		return "", wrapOp("handoff", l.Name(), err)
	}
	returned := false
	defer func() {
		if !returned { // the Observer panicked, or ended the goroutine: nobody has the ticket
			l.hold.client.giveUp(l.hold.lease.Key(), l.hold.lease.Token(), l.hold.lease.Unanswered())
		}
	}()
	l.hold.observe(EventHandedOff, nil)
	returned = true
	return ticket, nil
}

func (l *Lock) handoff() (string, error) {
	if !l.made() {
		return "", errNoHandle
	}
	h := l.hold
	if h.turn != nil || h.turnTime == aloneInTurns {
		return "", invalid("WithTurn or WithLinger: such a lock cannot be handed off")
	}
	e := &h.lease
	h.client.background.Add() // also during Close, as long as Close waits for this hold
	defer h.client.background.Done()
	if err := l.mayHandOff(); err != nil {
		return "", err
	}
	defer h.endChange()
	ctx, cancel := context.WithTimeout(context.Background(), transport.ResendTime)
	defer cancel()
	if !e.Final() {
		if err := h.ask(ctx, lua.Renew, e.Token(), e.FenceText()); err != nil {
			return "", err
		}
	}
	if e.Unanswered() { // I8: nobody will release this token
		if err := h.ask(ctx, lua.Keep, h.keepArgs("")...); err != nil {
			return "", err
		}
	}

	h.mu.Lock()
	switch { // checked once more: a release and a nested acquire do not wait for the answer
	case l.spent:
		h.mu.Unlock()
		return "", fmt.Errorf("%w: released", ErrNotHeld)
	case l.inner > 0:
		h.mu.Unlock()
		return "", fmt.Errorf("%w: handles nested in this one are not released yet: %d", ErrOrder, l.inner)
	}
	l.spend()
	h.mu.Unlock()
	reason, first := e.Stop(errHandedOff)
	h.life.Finish(reason)
	h.mu.Lock()
	l.answer(fmt.Errorf("%w: %w", ErrNotHeld, reason))
	h.mu.Unlock()
	if !first {
		return "", fmt.Errorf("%w: %w", ErrNotHeld, reason)
	}
	h.client.forget(h)
	return handoff{name: h.name, token: e.Token(), fence: e.FenceText()}.ticket(h.client.prefix), nil
}

// ask renews the lease, or leaves a tombstone, and notes what the answer says of the hold. A hold that the server does not
// have any more is lost.
func (h *hold) ask(ctx context.Context, script *lua.Script, args ...any) error {
	a := h.client.transport.Ask(ctx, nil, script, h.lease.Key(), args...)
	r, err := protocol.ParseReply(a.Value)
	if a.Err != nil {
		err = a.Err
	}
	if script == lua.Renew || err == nil && r.Status != "" {
		h.lease.Answered(a)
	}
	return err
}

var errHandedOff = fmt.Errorf("%w: handed off", ErrReleased)

// mayHandOff says whether the handle is the only one of its hold. Until Handoff is done, the mode of the hold cannot change.
func (l *Lock) mayHandOff() error {
	h := l.hold
	if loss := h.loss(); loss != nil {
		return fmt.Errorf("%w: %w", ErrNotHeld, loss)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case l.spent:
		return fmt.Errorf("%w: released", ErrNotHeld)
	case l.outer != nil:
		return fmt.Errorf("%w: this handle is nested in another one", ErrOrder)
	case l.inner > 0:
		return fmt.Errorf("%w: handles nested in this one are not released yet: %d", ErrOrder, l.inner)
	case h.converting:
		return fmt.Errorf("%w: by another goroutine", ErrConflict)
	}
	h.converting = true
	return nil
}

// Resume takes over the hold that [Lock.Handoff] gave up, in the mode that it has and without a gap: nobody had the lock in
// between. It does not wait. The new hold has a fence of its own, greater than the old one, so a resource can refuse what the
// former owner still writes. Its age, for [WithStealAfter], is that of the old hold. The options are WithLease,
// [WithMetadata], [WithMaxHold], [WithoutRenewal], [WithReplicas] and [NonReentrant]; any other is [ErrInvalid].
//
// Resume returns [ErrNotHeld] if the hold has lapsed, was broken, or was resumed by another caller, and [ErrInvalid] if ticket is
// not a ticket or belongs to another prefix. It returns [ErrNotReplicated] if the replicas did not have the hold in time; the
// lock is then given back, and the ticket is spent. Other errors are [ErrClosed] and those of Redis and the network. A ticket is
// good for one attempt: after an error of the network the lock is given back if that attempt reached Redis.
func (c *Client) Resume(ctx context.Context, ticket string, opts ...Option) (*Lock, error) {
	if err := c.called(ctx); err != nil {
		return nil, fmt.Errorf("redislock: resume: %w", err)
	}
	h, err := c.parseTicket(ticket)
	if err != nil {
		return nil, wrapOp("resume", h.name, err)
	}
	l, err := c.resume(ctx, h, opts)
	return l, wrapOp("resume", h.name, err)
}

func (c *Client) resume(ctx context.Context, h handoff, opts []Option) (*Lock, error) {
	var asked settings
	if err := asked.apply(opts); err != nil {
		return nil, err
	}
	if asked.mode != Exclusive || asked.weight > 0 {
		return nil, invalid("WithMode, WithWeight: a resumed hold has the mode that it had")
	}
	if asked.waitSet || asked.stealSet || asked.maxQueue > 0 || asked.few != nil {
		return nil, invalid("WithWait, WithMaxQueue, WithDeadlockCheck, WithStealAfter: Resume does not wait")
	}
	if asked.floor > 0 {
		return nil, invalid("WithFenceFloor: the fence of a resumed hold is greater than that of the old one")
	}
	if asked.inTurns() {
		return nil, invalid("WithTurn, WithLinger: a hold that is taken over from another process is granted by the server alone")
	}
	q := &acquisition{client: c, name: h.name, settings: c.defaults, resumes: &h, parent: ctx}
	_ = strictly(&q.settings)
	if err := c.accept(ctx, h.name, opts, &q.settings); err != nil {
		return nil, err
	}
	q.settings.wait, q.waitSet, q.steal, q.stealSet, q.floor = 0, true, 0, false, 0
	return c.seek(q)
}
