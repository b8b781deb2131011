package redislock

import (
	"context"
	"iter"
	"reflect"
	"strings"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

const (
	// watchEvery is how often who watches a lock looks by himself: against a message that was lost without the subscription
	// breaking.
	watchEvery = 30 * time.Second
	// watchPause is the least time between two looks.
	watchPause = 50 * time.Millisecond
)

// Watch yields the state of a lock as [Client.Inspect] has it, at once and then whenever it has changed: it is granted,
// renewed, released, stolen or broken, somebody begins or ceases to wait. It goes on until ctx ends. It is told by push, and of a
// hold that lapses when its lease is over; changes that follow each other within 50 ms are one. While Redis cannot be
// reached, or refuses ([ErrPermission]), it yields the error, again and again with growing pauses of up to 5 s, and then the
// state. After [ErrClosed], [ErrInvalid] and what stays as it is, such as a Redis client that was closed, it ends.
//
// What is not told: that the server has lost the lock, by FLUSHALL, eviction or a failover. That is seen by a look after
// 30 s at the latest.
//
// What it costs: it writes, to the lock's key, also for a name that nobody has used, and so fails where the server refuses
// writes. As long as somebody watches, each change of the lock takes the longer way through the scripts, and one
// message to every Client of the prefix for each look that somebody takes. Other locks are not concerned.
func (c *Client) Watch(ctx context.Context, name string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		look := func() (Info, time.Duration, error) {
			info, look, err := c.inspectAgain(ctx, name)
			return info, look, wrapOp("watch", name, err)
		}
		follow(ctx, c, watched(protocol.Escape(name)), watchPause, look, same, yield)
	}
}

// follow yields what inspect sees, at once and then whenever it sees something else. It is called after each broadcast of what, and
// when it said that it is to be called without one. Between two calls there is a pause, and a longer one after an error.
func follow[T any](ctx context.Context, c *Client, what string, pause time.Duration,
	inspect func() (T, time.Duration, error), same func(a, b T) bool, yield func(T, error) bool,
) {
	if c.called(ctx) != nil {
		none, _, err := inspect()
		yield(none, err)
		return
	}
	broadcast := c.watchers.add(what)
	defer c.watchers.remove(what, broadcast)
	c.start()
	var last T
	for first, failures := true, 0; ; {
		seen, next, err := inspect()
		switch {
		case ctx != nil && ctx.Err() != nil:
			return
		case err != nil:
			var none T
			if !yield(none, err) || final(err) {
				return
			}
			first = true // it is told anew when Redis answers
			failures++
			next = min(transport.Backoff(failures)*8, 5*time.Second)
		case first || !same(seen, last):
			first, last = false, seen
			if !yield(seen, nil) {
				return
			}
			fallthrough
		default:
			failures = 0
		}
		timer := time.NewTimer(next)
		select {
		case <-broadcast:
		case <-timer.C:
		case <-ctx.Done():
		case <-c.closing:
		}
		timer.Stop()
		if pause > 0 && !sleep(ctx, pause) {
			return
		}
	}
}

// inspectAgain also tells when to look again even without a broadcast: a hold may have lapsed then.
func (c *Client) inspectAgain(ctx context.Context, name string) (Info, time.Duration, error) {
	if err := c.mayLook(ctx, name, itself); err != nil {
		return Info{}, 0, err
	}
	a := c.query(ctx, lua.Watch, c.keys.Lock(name), maxShown)
	if a.Err != nil {
		return Info{}, 0, a.Err
	}
	info, err := parseInfo(name, a.Value)
	next := watchEvery
	for _, h := range info.Holds {
		next = min(next, h.Deadline.Sub(info.Now)+protocol.Slack)
	}
	return info, next, err
}

// same reports whether two looks saw the same.
func same(a, b Info) bool {
	a.Now, b.Now = time.Time{}, time.Time{}
	return reflect.DeepEqual(a, b)
}

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
