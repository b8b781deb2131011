// Package lifetime has contexts that end when something may not be relied on any more: a context that is made when it is first
// asked for, and contexts that end with a lock or with another context. Nothing of it grows with use.
package lifetime

import (
	"context"
	"sync"
)

// Lifetime is how long something may be relied on, and the context that says so. The context is made when it is first asked for:
// most locks are given back before that. The zero value has begun.
type Lifetime struct {
	mu    sync.Mutex
	cause error // why it ended; nil while it has not
	ctx   context.Context
	end   context.CancelCauseFunc
}

// Context is the one that ends with it, made of its parent the first time.
func (t *Lifetime) Context(parent func() context.Context) context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx == nil {
		from := parent()
		if t.cause != nil { // whatever ended since is not why
			from = context.WithoutCancel(from)
		}
		t.ctx, t.end = context.WithCancelCause(from)
		if t.cause != nil {
			t.end(t.cause)
		}
	}
	return t.ctx
}

// Finish ends it. Of several causes the first counts.
func (t *Lifetime) Finish(cause error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cause != nil {
		return
	}
	t.cause = cause
	if t.end != nil {
		t.end(cause)
	}
}

// Err is nil until it has ended, and why then.
func (t *Lifetime) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cause
}
