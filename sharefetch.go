package redislock

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/safetext"
	"example.com/redislock/internal/singleflight"
)

// sharing is one call of [Share] under way: what is done for all callers that share it.
type sharing struct {
	*shareSettings
	client *Client
	key    string
	caller context.Context                       // whose call it is
	call   func(context.Context) (string, error) // fetches the value and encodes it
	unread unreadable
}

// unreadable is a record that a caller could not decode, and the reason. The head is empty if there is no such record.
type unreadable struct {
	head string
	err  error
}

// sharedValue is a value as its codec wrote it.
type sharedValue struct {
	text    string
	head    string // of its record
	fetched bool   // fetched, not only looked up
}

// lookOrFetch returns the value, from the record or from a fetch.
func (s *sharing) lookOrFetch(ctx context.Context) (sharedValue, error) {
	served := func(rec record) bool {
		k := s.kept(rec)
		return k.Left > 0 || k.Failure != nil
	}
	rec, l, err := s.client.turn(ctx, shareName(s.key), served, s.lock)
	if err != nil {
		return sharedValue{}, err
	}
	if l != nil {
		return s.fetch(ctx, l, rec, false)
	}
	k := s.kept(rec)
	if k.Left == 0 {
		return sharedValue{}, s.failed(rec, k.Failure)
	}
	if k.Left <= s.stale && k.Failure == nil {
		s.refreshLater(ctx)
	}
	return sharedValue{text: k.Text, head: rec.head}, nil
}

// kept is the content of a record for this call. A value that the call cannot decode counts as none.
func (s *sharing) kept(rec record) protocol.Shared {
	k := protocol.ParseShared(rec.value, rec.left)
	if rec.head == s.unread.head {
		k.Left, k.Text = 0, ""
	}
	return k
}

// fetch makes the value under the lock, and keeps the value or its error. Beside an error the value in the record stays, for
// the callers that can use it.
func (s *sharing) fetch(ctx context.Context, l *Lock, rec record, background bool) (sharedValue, error) {
	c := s.client
	defer func() { _ = l.finish(ctx, true, 0) }() // also when a callback panics; if Redis does not answer, it goes on in the background
	tell := func(err error) { c.observe(s.notKept(l, err)) }
	late := func(err error) { c.report(s.notKept(l, err)) }
	if background { // on a goroutine of the Client's
		tell = late
	}
	if rec.exists() && rec.head == s.unread.head {
		tell(fmt.Errorf("the value that was kept cannot be decoded, and is fetched anew: %w", s.unread.err))
	}

	text, err := guarded(ctx, l.hold.lease.Length(), func() (string, error) { return s.call(l.within(ctx)) }, late)
	var unkept error
	switch loss := l.Err(); {
	case err == nil:
		unkept = c.record(ctx, l, 1, protocol.SharedValue(text), s.ttl+s.stale)
	case background && ctx.Err() != nil: // its time is over
		err = both(context.Cause(ctx), err)
		unkept = s.noteFailure(ctx, l, rec, err)
	case loss != nil: // the error says nothing about the value
		if ctx.Err() == nil && errors.Is(err, context.Canceled) { // none of the waiting callers has cancelled anything
			err = fmt.Errorf("%w: the fetch said: %v", loss, err)
		}
	case ctx.Err() != nil: // nor does this error: no caller waits any more
	case !background && s.caller.Err() != nil && errors.Is(err, s.caller.Err()):
		err = singleflight.CallersEnd{Err: err}
	default:
		unkept = s.noteFailure(ctx, l, rec, err)
	}
	switch _, panicked := err.(*PanicError); {
	case background && err != nil, ctx.Err() != nil && (panicked || err == errIgnores): // nobody else hears of it
		tell(both(err, unkept))
	case unkept != nil:
		tell(unkept)
	}
	return sharedValue{text: text, head: headOf(l, 1), fetched: true}, err
}

// refreshLater fetches an expired value in the background, unless another caller is doing so or has just failed.
func (s *sharing) refreshLater(ctx context.Context) {
	c, lock := s.client, shareName(s.key)
	fresh := func(rec record) bool {
		k := protocol.ParseShared(rec.value, rec.left)
		return k.Left > s.stale || k.Failure != nil
	}
	c.fetches.Begin(ctx, fetchKey{key: s.key, refresh: true}, func(ctx context.Context) (none sharedValue, err error) {
		c.background.Add()
		defer c.background.Done()
		defer func() { // nobody waits for this goroutine
			if p := recover(); p != nil {
				c.report(Event{Kind: EventNotKept, Name: lock, Err: &PanicError{p, debug.Stack()}})
			}
		}()
		ctx, cancel := context.WithTimeoutCause(ctx, s.refresh, fmt.Errorf("not refreshed within %v", s.refresh))
		defer cancel()
		rec, l, err := c.turn(ctx, lock, fresh, append(s.lock[:len(s.lock):len(s.lock)], WithWait(0)))
		if err == nil && l != nil { // otherwise somebody else refreshes it, or the next caller will
			_, err = s.fetch(ctx, l, rec, true)
		}
		return none, err
	})
}

func (s *sharing) notKept(l *Lock, err error) Event {
	return Event{Kind: EventNotKept, Name: l.Name(), Fence: l.Fence(), Err: err}
}

// errIgnores is the error of a fetch that Share does not wait for any more.
var errIgnores = errors.New("the fetch goes on after its context has ended: its lock was given back")

// guarded runs fn, and makes a panic or the end of its goroutine an error, because others wait for the result. If ctx has
// ended and fn does not return within the grace, guarded stops waiting for it; late then takes its panic.
func guarded(ctx context.Context, grace time.Duration, fn func() (string, error), late func(error)) (string, error) {
	type outcome struct {
		text string
		err  error
	}
	came := make(chan outcome, 1)
	var decided atomic.Bool
	go func() {
		o := outcome{err: singleflight.ErrGoexit}
		defer func() {
			if p := recover(); p != nil {
				o = outcome{err: &PanicError{p, debug.Stack()}}
			}
			if decided.CompareAndSwap(false, true) {
				came <- o
			} else if _, panicked := o.err.(*PanicError); panicked {
				late(o.err)
			}
		}()
		o.text, o.err = fn()
	}()
	select {
	case o := <-came:
		return o.text, o.err
	case <-ctx.Done():
	}
	patience := time.NewTimer(grace)
	defer patience.Stop()
	select {
	case o := <-came:
		return o.text, o.err
	case <-patience.C:
		if decided.CompareAndSwap(false, true) {
			return "", errIgnores
		}
		o := <-came
		return o.text, o.err
	}
}

// SharedError is the error of a fetch by another caller: an earlier one, or one in another process. In the process of the fetch
// [errors.Is] and [errors.As] find the error itself behind it. In other processes they find what [ErrorCodec] made of it; without
// a codec only its text gets there.
type SharedError struct {
	// Text is the text of the error.
	Text string
	// Owner is the Client that made the fetch.
	Owner Owner

	cause error
}

// Error is the text and the owner, on one line. Characters that cannot be shown are escaped, as by [Owner.String].
func (e *SharedError) Error() string {
	return fmt.Sprintf("fetched by %s: %s", e.Owner, safetext.Escape(e.Text))
}

// Unwrap is the error of the fetch if that is known, otherwise nil.
func (e *SharedError) Unwrap() error { return e.cause }

// ErrorCodec carries the error of a fetch to other processes ([WithErrorCodec]), beside its text. It must be the same
// wherever a key is shared.
type ErrorCodec interface {
	// MarshalError says in at most 4096 bytes what kind of error it is; a longer result is left out. An empty result means
	// that the text says everything.
	MarshalError(err error) []byte
	// UnmarshalError is the error that these bytes stand for, or nil if they say nothing. [SharedError] wraps it.
	UnmarshalError(data []byte) error
}

// maxErrorText bounds the text of an error, and the bytes that an ErrorCodec makes of it.
const maxErrorText = 4096

// noteFailure makes all callers get the error of a fetch for a while, instead of a fetch of their own. The value in the
// record keeps its time. If there was a record but it has gone meanwhile, nothing is written: a reset is not undone.
func (s *sharing) noteFailure(ctx context.Context, l *Lock, rec record, err error) error {
	if s.errorTTL == 0 {
		return nil
	}
	f := protocol.Failure{Owner: s.client.owner.info(), Text: sharedText(err)}
	if s.errors != nil {
		if code := s.errors.MarshalError(err); len(code) <= maxErrorText {
			f.Code = string(code)
		}
	}
	again := max(s.errorTTL, time.Millisecond)
	k := protocol.ParseShared(rec.value, rec.left)
	k.Left = max(0, k.Left-clock.Elapsed(rec.sent))
	text, life := protocol.SharedFailure(f, k, again)
	s.client.failures.remember(s.key, headOf(l, 1), err, again)
	if rec.exists() {
		return s.client.record(ctx, l, 1, text, life, rec.head)
	}
	return s.client.record(ctx, l, 1, text, life)
}

// sharedText is the text of an error as other callers get it.
func sharedText(err error) string {
	text := err.Error()
	if p, ok := errors.AsType[*PanicError](err); ok {
		text = p.brief()
	}
	text = strings.ToValidUTF8(text, "?")
	return text[:min(len(text), maxErrorText)]
}

// failed is the error of an earlier fetch.
func (s *sharing) failed(rec record, f *protocol.Failure) error {
	e := &SharedError{Text: f.Text, Owner: parseOwner(f.Owner), cause: s.client.failures.of(s.key, rec.head)}
	if e.cause == nil && s.errors != nil && f.Code != "" {
		e.cause = s.errors.UnmarshalError([]byte(f.Code))
	}
	return e
}

// failures are the errors of this process's own fetches, by key. Each is kept for as long as it is shared.
type failures struct {
	mu  sync.Mutex
	all map[string]ownFailure
}

type ownFailure struct {
	head string // of the record that tells others of it
	err  error
}

func (f *failures) remember(key, head string, err error, life time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = map[string]ownFailure{}
	}
	f.all[key] = ownFailure{head, err}
	time.AfterFunc(life+time.Second, func() { // a second for answers that are on their way
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.all[key].head == head {
			delete(f.all, key)
		}
	})
}

// of is the error that a record reports, or nil if that error is another process's.
func (f *failures) of(key, head string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if own := f.all[key]; own.head == head {
		return own.err
	}
	return nil
}

// PanicError is a panic of a fetch of [Share] as an error. The Observer gets it if no caller waits for the fetch
// ([EventNotKept]), and so do later callers in the process, behind a [SharedError].
type PanicError struct {
	// Value is the argument of panic.
	Value any
	// Stack is the stack of the goroutine, as [debug.Stack] formats it.
	Stack []byte
}

// Error is the value and the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("%s\n\n%s", e.brief(), e.Stack) }

// Unwrap is the value, if the value is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

func (e *PanicError) brief() string { return fmt.Sprintf("panic: %v", e.Value) }
