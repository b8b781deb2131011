package redislock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// MaxShared is the largest value of [Share] as its codec writes it, in bytes.
	MaxShared = 1 << 20
	// DefaultErrorTTL is how long the error of a fetch is shared unless [WithErrorTTL] says otherwise.
	DefaultErrorTTL = time.Second

	maxErrorText = 4096
	// The first byte of a shared record.
	sharedValue, sharedError = "v", "e"
)

// ErrTooLarge says that a value has more than [MaxShared] bytes, and so is not shared.
var ErrTooLarge = errors.New("value too large to be shared")

// SharedError is the error of a fetch in another process. Only its text gets here: errors.Is does not know it.
type SharedError struct {
	// Text is what the error said there.
	Text string
	// Owner is whose fetch it was.
	Owner Owner
}

// Error is the text, and who said it.
func (e *SharedError) Error() string { return fmt.Sprintf("fetched by %s: %s", e.Owner, e.Text) }

// Codec turns values into bytes and back. It must be the same wherever a key is shared.
type Codec interface {
	Marshal(v any) ([]byte, error)
	Unmarshal(data []byte, v any) error
}

// jsonCodec is the default.
type jsonCodec struct{}

func (jsonCodec) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (jsonCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

// ShareOption shapes a [Share]. Every [Option] is one too, for the lock that is held during the fetch: [WithLease] says
// how long the others wait if the fetcher dies, [WithWait] how long this caller waits. Of the Client's defaults lease,
// metadata and replicas count.
type ShareOption interface{ applyShare(*shareSettings) error }

type shareSettings struct {
	ttl, stale, errorTTL time.Duration
	codec                Codec
	lock                 []Option

	wait    time.Duration
	waitSet bool
}

type shareOption func(*shareSettings) error

func (o shareOption) applyShare(s *shareSettings) error { return o(s) }

func (o Option) applyShare(s *shareSettings) error {
	s.lock = append(s.lock, o)
	return nil
}

// WithStale lets a value be served for d after its ttl, while one caller of the fleet refreshes it in the background: no
// caller waits then, and the function goes on after its caller has returned: it must not use what ends with that one. A
// refresh that fails leaves the old value in its place, and is not repeated for [WithErrorTTL].
// Give the same d wherever the key is shared. Without it a value that is over is fetched while its callers wait.
func WithStale(d time.Duration) ShareOption {
	return shareOption(func(s *shareSettings) error {
		if d < 0 || d > maxLife {
			return invalid("WithStale(%v): must be from 0 to %v", d, maxLife)
		}
		s.stale = d
		return nil
	})
}

// WithErrorTTL sets for how long the error of a fetch is given to all who ask, in place of a fetch of their own; the
// default is [DefaultErrorTTL]. With 0 only the callers of the same process that waited for it get it, and the next
// process tries by itself. It is at most a minute.
func WithErrorTTL(d time.Duration) ShareOption {
	return shareOption(func(s *shareSettings) error {
		if d < 0 || d > time.Minute {
			return invalid("WithErrorTTL(%v): must be from 0 to %v", d, time.Minute)
		}
		s.errorTTL = d
		return nil
	})
}

// WithCodec sets how values are written; the default is JSON.
func WithCodec(codec Codec) ShareOption {
	return shareOption(func(s *shareSettings) error {
		if codec == nil {
			return invalid("WithCodec(nil)")
		}
		s.codec = codec
		return nil
	})
}

// Share is the value of a key that many callers in many processes ask for: one of them fetches it by fn, all get it. It
// is kept in Redis for ttl after the fetch, from 1 ms to ten years, and each call in that time costs one round trip.
// Callers of one process share that round trip and the fetch; those of other processes wait in the queue of the lock
// "share:key", and are told by push when it is there. If the fetcher dies, the next one fetches when its lease is over.
//
// fn runs with a context that has the values of the first caller's, and ends when all callers of this process have gone,
// when the lock is lost or when the Client is closed: a caller that gives up does not take the value from the others. Each
// caller gets a value of its own, decoded from what the codec wrote. A panic of fn is raised in each caller that waits.
//
// The error of fn goes to the callers of its process as it is, and to others as a [SharedError], for the time of
// [WithErrorTTL]; that its callers went away is nobody else's error. A value of more than [MaxShared] bytes is
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
	text, err := c.share(ctx, key, s, func(ctx context.Context) (string, error) {
		v, err := fn(ctx)
		if err != nil {
			return "", err
		}
		data, err := s.codec.Marshal(v)
		if err == nil && len(data) > MaxShared {
			err = fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(data), MaxShared)
		}
		return string(data), err
	})
	if err == nil {
		err = s.codec.Unmarshal([]byte(text), &value)
	}
	return value, wrapOp("share", key, err)
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

func (c *Client) shareSettings(ctx context.Context, key string, ttl time.Duration, opts []ShareOption) (*shareSettings, error) {
	s := &shareSettings{ttl: ttl, errorTTL: DefaultErrorTTL, codec: jsonCodec{}}
	if ttl < time.Millisecond || ttl > maxLife {
		return nil, invalid("a ttl of %v: must be from 1ms to %v", ttl, maxLife)
	}
	for _, o := range opts {
		if o == nil {
			return nil, invalid("a nil option")
		}
		if err := o.applyShare(s); err != nil {
			return nil, err
		}
	}
	if err := checkDerived(key, shareName); err != nil {
		return nil, err
	}
	given, _, err := c.mayTurn(ctx, shareName(key), s.lock)
	s.wait, s.waitSet = given.wait, given.waitSet
	if s.wait > 0 { // each caller waits for itself
		s.lock = append(s.lock[:len(s.lock):len(s.lock)], patiently)
	}
	return s, err
}

// share is the text of a value, looked up or fetched together with all who ask in this process.
func (c *Client) share(ctx context.Context, key string, s *shareSettings, fetch func(context.Context) (string, error)) (string, error) {
	bounded := ctx
	if s.waitSet && s.wait > 0 { // this caller's own: it does not end the wait of those who wait with it
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeout(ctx, s.wait)
		defer cancel()
	}
	join := c.flights.join
	if s.waitSet && s.wait == 0 { // nobody else's fetch is waited for, in this process neither
		join = alone
	}
	text, err := join(bounded, key, func(ctx context.Context) (string, error) {
		return c.lookOrFetch(ctx, key, s, fetch)
	})
	if p, ok := errors.AsType[*panicked](err); ok {
		panic(p.value)
	}
	if bounded.Err() != nil && ctx.Err() == nil && errors.Is(err, bounded.Err()) {
		return "", &HeldError{}
	}
	return text, err
}

// lookOrFetch is the text of a value, by the record or the fetch.
func (c *Client) lookOrFetch(ctx context.Context, key string, s *shareSettings, fetch func(context.Context) (string, error)) (string, error) {
	rec, l, err := c.turn(ctx, shareName(key), record.exists, s.lock)
	if err != nil {
		return "", err
	}
	if l != nil {
		return c.fetch(ctx, l, s, fetch)
	}
	if text, ok := strings.CutPrefix(rec.value, sharedError); ok {
		info, text, _ := strings.Cut(text, "\x00")
		return "", &SharedError{Text: text, Owner: parseOwner(info)}
	}
	if rec.left <= s.stale {
		c.refresh(ctx, key, s, fetch)
	}
	return strings.TrimPrefix(rec.value, sharedValue), nil
}

// fetch makes the value under the lock and keeps it, or its error.
func (c *Client) fetch(ctx context.Context, l *Lock, s *shareSettings, fetch func(context.Context) (string, error)) (string, error) {
	text, err := guarded(l.within(ctx), fetch)
	var keep string
	var life time.Duration
	switch {
	case err == nil:
		keep, life = sharedValue+text, s.ttl+s.stale
	case ctx.Err() == nil && l.Err() == nil: // else it says nothing about the value
		said := strings.ToValidUTF8(err.Error(), "?")
		keep, life = sharedError+c.owner.info()+"\x00"+said[:min(len(said), maxErrorText)], s.errorTTL
	}
	if life > 0 {
		if err := c.note(ctx, l, 1, keep, life); err != nil {
			c.observe(Event{Kind: EventNotKept, Name: l.Name(), Fence: l.Fence(), Err: err})
		}
	}
	_ = l.finish(ctx, true, 0) // goes on in the background where Redis does not answer
	return text, err
}

// refresh fetches a value that is over, in the background, unless somebody is at it. The lock is held on after a fetch
// that failed, so that nobody tries at once again.
func (c *Client) refresh(ctx context.Context, key string, s *shareSettings, fetch func(context.Context) (string, error)) {
	ctx = context.WithoutCancel(ctx)
	lock := shareName(key)
	fresh := func(rec record) bool { return rec.left > s.stale }
	c.flights.group.DoChan(refreshFlight+key, func() (any, error) {
		c.background.add()
		defer c.background.done()
		_, l, err := c.turn(ctx, lock, fresh, append(s.lock[:len(s.lock):len(s.lock)], WithWait(0)))
		if err != nil || l == nil {
			return nil, nil // somebody is at it, or the next caller will see
		}
		text, err := guarded(l.within(ctx), fetch)
		if err == nil {
			err = c.note(ctx, l, 1, sharedValue+text, s.ttl+s.stale)
		}
		if err == nil {
			_ = l.finish(ctx, true, 0)
			return nil, nil
		}
		c.observe(Event{Kind: EventNotKept, Name: lock, Fence: l.Fence(), Err: err})
		_ = l.finish(ctx, true, s.errorTTL)
		return nil, nil
	})
}
