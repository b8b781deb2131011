package redislock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// MaxShared is the largest value of [Share], in bytes, as its codec writes it.
const MaxShared = 1 << 20

// maxUnread is how often one call fetches a value anew that it cannot decode.
const maxUnread = 2

// ErrTooLarge says that a value has more than [MaxShared] bytes and so is not shared.
var ErrTooLarge = errors.New("value too large to be shared")

// Share returns the value of a key that many callers in many processes ask for: one of them fetches it by fn, and all get it.
// Redis keeps the value for ttl after the fetch, from 1 ms to ten years, and each call in that time costs one round trip. The
// callers of one process share that round trip and the fetch. Callers in other processes wait in the queue of the lock
// "share:key", and are told by push when the value is there. If the fetcher dies, the next caller fetches when its lease is
// over.
//
// The context of fn has the values of the first caller's context. It ends when all callers of this process have gone, when
// the lock is lost, or when the Client is closed. So a caller that gives up does not take the value from the others. Each
// caller gets a value of its own, decoded from what the codec wrote. A value that cannot be decoded, for instance because its
// type has changed since, does not count: it is fetched anew, and the Observer is told ([EventNotKept]). So give the key
// another name when you change the type, or two versions of a program fetch in turn. A panic of fn is raised in each caller
// that waits. If fn does not return within one lease ([WithLease]) after all callers of this process have gone, it goes on
// without the lock. The lock is given back, and what fn fetches is not kept.
//
// The callers that wait in the process of fn get its error as it is. All others get it as a [SharedError], for the time of
// [WithErrorTTL]. If fn failed only because its callers went away, nobody else gets that error. A value of more than
// [MaxShared] bytes is [ErrTooLarge]. The other errors are those of [Client.Acquire], with [ErrDeadlock] for a fn that asks
// for its own key. A value that was fetched but could not be kept is returned, and the Observer is told ([EventNotKept]).
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

// share passes the value to decode. The value is looked up or fetched together with all callers that ask in this process.
func (c *Client) share(ctx context.Context, key string, s *shareSettings, fetch func(context.Context) (string, error), decode func(string) error) error {
	bounded, cancel := s.given.bounded(ctx) // this caller's own: it does not end the wait of the other callers
	defer cancel()
	join := c.fetches.Do
	if s.given.waitSet && s.given.wait == 0 { // the caller waits for nobody else's fetch, not even in this process
		join = c.fetches.Alone
	}
	var unread unreadable
	for again := range maxUnread + 1 {
		one := &sharing{shareSettings: s, client: c, key: key, caller: ctx, call: fetch, unread: unread}
		v, mine, err := join(bounded, fetchKey{key: key, unread: unread.head}, one.lookOrFetch)
		if p, ok := err.(*PanicError); ok { // only the panic itself; one behind another error was raised where that error came from
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

// ShareReset makes the next [Share] of that key fetch again. It does not stop a fetch that is under way, and the value of that
// fetch is kept.
func (c *Client) ShareReset(ctx context.Context, key string) error {
	err := c.mayLook(ctx, key, shareName)
	if err == nil {
		err = c.erase(ctx, shareName(key))
		c.fetches.Forget(func(k fetchKey) bool { return k.key == key && !k.refresh }) // a later caller does not get what was looked up before
	}
	return wrapOp("share reset", key, err)
}

func shareName(key string) string { return "share:" + key }

const (
	// DefaultErrorTTL is how long the error of a fetch is shared, unless [WithErrorTTL] sets it.
	DefaultErrorTTL = time.Second
	// DefaultRefreshTimeout is how long a refresh in the background may take, unless [WithRefreshTimeout] sets it.
	DefaultRefreshTimeout = time.Minute
)

// Codec turns values into bytes and back. It must be the same wherever a key is shared.
type Codec interface {
	Marshal(v any) ([]byte, error)
	Unmarshal(data []byte, v any) error
}

// jsonCodec is the default.
type jsonCodec struct{}

func (jsonCodec) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (jsonCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

// ShareOption shapes a [Share]. Every [Option] is a ShareOption too, for the lock that is held during the fetch: [WithLease]
// sets how long the others wait if the fetcher dies, and [WithWait] how long this caller waits. Of the Client's defaults,
// lease, metadata and replicas count.
type ShareOption interface{ applyShare(*shareSettings) error }

type shareSettings struct {
	ttl, stale, errorTTL, refresh time.Duration
	codec                         Codec
	errors                        ErrorCodec // nil: none
	lock                          []Option
	given                         settings // what these options set together
}

type shareOption func(*shareSettings) error

func (o shareOption) applyShare(s *shareSettings) error { return o(s) }

func (o Option) applyShare(s *shareSettings) error {
	s.lock = append(s.lock, o)
	return nil
}

// WithStale lets Share serve a value for d after its ttl, while one caller of the fleet refreshes it in the background. No
// caller waits then. The function goes on after its caller has returned, so it must not use anything that ends with that
// caller. It has the time of [WithRefreshTimeout]. If a refresh fails or panics, the old value stays, the Observer is told
// ([EventNotKept]), and nobody repeats the refresh for [WithErrorTTL]. If the old value's time ends meanwhile, callers get
// the error. Give the same d wherever the key is shared. Without this option callers wait while a value that is over is
// fetched.
func WithStale(d time.Duration) ShareOption {
	return shareOption(func(s *shareSettings) error {
		if d < 0 || d > maxLife {
			return invalid("WithStale(%v): must be from 0 to %v", d, maxLife)
		}
		s.stale = d
		return nil
	})
}

// WithErrorTTL sets how long all callers get the error of a fetch in place of a fetch of their own. The default is
// [DefaultErrorTTL], the longest time is a minute. With 0 only the callers of the same process that waited for the fetch get
// its error, and the next process tries by itself.
func WithErrorTTL(d time.Duration) ShareOption {
	return shareOption(func(s *shareSettings) error {
		if d < 0 || d > time.Minute {
			return invalid("WithErrorTTL(%v): must be from 0 to %v", d, time.Minute)
		}
		s.errorTTL = d
		return nil
	})
}

// WithRefreshTimeout sets how long a refresh in the background ([WithStale]) may take, from 1 ms to [MaxLease]. The default
// is [DefaultRefreshTimeout]. After that time the context of the function ends, and the refresh has failed. If the function
// does not return within one lease ([WithLease]) from then on, it goes on without the lock. The lock is given back, so others
// may refresh, and what the function fetches is not kept. A fetch that callers wait for has no such bound: it ends when they
// have gone.
func WithRefreshTimeout(d time.Duration) ShareOption {
	return shareOption(func(s *shareSettings) error {
		if d < time.Millisecond || d > MaxLease {
			return invalid("WithRefreshTimeout(%v): must be from 1ms to %v", d, MaxLease)
		}
		s.refresh = d
		return nil
	})
}

// WithErrorCodec sets how the error of a fetch is sent to other processes, so that they can tell errors apart by more than
// their text. By default only the text is sent. See [ErrorCodec].
func WithErrorCodec(codec ErrorCodec) ShareOption {
	return shareOption(func(s *shareSettings) error {
		if codec == nil {
			return invalid("WithErrorCodec(nil)")
		}
		s.errors = codec
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

func (c *Client) shareSettings(ctx context.Context, key string, ttl time.Duration, opts []ShareOption) (*shareSettings, error) {
	s := &shareSettings{ttl: ttl, errorTTL: DefaultErrorTTL, refresh: DefaultRefreshTimeout, codec: jsonCodec{}}
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
	var err error
	s.given, _, err = c.mayTurn(ctx, shareName(key), s.lock)
	if s.given.wait > 0 { // each caller waits for itself
		s.lock = append(s.lock[:len(s.lock):len(s.lock)], patiently)
	}
	return s, err
}

// fetchKey is what the callers have in common that share a lookup, a fetch or a refresh.
type fetchKey struct {
	key     string
	refresh bool
	unread  string // the head of a record that does not count
}
