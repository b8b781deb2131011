package fence

import (
	"net/http"
	"strconv"
)

// Header carries a fence in a request, as a decimal number, and in the refusal of a stale one the greatest that was
// seen. It identifies a writer, it does not authenticate it: whoever may send requests may send any fence.
const Header = "Redislock-Fence"

// Transport sends the fence of a request's context along, as [FromContext] finds it: with a body under
// [redislock.Client.Do], and with a handler behind [Require], nothing else is to be done. A request that has the header
// already, or whose context has no fence, goes out as it is.
type Transport struct {
	// Base sends the requests; nil is [http.DefaultTransport].
	Base http.RoundTripper
}

// RoundTrip sends the request with the header.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if fence, ok := FromContext(req.Context()); ok && req.Header.Get(Header) == "" {
		req = req.Clone(req.Context()) // a RoundTripper does not change what it is given
		if req.Header == nil {
			req.Header = http.Header{}
		}
		req.Header.Set(Header, strconv.FormatInt(fence, 10))
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

// CheckResponse is a [*StaleError] if the response is the refusal of a stale fence, as [Refuse] and [Middleware] write
// it, with the URL for the resource; else nil, whatever the response says. The body stays the caller's.
func CheckResponse(resp *http.Response) error {
	if resp.StatusCode != http.StatusConflict || resp.Header.Get(Header) == "" {
		return nil
	}
	stale := &StaleError{}
	stale.Seen, _ = parse(resp.Header.Values(Header)) // the status says it all, the number is for people
	if resp.Request != nil {
		stale.Fence, _ = parse(resp.Request.Header.Values(Header))
		if resp.Request.URL != nil {
			stale.Resource = resp.Request.URL.Redacted()
		}
	}
	return stale
}

// parse reads the values of the header: one, of 1 to 19 digits, above 0.
func parse(values []string) (fence int64, ok bool) {
	if len(values) != 1 {
		return 0, false
	}
	for _, c := range values[0] {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	fence, err := strconv.ParseInt(values[0], 10, 64)
	return fence, err == nil && fence > 0
}
