package redislock

import (
	"context"
	"sync"
)

// lifetime is how long something may be relied on, and the context that says so. The context is made when somebody asks
// for it: most locks are given back before anybody does. The zero value has begun.
type lifetime struct {
	mu    sync.Mutex
	cause error // why it ended; nil while it has not
	ctx   context.Context
	end   context.CancelCauseFunc
}

// context is the one that ends with it, made of its parent the first time.
func (t *lifetime) context(parent func() context.Context) context.Context {
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

// finish ends it. Of several causes the first counts.
func (t *lifetime) finish(cause error) {
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

// err is nil until it has ended, and why then.
func (t *lifetime) err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cause
}
