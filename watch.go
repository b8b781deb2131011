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
	// watchEvery is how often a watcher of a lock checks by itself. That finds a message that was lost without a break of the
	// subscription.
	watchEvery = 30 * time.Second
	// watchPause is the least time between two checks.
	watchPause = 50 * time.Millisecond
)

// Watch yields the state of a lock as [Client.Inspect] shows it, at once and then after every change, until ctx ends. A
// change is that the lock is granted, renewed, released, stolen or broken, or that somebody begins or ceases to wait. Watch
// is told by push; of a hold that lapses it learns when the lease is over. Changes that follow each other within 50 ms count
// as one. While Redis cannot be reached, or refuses ([ErrPermission]), Watch yields the error, again and again with growing
// pauses of up to 5 s, and then the state. It ends after [ErrClosed], [ErrInvalid] and any other error that would stay as it
// is, such as that of a closed Redis client.
//
// Watch is not told that the server has lost the lock, by FLUSHALL, eviction or a failover. It sees that by a check of its
// own after 30 s at the latest.
//
// Watch has a cost. It writes to the lock's key, also for a name that nobody has used, and so it fails where the server
// refuses writes. As long as somebody watches, each change of the lock takes the longer way through the scripts. Each check
// of a watcher also leads to at most one message to every Client of the prefix. Other locks are not affected.
func (c *Client) Watch(ctx context.Context, name string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		look := func() (Info, time.Duration, error) {
			info, look, err := c.inspectAgain(ctx, name)
			return info, look, wrapOp("watch", name, err)
		}
		follow(ctx, c, watched(protocol.Escape(name)), watchPause, look, same, yield)
	}
}

// follow yields what inspect returns, at once and then whenever that is something else. It calls inspect after each broadcast
// of what, and also at the time at which inspect wanted to be called without one. Between two calls there is a pause, and a
// longer one after an error.
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
			first = true // the caller is told anew when Redis answers
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

// inspectAgain also tells when to inspect again even without a broadcast: a hold may have lapsed by then.
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

// same reports whether two checks saw the same state.
func same(a, b Info) bool {
	a.Now, b.Now = time.Time{}, time.Time{}
	return reflect.DeepEqual(a, b)
}

// Request is somebody's wish that the holder gives a lock up ([Client.Ask]).
type Request struct {
	// By is the Client that called Ask.
	By Owner
	// Why is the reason that was given.
	Why string
}

// Ask asks the holder of a lock to give it up. It takes nothing away: [Lock.Asked] of the holder's handles reports the
// request, and the holder decides what to do. [Client.Break] takes a lock away.
//
// Ask returns how many holds were told, or 0 if nobody holds the lock. In a shared mode it tells at most the oldest 64. A
// holder that cannot be reached at this moment does not hear of the request, and nobody learns that: its process hangs, is
// cut off, or has taken its first lock a moment ago. If an answer was lost, the holders may be told twice. why must have 1 to
// 512 bytes ([ErrInvalid]).
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

// Asked returns a channel that has a [Request] in it when somebody asks for the lock by [Client.Ask]. If several requests
// were not read, it has the latest. Nothing is taken away: a holder that can comes to an end and releases. All handles of a
// hold have the same channel, and one of its readers gets the request. The channel is never closed, so wait for the end of
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
	if h.asked == nil {
		h.asked = make(chan Request, 1)
	}
	return h.asked
}
