package redislock

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// MaxShared is the largest value of [Share] as its codec writes it, in bytes.
const MaxShared = 1 << 20

// maxUnread is how often one call has a value fetched anew that it cannot decode.
const maxUnread = 2

// ErrTooLarge says that a value has more than [MaxShared] bytes, and so is not shared.
var ErrTooLarge = errors.New("value too large to be shared")

// Share is the value of a key that many callers in many processes ask for: one of them fetches it by fn, all get it. It
// is kept in Redis for ttl after the fetch, from 1 ms to ten years, and each call in that time costs one round trip.
// Callers of one process share that round trip and the fetch; those of other processes wait in the queue of the lock
// "share:key", and are told by push when it is there. If the fetcher dies, the next one fetches when its lease is over.
//
// fn runs with a context that has the values of the first caller's, and ends when all callers of this process have gone,
// when the lock is lost or when the Client is closed: a caller that gives up does not take the value from the others. Each
// caller gets a value of its own, decoded from what the codec wrote. One that cannot be decoded, because its type has
// changed since for instance, counts for nothing: it is fetched anew, and the observer is told ([EventNotKept]). So give the key
// another name when you change the type, or two versions of a program fetch in turn. A panic of fn is raised in each caller that
// waits. If fn does not return within one lease ([WithLease]) after all callers of this process have gone, it goes on without the
// lock, which is given back, and what it fetches is not kept.
//
// The error of fn goes to the callers that wait for it in its process as it is, and to all others as a [SharedError], for the time
// of [WithErrorTTL]; that its callers went away is nobody else's error. A value of more than [MaxShared] bytes is
// [ErrTooLarge]. The other errors are those of [Client.Acquire], with [ErrDeadlock] for a fn that asks for its own key.
// A value that was fetched but could not be kept is returned all the same, and the observer is told ([EventNotKept]).
func Share[T any](ctx context.Context, c *Client, key string, ttl time.Duration, fn func(context.Context) (T, error), opts ...ShareOption) (T, error) {
	var value T
	s, err := c.shareSettings(ctx, key, ttl, opts)
	if err == nil && fn == nil {
		err = invalid("a nil function")
	}
	if err != nil {
		return value, wrapOp("share", key, err)
	}
	fetch := func(ctx context.Context) (string, error) {
		v, err := fn(ctx)
		if err != nil {
			return "", err
		}
		data, err := s.codec.Marshal(v)
		if err == nil && len(data) > MaxShared {
			err = fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(data), MaxShared)
		}
		return string(data), err
	}
	err = c.share(ctx, key, s, fetch, func(text string) error {
		var v T // not what an attempt that failed has left behind
		err := s.codec.Unmarshal([]byte(text), &v)
		if err == nil {
			value = v
		}
		return err
	})
	return value, wrapOp("share", key, err)
}

// share has decode take the value, looked up or fetched together with all who ask in this process.
func (c *Client) share(ctx context.Context, key string, s *shareSettings, fetch func(context.Context) (string, error), decode func(string) error) error {
	bounded, cancel := s.given.bounded(ctx) // this caller's own: it does not end the wait of those who wait with it
	defer cancel()
	join := c.flights.join
	if s.given.waitSet && s.given.wait == 0 { // nobody else's fetch is waited for, in this process neither
		join = c.flights.alone
	}
	var unread unreadable
	for again := range maxUnread + 1 {
		one := &sharing{shareSettings: s, client: c, key: key, caller: ctx, call: fetch, unread: unread}
		v, mine, err := join(bounded, flightKey{key: key, unread: unread.head}, one.lookOrFetch)
		if p, ok := err.(*PanicError); ok { // itself: one behind another error was raised where that one came from
			panic(p.Value)
		}
		if err != nil {
			if bounded.Err() != nil && ctx.Err() == nil && errors.Is(err, bounded.Err()) {
				return &HeldError{}
			}
			return err
		}
		err = decode(v.text)
		if err == nil || mine && v.fetched || again == maxUnread {
			return err
		}
		unread = unreadable{v.head, err}
	}
	return nil
}

// ShareReset has the next [Share] of that key fetch again. A fetch that is under way meanwhile is not stopped, and its
// value is kept.
func (c *Client) ShareReset(ctx context.Context, key string) error {
	err := c.mayLook(ctx, key, shareName)
	if err == nil {
		err = c.erase(ctx, shareName(key))
		c.flights.forget(key) // who asks from now on does not get what was looked up before
	}
	return wrapOp("share reset", key, err)
}

func shareName(key string) string { return "share:" + key }
