package redislock

import (
	"context"
	"strings"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/lua"
)

// Request is somebody's wish that a lock be given up ([Client.Ask]).
type Request struct {
	// By is who asks: the Client whose Ask it was.
	By Owner
	// Why is the reason that was given.
	Why string
}

// Ask asks who holds a lock to give it up, and takes nothing: [Lock.Asked] of its handles says so, and what they make of it is
// theirs. To take a lock away is [Client.Break].
//
// It returns how many holds were told, 0 if nobody holds the lock; in a shared mode these are the oldest 64 at the most. A
// holder that cannot be reached at this moment does not hear of it, and nobody knows: its process hangs, is cut off, or has
// taken its first lock a moment ago. Where an answer was lost, the holders may be told twice. why must have 1 to 512 bytes
// ([ErrInvalid]).
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

// requestSeparator is between who asks and why. The name of a Client has no control characters, that of a host has none
// either, and there is no metadata.
const requestSeparator = "\x00"

// requested takes the message that somebody asks for a hold of this process. Only a reader of the key can know the nonce, so
// a forged message is ignored (I9).
func (c *Client) requested(token, nonce, text string) {
	h := c.named(token, nonce)
	if h == nil {
		return
	}
	by, why, _ := strings.Cut(text, requestSeparator)
	r := Request{By: parseOwner(by), Why: strings.ToValidUTF8(why, "?")}
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
		case <-asked: // nobody has read it: the latest counts
		default:
		}
	}
}

// Asked has a [Request] in it when somebody asks for the lock by [Client.Ask]; of several that nobody has read, the latest.
// Nothing is taken: who can, comes to an end and releases. All handles of a hold have the same channel, and one of their readers
// gets the request. The channel is never closed, so wait for the end of [Lock.Context] beside it.
func (l *Lock) Asked() <-chan Request {
	if !l.made() {
		return nil
	}
	return l.hold.askedChannel()
}

func (h *hold) askedChannel() chan Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.asked == nil {
		h.asked = make(chan Request, 1)
	}
	return h.asked
}
