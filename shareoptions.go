package redislock

import (
	"context"
	"encoding/json"
	"time"
)

const (
	// DefaultErrorTTL is how long the error of a fetch is shared unless [WithErrorTTL] says otherwise.
	DefaultErrorTTL = time.Second
	// DefaultRefreshTimeout is how long a refresh in the background may take unless [WithRefreshTimeout] says otherwise.
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

// ShareOption shapes a [Share]. Every [Option] is one too, for the lock that is held during the fetch: [WithLease] says
// how long the others wait if the fetcher dies, [WithWait] how long this caller waits. Of the Client's defaults lease,
// metadata and replicas count.
type ShareOption interface{ applyShare(*shareSettings) error }

type shareSettings struct {
	ttl, stale, errorTTL, refresh time.Duration
	codec                         Codec
	errors                        ErrorCodec // nil: none
	lock                          []Option
	given                         settings // what those come to
}

type shareOption func(*shareSettings) error

func (o shareOption) applyShare(s *shareSettings) error { return o(s) }

func (o Option) applyShare(s *shareSettings) error {
	s.lock = append(s.lock, o)
	return nil
}

// WithStale lets a value be served for d after its ttl, while one caller of the fleet refreshes it in the background: no
// caller waits then, and the function goes on after its caller has returned: it must not use what ends with that one. It has
// the time of [WithRefreshTimeout]. A refresh that fails or panics leaves the old value in its place, is told to the observer
// ([EventNotKept]), and is not repeated for [WithErrorTTL]; if the old value's time ends meanwhile, callers get the error.
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

// WithRefreshTimeout sets how long a refresh in the background ([WithStale]) may take, from 1 ms to [MaxLease]; the default is
// [DefaultRefreshTimeout]. After it the context of the function ends, and the refresh has failed. A function that does not
// return within one lease ([WithLease]) from then on goes on without the lock, which is given back: others may refresh, and
// what it fetches is not kept. A fetch that callers wait for has no such bound: it ends when they have gone.
func WithRefreshTimeout(d time.Duration) ShareOption {
	return shareOption(func(s *shareSettings) error {
		if d < time.Millisecond || d > MaxLease {
			return invalid("WithRefreshTimeout(%v): must be from 1ms to %v", d, MaxLease)
		}
		s.refresh = d
		return nil
	})
}

// WithErrorCodec sets how the error of a fetch travels to other processes, so that they can tell errors apart by more than
// their text; the default is by the text alone. See [ErrorCodec].
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
