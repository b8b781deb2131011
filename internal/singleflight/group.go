// Package singleflight lets many callers of one process cause one call. A [Group] lets all callers that ask for the same at the
// same time wait for one call, and gives the result to each. A [Gate] lets them go one at a time, until the result of one counts
// for all.
//
// It differs from golang.org/x/sync/singleflight in the contexts: each caller waits under its own context, and the call ends when
// its last caller has gone.
package singleflight

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
)

// Group is the calls under way, at most one for a key. Panicked makes the error of a call that panicked; it must be set.
type Group[K comparable, V any] struct {
	Panicked func(value any, stack []byte) error

	mu    sync.Mutex
	calls map[K]*call[V]
}

// call is one call, and the callers that wait for it.
type call[V any] struct {
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // closed when there is a result
	result V
	err    error

	callers int // guarded by Group.mu
}

// CallersEnd is the error of a call that failed because the context of the caller that began it has ended. It is no answer for
// the others: they begin another.
type CallersEnd struct{ Err error }

// Error is that of the context.
func (e CallersEnd) Error() string { return e.Err.Error() }

// ErrGoexit is the error of a call that ended its goroutine.
var ErrGoexit = errors.New("the fetch ended its goroutine")

// Do runs fn once for all callers that ask for the same at the same time. The context of fn has the values of the caller that
// began the call, and ends when all callers have gone. The second result is whether this caller began it.
func (g *Group[K, V]) Do(ctx context.Context, key K, fn func(context.Context) (V, error)) (value V, mine bool, err error) {
	for {
		here, mine := g.join(ctx, key, fn)
		select {
		case <-here.done:
		case <-ctx.Done():
			g.leave(key, here)
			return value, mine, ctx.Err()
		}
		g.leave(key, here)
		end, ended := here.err.(CallersEnd)
		switch {
		case !ended:
			return here.result, mine, here.err
		case mine:
			return here.result, mine, end.Err
		case ctx.Err() != nil:
			return value, mine, ctx.Err()
		}
	}
}

// Alone is Do for a single caller, which shares the call with nobody.
func (g *Group[K, V]) Alone(ctx context.Context, key K, fn func(context.Context) (V, error)) (V, bool, error) {
	return (&Group[K, V]{Panicked: g.Panicked}).Do(ctx, key, fn)
}

// Begin has fn run unless a call for that key is under way, and waits for nothing. Its context does not end.
func (g *Group[K, V]) Begin(ctx context.Context, key K, fn func(context.Context) (V, error)) {
	g.join(ctx, key, fn)
}

// join finds the call for a key, or begins it.
func (g *Group[K, V]) join(ctx context.Context, key K, fn func(context.Context) (V, error)) (here *call[V], began bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if here = g.calls[key]; here != nil {
		here.callers++
		return here, false
	}
	here = &call[V]{callers: 1, done: make(chan struct{})}
	here.ctx, here.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if g.calls == nil {
		g.calls = map[K]*call[V]{}
	}
	g.calls[key] = here
	go func() {
		defer close(here.done)
		defer func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.remove(key, here)
		}()
		g.run(here, fn)
	}()
	return here, true
}

// run runs fn. A panic of a function that fn calls is an error, as a panic of fn is.
func (g *Group[K, V]) run(here *call[V], fn func(context.Context) (V, error)) {
	defer here.cancel()
	defer func() {
		if p := recover(); p != nil {
			here.err = g.Panicked(p, debug.Stack())
		}
	}()
	here.err = ErrGoexit
	here.result, here.err = fn(here.ctx)
}

// leave ends a call for which no caller waits any more. Later callers begin another call: none can join this one between the
// departure of its last caller and its end.
func (g *Group[K, V]) leave(key K, here *call[V]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if here.callers--; here.callers == 0 {
		g.remove(key, here)
		here.cancel()
	}
}

// remove takes a call out of the group. The caller holds g.mu.
func (g *Group[K, V]) remove(key K, here *call[V]) {
	if g.calls[key] == here {
		delete(g.calls, key)
	}
}

// Forget makes later callers begin calls of their own, for the keys that match.
func (g *Group[K, V]) Forget(match func(K) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for key := range g.calls {
		if match(key) {
			delete(g.calls, key)
		}
	}
}
