package lifetime

import (
	"context"
	"sync"
)

// Ties are the contexts that end with their owner, a lock or several, and with another context: one for all contexts that end
// together, which have one Done channel. So nothing grows however often With is asked for. A tie goes when either has ended.
type Ties struct {
	mu sync.Mutex
	of map[<-chan struct{}]context.Context
}

// With is ctx, but ends with the owner too, which is a context of package context that can be cancelled.
func (t *Ties) With(ctx, owner context.Context) context.Context {
	done := ctx.Done()
	if done == nil {
		return tied{owner, context.WithoutCancel(ctx)}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	tie := t.of[done]
	if tie == nil {
		tie, _ = Ending(ctx, owner)
		if t.of == nil {
			t.of = map[<-chan struct{}]context.Context{}
		}
		t.of[done] = tie
		context.AfterFunc(tie, func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			delete(t.of, done)
		})
	}
	return tied{tie, context.WithoutCancel(ctx)}
}

// tied is a context that ends as one does and has the values of another.
type tied struct {
	context.Context
	values context.Context
}

func (t tied) Value(key any) any {
	if value := t.values.Value(key); value != nil {
		return value
	}
	// The context may have values of its own, which are somebody else's: only itself is asked for, by package context, which ties
	// a child to it so.
	if self := t.Context.Value(key); self == any(t.Context) {
		return self
	}
	return nil
}

// Ending is ctx, but ends with the other too. The second result ends it before, and unties it from both.
func Ending(ctx, other context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if other.Err() != nil { // not a moment later
		cancel(context.Cause(other))
	}
	stop := context.AfterFunc(other, func() { cancel(context.Cause(other)) })
	context.AfterFunc(ctx, func() { stop() }) // a lock may be held for much longer than ctx lives
	return ctx, func() { cancel(nil) }
}
