package fence

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"example.com/redislock"
)

// Register is what [Middleware] asks: a [*Memory], a [*Redis], or one of your own. Accept returns nil for a fence that is not
// smaller than any it has accepted for that resource, and remembers the fence. It returns an [ErrStale] for a smaller fence, and
// any other error if it cannot compare.
type Register interface {
	Accept(ctx context.Context, resource string, fence int64) error
}

// Require lets requests through that have a fence in [Header], with all that they have in their context ([Of]), and
// checks nothing else: that is for the handler to do, in the transaction in which it writes. A request without the
// header is answered with 428 Precondition Required (RFC 6585, section 3), one with a header that is not a list of fences, with
// 400 Bad Request: also if a number is one that no lock can have ([Validate]), or two are of one lock.
func Require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		values := r.Header.Values(Header)
		if len(values) == 0 {
			http.Error(w, "a fence is required: take the lock, and send its fence in "+Header, http.StatusPreconditionRequired)
			return
		}
		fences, ok := parse(values)
		if !ok {
			http.Error(w, Header+" must have fences: decimal numbers above 0, each with the name of its lock", http.StatusBadRequest)
			return
		}
		next.ServeHTTP(w, r.WithContext(NewContextOf(r.Context(), fences...)))
	})
}

// Middleware is [Require], and refuses a request whose fence is stale by what register says of the resource: with 409 Conflict,
// as [Refuse] does. resource is the name of the lock that guards what the request writes, and by that name the register knows it.
// The fence of that very lock is checked, and it is the one that [FromContext] has in the handler; a request that has only fences
// of other locks is answered with 428 Precondition Required. A fence that came without a name counts for every resource. A
// resource that cannot be, such as the empty one, is answered with 400 Bad Request. If the register cannot compare, the answer is
// 503 Service Unavailable and the handler is not run. Use a register that reports the error to the operators.
//
// The check in front of the handler is not one step with what the handler writes. A request that was let through may be held up
// in the handler while a later holder's request is let through and writes; then it writes over that. This can happen in any
// server in which two requests for a resource can be under way at the same time. So Middleware refuses most late writers early
// and cheaply. To refuse all of them, check the fence again with the write: by [Memory.Do], [Redis.Set] or package sqlfence, with
// the fence of [FromContext], and answer with [Refuse]. With that, [Require] is enough in front.
func Middleware(register Register, resource func(*http.Request) string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			name := resource(r)
			if checkResource(name) != nil {
				http.Error(w, "this cannot be fenced", http.StatusBadRequest)
				return
			}
			number, ok := Of(r.Context(), name)
			if !ok {
				http.Error(w, "the fence of the lock "+strconv.Quote(name)+" is required in "+Header, http.StatusPreconditionRequired)
				return
			}
			switch err := register.Accept(r.Context(), name, number); {
			case err == nil:
				next.ServeHTTP(w, r.WithContext(NewContextOf(r.Context(), Fence{name, number})))
			case Refuse(w, err):
			case errors.Is(err, redislock.ErrInvalid):
				http.Error(w, "this cannot be fenced", http.StatusBadRequest)
			default:
				http.Error(w, "the fence could not be checked", http.StatusServiceUnavailable)
			}
		}))
	}
}

// Refuse answers a request whose write failed with [ErrStale], and reports whether it did: for another error, and for
// nil, it writes nothing and the answer is false. [CheckResponse] is the other side of it.
//
// The status is 409 Conflict (RFC 9110, section 15.5.10): the request conflicts with the state of the resource, which
// has seen a later holder. 412 Precondition Failed would say that a condition such as If-Match was false (section
// 15.5.13), and clients that know it fetch the resource anew and send their write again, which one who is late must not.
func Refuse(w http.ResponseWriter, err error) bool {
	if !errors.Is(err, ErrStale) {
		return false
	}
	var seen Fence
	if stale, ok := errors.AsType[*StaleError](err); ok {
		seen = Fence{stale.Resource, stale.Seen}
	}
	w.Header().Set(Header, format(seen))
	http.Error(w, "the fence is stale: a later holder has the lock, or had it", http.StatusConflict)
	return true
}
