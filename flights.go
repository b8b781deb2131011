package redislock

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// flights are the lookups, fetches and refreshes under way in this process, at most one of a kind.
type flights struct {
	mu  sync.Mutex
	all map[flightKey]*flight
}

// flightKey is what those who share a flight have in common.
type flightKey struct {
	key     string
	refresh bool
	unread  string // the head of a record that counts for nothing
}

// flight is one of them, and those who wait for it.
type flight struct {
	ctx    context.Context
	cancel context.CancelFunc
	landed chan struct{} // closed when there is a result
	result sharedValue
	err    error

	callers int // guarded by flights.mu
}

// callersEnd is the error of a fetch that came from the end of the context of the caller who began it. It is no answer for
// the others.
type callersEnd struct{ error }

// join has fn run once for all who ask for the same at the same time. Its context has the values of the caller who began it, and
// ends when all callers have gone. The second result is whether this caller began it.
func (f *flights) join(ctx context.Context, key flightKey, fn func(context.Context) (sharedValue, error)) (sharedValue, bool, error) {
	for {
		here, mine := f.board(ctx, key, fn)
		select {
		case <-here.landed:
		case <-ctx.Done():
			f.leave(key, here)
			return sharedValue{}, mine, ctx.Err()
		}
		f.leave(key, here)
		end, ok := here.err.(callersEnd)
		switch {
		case !ok:
			return here.result, mine, here.err
		case mine:
			return here.result, mine, end.error
		case ctx.Err() != nil:
			return sharedValue{}, mine, ctx.Err()
		}
	}
}

// board finds the flight or begins it.
func (f *flights) board(ctx context.Context, key flightKey, fn func(context.Context) (sharedValue, error)) (here *flight, began bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if here = f.all[key]; here != nil {
		here.callers++
		return here, false
	}
	here = newFlight(ctx)
	if f.all == nil {
		f.all = map[flightKey]*flight{}
	}
	f.all[key] = here
	go func() {
		defer close(here.landed)
		defer func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.remove(key, here)
		}()
		here.fly(fn)
	}()
	return here, true
}

// alone is join without anybody else.
func (f *flights) alone(ctx context.Context, _ flightKey, fn func(context.Context) (sharedValue, error)) (sharedValue, bool, error) {
	return (&flights{}).join(ctx, flightKey{}, fn)
}

func newFlight(ctx context.Context) *flight {
	here := &flight{callers: 1, landed: make(chan struct{})}
	here.ctx, here.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return here
}

// fly runs fn. A panic of what fn calls, such as an observer, is an error like one of the fetch.
func (f *flight) fly(fn func(context.Context) (sharedValue, error)) {
	defer f.cancel()
	defer func() {
		if p := recover(); p != nil {
			f.err = &PanicError{p, debug.Stack()}
		}
	}()
	f.err = errGoexit
	f.result, f.err = fn(f.ctx)
}

// leave ends a flight that nobody waits for any more. Whoever comes from then on begins another: nobody can board this one
// between the departure of its last caller and its end.
func (f *flights) leave(key flightKey, here *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if here.callers--; here.callers == 0 {
		f.remove(key, here)
		here.cancel()
	}
}

// remove takes a flight off the board. The caller holds f.mu.
func (f *flights) remove(key flightKey, here *flight) {
	if f.all[key] == here {
		delete(f.all, key)
	}
}

// forget has those who come from now on begin lookups of their own.
func (f *flights) forget(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k := range f.all {
		if k.key == key && !k.refresh {
			delete(f.all, k)
		}
	}
}

// PanicError is a panic of a fetch of [Share], for those who do not hear it themselves: the observer, where nobody waits
// for the fetch ([EventNotKept]), and later callers of the process, behind a [SharedError].
type PanicError struct {
	// Value is what was given to panic.
	Value any
	// Stack is that of the goroutine, as [debug.Stack] formats it.
	Stack []byte
}

// Error is the value and the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("%s\n\n%s", e.brief(), e.Stack) }

// Unwrap is the value, if that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

func (e *PanicError) brief() string { return fmt.Sprintf("panic: %v", e.Value) }

var (
	errGoexit  = errors.New("the fetch ended its goroutine")
	errIgnores = errors.New("the fetch goes on after its context has ended: its lock was given back")
)

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
		o := outcome{err: errGoexit}
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
