package fence

import (
	"fmt"
	"net/http"

	"example.com/redislock"
)

// Transport sends the fences of a request's context along, each with the name of its lock ([All]): with a body under
// [redislock.Client.Do], and with a handler behind [Require], nothing else is to be done. A request that has the header
// already, or whose context has no fence, goes out as it is.
type Transport struct {
	// Base sends the requests; nil is [http.DefaultTransport].
	Base http.RoundTripper
	// Locks names the locks whose fences a request carries; nil means all that its context comes with. It is for contexts
	// with more than 32 locks, which are refused with [redislock.ErrInvalid], and for names that the other side must not see.
	Locks func(*http.Request) []string
}

// RoundTrip sends the request with the header.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get(Header) != "" {
		return t.base().RoundTrip(req)
	}
	fences := sendable(req, All(req.Context()), t.Locks)
	if len(fences) > maxSent {
		if req.Body != nil {
			_ = req.Body.Close() // a RoundTripper closes the body also after an error
		}
		return nil, fmt.Errorf("redislock: send fences: %w: %d locks, at most %d: name those that matter by Transport.Locks", redislock.ErrInvalid, len(fences), maxSent)
	}
	if len(fences) > 0 {
		req = req.Clone(req.Context()) // a RoundTripper does not change what it is given
		if req.Header == nil {
			req.Header = http.Header{}
		}
		for _, f := range fences {
			req.Header.Add(Header, format(f))
		}
	}
	return t.base().RoundTrip(req)
}

// CloseIdleConnections does so in the base, for [http.Client.CloseIdleConnections].
func (t *Transport) CloseIdleConnections() {
	if base, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

func (t *Transport) base() http.RoundTripper {
	if t.Base != nil {
		return t.Base
	}
	return http.DefaultTransport
}

// CheckResponse returns a [*StaleError], with the URL as the resource, if the response is the refusal of a stale fence as
// [Refuse] and [Middleware] write it. For any other response it returns nil. The body stays the caller's.
func CheckResponse(resp *http.Response) error {
	if resp.StatusCode != http.StatusConflict || resp.Header.Get(Header) == "" {
		return nil
	}
	stale := &StaleError{}
	var lock string
	if seen, ok := parse(resp.Header.Values(Header)); ok { // the status is enough; the number is for people
		lock, stale.Seen = seen[0].Lock, seen[0].Number
	}
	if resp.Request != nil {
		if sent, ok := parse(resp.Request.Header.Values(Header)); ok {
			if stale.Fence, ok = pick(sent, lock); !ok && len(sent) == 1 {
				stale.Fence = sent[0].Number
			}
		}
		if resp.Request.URL != nil {
			stale.Resource = resp.Request.URL.Redacted()
		}
	}
	return stale
}
