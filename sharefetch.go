package redislock

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"example.com/redislock/internal/singleflight"
)

// sharing is one call of [Share] on its way: what its flight does.
type sharing struct {
	*shareSettings
	client *Client
	key    string
	caller context.Context                       // whose call it is
	call   func(context.Context) (string, error) // fetches the value and encodes it
	unread unreadable
}

// unreadable is a record that a caller could not decode, and why. The head is empty if there is none.
type unreadable struct {
	head string
	err  error
}

// sharedValue is a value as its codec wrote it.
type sharedValue struct {
	text    string
	head    string // of its record
	fetched bool   // and not only looked up
}

// lookOrFetch is the value, by the record or by a fetch.
func (s *sharing) lookOrFetch(ctx context.Context) (sharedValue, error) {
	served := func(rec record) bool {
		k := s.kept(rec)
		return k.left > 0 || k.failure != nil
	}
	rec, l, err := s.client.turn(ctx, shareName(s.key), served, s.lock)
	if err != nil {
		return sharedValue{}, err
	}
	if l != nil {
		return s.fetch(ctx, l, rec, false)
	}
	k := s.kept(rec)
	if k.left == 0 {
		return sharedValue{}, s.failed(rec, k.failure)
	}
	if k.left <= s.stale && k.failure == nil {
		s.refreshLater(ctx)
	}
	return sharedValue{text: k.text, head: rec.head}, nil
}

// kept is what a record says to this call: a value that it cannot decode is none.
func (s *sharing) kept(rec record) kept {
	k := keptIn(rec)
	if rec.head == s.unread.head {
		k.left, k.text = 0, ""
	}
	return k
}

// fetch makes the value under the lock and keeps it, or its error. Beside an error the value stays that is in the record, for
// those who can use it.
func (s *sharing) fetch(ctx context.Context, l *Lock, rec record, background bool) (sharedValue, error) {
	c := s.client
	defer func() { _ = l.finish(ctx, true, 0) }() // also when a callback panics; goes on in the background where Redis does not answer
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
		unkept = c.note(ctx, l, 1, keptValue+text, s.ttl+s.stale)
	case background && ctx.Err() != nil: // its time is over
		err = errors.Join(context.Cause(ctx), err)
		unkept = s.noteFailure(ctx, l, rec, err)
	case loss != nil: // it says nothing about the value
		if ctx.Err() == nil && errors.Is(err, context.Canceled) { // nobody who waits has cancelled anything
			err = fmt.Errorf("%w: the fetch said: %v", loss, err)
		}
	case ctx.Err() != nil: // nor does this: nobody waits any more
	case !background && s.caller.Err() != nil && errors.Is(err, s.caller.Err()):
		err = singleflight.CallersEnd{Err: err}
	default:
		unkept = s.noteFailure(ctx, l, rec, err)
	}
	switch _, panicked := err.(*PanicError); {
	case background && err != nil, ctx.Err() != nil && (panicked || err == errIgnores): // nobody else hears of it
		tell(errors.Join(err, unkept))
	case unkept != nil:
		tell(unkept)
	}
	return sharedValue{text: text, head: headOf(l, 1), fetched: true}, err
}

// refreshLater fetches a value that is over in the background, unless somebody is at it or has just failed.
func (s *sharing) refreshLater(ctx context.Context) {
	c, lock := s.client, shareName(s.key)
	fresh := func(rec record) bool {
		k := keptIn(rec)
		return k.left > s.stale || k.failure != nil
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
		if err == nil && l != nil { // else somebody is at it, or the next caller will see
			_, err = s.fetch(ctx, l, rec, true)
		}
		return none, err
	})
}

func (s *sharing) notKept(l *Lock, err error) Event {
	return Event{Kind: EventNotKept, Name: l.Name(), Fence: l.Fence(), Err: err}
}

// errIgnores is the error of a fetch that is not waited for any more.
var errIgnores = errors.New("the fetch goes on after its context has ended: its lock was given back")

// guarded runs fn so that a panic, or the end of its goroutine, is an error: others wait for what comes of it. Where ctx has
// ended and fn does not return within the grace, it is not waited for any more; late takes its panic then.
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
