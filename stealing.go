package redislock

import (
	"context"
	"crypto/subtle"
	"fmt"
	"strings"
)

// Stealing is a revocation that is acknowledged. A caller whose WithStealAfter has passed has the hold marked: from
// then on renewals are refused, and the holder's Client is told. It ends the handle's context with ErrStolen and then
// gives the hold up by itself; a holder that does not answer keeps it until the deadline that it knows. So there are
// never two bodies inside their bounds, and what is freed goes to the head of the queue, not to the thief.
//
// The marking is done by lua/acquire.lua and lua/check.lua, when it is due by lua/shared.lua (revoke), the refusal by
// lua/renew.lua. What is here is the holder's side, and Break.

// revoked takes the message that a hold of this process was stolen or broken. Only a reader of the key can know the
// nonce, so a forged message is ignored, and one that comes twice finds nothing to do (I9).
func (c *Client) revoked(token, nonce, reason string) {
	c.mu.Lock()
	l := c.locks[token]
	c.mu.Unlock()
	if l == nil || subtle.ConstantTimeCompare([]byte(l.lease.nonce), []byte(nonce)) != 1 {
		return
	}
	l.lose(robbery(reason))
}

// robbery is why a hold ended: broken for a reason, or stolen.
func robbery(reason string) error {
	if reason == "" {
		return errStale
	}
	return fmt.Errorf("%w: broken: %s", ErrStolen, strings.ToValidUTF8(reason, "?"))
}

var errStale = fmt.Errorf("%w: older than another caller tolerates", ErrStolen)

// Break ends the hold of a name at once, for the operator who knows that it must not go on, and hands the lock to the
// next in the queue. The holder's context ends with [ErrStolen] and the reason as soon as the message reaches it; until
// then, or if it is paused, it may believe that it holds the lock: its fence is what protects the resource.
//
// The fence of the hold that was ended is returned, 0 if nobody held the lock. reason is shown to the holder; it must
// have 1 to 512 bytes ([ErrInvalid]).
func (c *Client) Break(ctx context.Context, name, reason string) (int64, error) {
	fence, err := c.breakHold(ctx, name, reason)
	return fence, wrapOp("break", name, err)
}

func (c *Client) breakHold(ctx context.Context, name, reason string) (int64, error) {
	if err := checkName(name); err != nil {
		return 0, err
	}
	if reason == "" || len(reason) > MaxReason {
		return 0, invalid("a reason of %d bytes, from 1 to %d", len(reason), MaxReason)
	}
	if c.isClosed() {
		return 0, ErrClosed
	}
	// Naming the fence makes a resend harmless: it breaks the hold that was meant, or none.
	info, err := c.inspect(ctx, name, 0)
	if err != nil || len(info.Holds) == 0 {
		return 0, err
	}
	meant := info.Holds[0].Fence
	a := c.ask(ctx, nil, scriptBreak, c.key(name), reason, fmt.Sprintf("%016d", meant))
	if a.err != nil {
		return 0, a.err
	}
	f, err := fieldsOf(a.value)
	if err != nil {
		return 0, err
	}
	ended, more := f.text(0), f.int(1)
	if f.err != nil {
		return 0, f.err
	}
	if more > 0 {
		c.giveUp(c.key(name), c.random.token(), false) // of no wait: the request only goes on handing over
	}
	if ended == "" && !a.unanswered {
		return 0, nil
	}
	return meant, nil
}
