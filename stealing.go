package redislock

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/safetext"
	"example.com/redislock/lua"
)

// Stealing is a revocation that the holder acknowledges. When the WithStealAfter of a caller has passed, the script marks the
// hold. From then on Redis refuses its renewals, and tells the holder's Client. That Client ends the handle's context with
// ErrStolen and then gives the hold up by itself. A holder that does not answer keeps the hold until the deadline that it
// knows. So there are never two bodies inside their bounds. The freed lock goes to the head of the queue, not to the caller
// that stole it.
//
// The scripts lua/acquire.lua and lua/check.lua mark the hold when lua/contention.lua (revoke) says that it is due, and
// lua/renew.lua refuses the renewal. This file has the holder's side, and Break.

// stealPatience is how long an acquire that does not wait gives a holder that it has revoked to give the lock up. A holder that
// lives needs two packets and a request.
const stealPatience = 250 * time.Millisecond

// revoked takes the message that a hold of this process was stolen or broken. Only a reader of the key can know the nonce, so
// the Client ignores a forged message. A message that comes twice finds nothing to do (I9).
func (c *Client) revoked(token, nonce, reason string) {
	switch h := c.named(token, nonce); {
	case h == nil || h.turn != nil:
		if h != nil && h.turn.reads() { // they may not have been let in yet
			h.lose(revokedError(reason))
		}
		c.revokedInTurn(token, nonce, revokedError(reason))
	default:
		h.lose(revokedError(reason))
	}
}

// revokedError says why a hold ended: it was broken for a reason, or stolen.
func revokedError(reason string) error {
	if reason == "" {
		return errStale
	}
	return fmt.Errorf("%w: broken: %s", ErrStolen, safetext.Escape(reason))
}

var errStale = fmt.Errorf("%w: older than another caller tolerates", ErrStolen)

// maxBreak is how many holds one script ends.
const maxBreak = 32

// Break ends the holds of a name at once and hands the lock to the next waiter in the queue. It is for the operator who knows
// that the holders must not go on. In a shared mode it ends all holds. The context of a holder ends with [ErrStolen] and the
// reason as soon as the message reaches the holder. Until then, or while it is paused, the holder may believe that it still
// has the lock; its fence is what protects the resource.
//
// Break returns the fence of the hold that it ended: the greatest of several, 0 if nobody held the lock. It returns [ErrUnknown]
// if an attempt had no answer and so much time has passed that it cannot be known any more whether that attempt ended the hold.
// reason is shown to the holders and must have 1 to 512 bytes ([ErrInvalid]). To end only a hold that one has seen, use
// [Client.BreakHolds]: another holder may have the lock by now.
func (c *Client) Break(ctx context.Context, name, reason string) (int64, error) {
	fence, err := c.breakAll(ctx, name, reason)
	return fence, wrapOp("break", name, err)
}

// BreakHolds is [Client.Break] of exactly the holds in info. info comes from [Client.Inspect], [Client.List] or
// [Client.Watch] of a Client of this process. A holder that got the lock since then keeps it. BreakHolds returns the greatest
// fence of the holds that it ended, or 0 if all of them had ended already.
func (c *Client) BreakHolds(ctx context.Context, info Info, reason string) (int64, error) {
	fence, err := c.breakSome(ctx, info, reason)
	return fence, wrapOp("break", info.Name, err)
}

func (c *Client) mayBreak(ctx context.Context, name, reason string) error {
	if err := c.mayLook(ctx, name, itself); err != nil {
		return err
	}
	return checkReason(reason)
}

func (c *Client) breakSome(ctx context.Context, info Info, reason string) (greatest int64, err error) {
	if err := c.mayBreak(ctx, info.Name, reason); err != nil {
		return 0, err
	}
	for holds := range slices.Chunk(info.Holds, maxBreak) {
		_, fence, err := c.breakHolds(ctx, info.Name, holds, reason)
		greatest = max(greatest, fence)
		if err != nil {
			return greatest, err
		}
	}
	return greatest, nil
}

func (c *Client) breakAll(ctx context.Context, name, reason string) (int64, error) {
	if err := c.mayBreak(ctx, name, reason); err != nil {
		return 0, err
	}
	greatest, asked := int64(0), time.Time{}
	for {
		info, err := c.inspect(ctx, name, maxBreak)
		if err != nil {
			return greatest, err
		}
		if asked.IsZero() {
			asked = info.Now
		}
		holds := slices.DeleteFunc(info.Holds, func(h Hold) bool { return h.Since.After(asked) })
		if len(holds) == 0 {
			return greatest, nil
		}
		some := holds[:min(len(holds), maxBreak)]
		ended, fence, err := c.breakHolds(ctx, name, some, reason)
		greatest = max(greatest, fence)
		if err != nil {
			return greatest, err
		}
		if len(some) == info.Holders && ended == info.Holders { // otherwise one of them has another fence by now
			return greatest, nil
		}
	}
}

// breakHolds ends these holds, at most maxBreak. It returns how many it has ended and the greatest of their fences. The
// request names token and fence, so a resend is harmless: it breaks the holds that were meant, or none.
func (c *Client) breakHolds(ctx context.Context, name string, holds []Hold, reason string) (ended int, fence int64, err error) {
	if err := c.enter(); err != nil {
		return 0, 0, err
	}
	defer c.leave()
	args := []any{reason}
	for _, h := range holds {
		args = append(args, h.token, fmt.Sprintf("%016d", h.Fence))
	}
	begun := time.Now()
	a := c.transport.Ask(ctx, nil, lua.Break, c.keys.Lock(name), args...)
	if a.Err != nil {
		return 0, 0, a.Err
	}
	f, err := protocol.FieldsOf(a.Value)
	if err != nil {
		return 0, 0, err
	}
	ended, more, before := f.Int(0), f.Int(1), f.Int(3)
	if ended > 0 {
		fence = int64(f.Micros(2))
	}
	if before > 0 && a.Unanswered { // an earlier attempt has ended them; the tombstones have its reason
		ended += before
		fence = max(fence, int64(f.Micros(4)))
	}
	if f.Err != nil {
		return 0, 0, f.Err
	}
	if more > 0 {
		c.giveUp(c.keys.Lock(name), protocol.NewToken(), false) // the token is of no wait; the request only continues the hand-over
	}
	if a.Unanswered && ended < len(holds) && clock.Elapsed(begun) >= brokenKnown { // the tombstones may have expired
		return ended, fence, ErrUnknown
	}
	return ended, fence, nil
}

// checkReason says whether a reason can be sent to a holder.
func checkReason(text string) error {
	if text == "" || len(text) > MaxReason {
		return invalid("a reason of %d bytes, from 1 to %d", len(text), MaxReason)
	}
	return nil
}

// Request asks the holder to give a lock up ([Client.Ask]).
type Request struct {
	// By is the Client that called Ask.
	By Owner
	// Why is the reason that was given.
	Why string
}

// Ask asks the holder of a lock to give it up. It takes nothing away: [Lock.Asked] of the holder's handles reports the
// request, and the holder decides what to do. [Client.Break] takes a lock away.
//
// Ask returns how many holds were told, or 0 if nobody holds the lock. In a shared mode it tells at most the oldest 64. A holder
// may not get the request, without a sign of that, if its process hangs, is cut off, or has taken its first lock a moment ago. If
// an answer was lost, the holders may be told twice. why must have 1 to 512 bytes ([ErrInvalid]).
func (c *Client) Ask(ctx context.Context, name, why string) (int, error) {
	told, err := c.request(ctx, name, why)
	return told, wrapOp("ask", name, err)
}

func (c *Client) request(ctx context.Context, name, why string) (int, error) {
	if err := c.mayLook(ctx, name, itself); err != nil {
		return 0, err
	}
	if err := checkReason(why); err != nil {
		return 0, err
	}
	a := c.query(ctx, lua.Ask, c.keys.Lock(name), c.owner.info()+requestSeparator+why)
	if a.Err != nil {
		return 0, a.Err
	}
	f := protocol.Fields{Values: []any{a.Value}}
	return f.Int(0), f.Err
}

// requestSeparator stands between the owner and the reason. The name of a Client has no control characters, that of a host
// has none either, and there is no metadata.
const requestSeparator = "\x00"

// requested takes the message that somebody asks for a hold of this process. Only a reader of the key can know the nonce, so
// the Client ignores a forged message (I9).
func (c *Client) requested(token, nonce, text string) {
	h := c.named(token, nonce)
	if h == nil {
		return
	}
	by, why, _ := strings.Cut(text, requestSeparator)
	r := Request{By: parseOwner(by), Why: strings.ToValidUTF8(why, "?")}
	if of := h.voter(); of != nil {
		of.Asked(r.Why)
	}
	asked := h.askedChannel()
	for {
		select {
		case asked <- r:
			if c.observer != nil {
				e := h.event(EventRequested, nil)
				e.Holder, e.Why = r.By, r.Why
				c.report(e)
			}
			return
		default:
		}
		select {
		case <-asked: // nobody has read the earlier request: the latest counts
		default:
		}
	}
}

// Asked returns a channel that has a [Request] in it when somebody asks for the lock by [Client.Ask]. If several requests were
// not read, it has the latest. The lock is not taken away: the holder ends its work and releases if it can. All handles of a hold
// have the same channel, and one of its readers gets the request. The channel is never closed, so wait for the end of
// [Lock.Context] as well.
func (l *Lock) Asked() <-chan Request {
	if !l.made() {
		return nil
	}
	return l.hold.askedChannel()
}

func (h *hold) askedChannel() chan Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hears == nil {
		h.hears = &hears{}
	}
	if h.hears.asked == nil {
		h.hears.asked = make(chan Request, 1)
	}
	return h.hears.asked
}

// hears has the ways by which the handles of a hold are told of what others do.
type hears struct {
	asked chan Request // of Lock.Asked; nil until it is needed
	voter voter        // of package quorum; nil for any other lock
}

// voter is told of the hold if it is a vote of package quorum; else nil.
func (h *hold) voter() voter {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hears == nil {
		return nil
	}
	return h.hears.voter
}
