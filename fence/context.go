package fence

import (
	"context"
	"slices"

	"example.com/redislock"
)

// Fence is the number of a grant, and the name of the lock that it is of.
type Fence struct {
	// Lock is the name of the lock. It is empty if the sender of the number did not name the lock: then the fence counts for
	// every resource.
	Lock string
	// Number is what [redislock.Lock.Fence] is.
	Number int64
}

// carried are fences in a context that came from elsewhere.
type carried struct {
	fences []Fence
	locks  []*redislock.Lock // the locks of ctx at the time of NewContextOf: they are further out
	outer  *carried
}

type carriedKey struct{}

// NewContext is ctx with a fence that came from elsewhere, by a message or an environment variable for instance, without the name
// of its lock. It counts for every resource. If the name is known, use [NewContextOf].
func NewContext(ctx context.Context, fence int64) context.Context {
	return NewContextOf(ctx, Fence{Number: fence})
}

// NewContextOf is ctx with fences that came from elsewhere. [Require] and [Middleware] do this for HTTP.
func NewContextOf(ctx context.Context, fences ...Fence) context.Context {
	outer, _ := ctx.Value(carriedKey{}).(*carried)
	return context.WithValue(ctx, carriedKey{}, &carried{slices.Clone(fences), redislock.LocksFromContext(ctx), outer})
}

// All returns every fence in ctx, the innermost first: those of its locks ([redislock.LocksFromContext]), and those that
// [NewContextOf] put there. Of several of one lock only the innermost is among them. It is for code that sends them on.
func All(ctx context.Context) []Fence {
	var all []Fence
	add := func(fences ...Fence) {
		for _, f := range fences {
			if !slices.ContainsFunc(all, func(known Fence) bool { return known.Lock == f.Lock }) {
				all = append(all, f)
			}
		}
	}
	came, _ := ctx.Value(carriedKey{}).(*carried)
	for _, lock := range redislock.LocksFromContext(ctx) {
		for ; came != nil && slices.Contains(came.locks, lock); came = came.outer {
			add(came.fences...)
		}
		add(Fence{lock.Name(), lock.Fence()})
	}
	for ; came != nil; came = came.outer {
		add(came.fences...)
	}
	return all
}

// Of is the fence of the lock of that name that ctx comes with, by a lock or by [NewContextOf], whichever is further in. If there
// is none, it is the fence that came without a name, if there is one. Without either the answer is false.
//
// This is the fence to write with: the innermost lock of a context need not be the one that guards the resource.
func Of(ctx context.Context, lock string) (int64, bool) {
	return pick(All(ctx), lock)
}

// pick returns the fence of that lock, or else the one without a name.
func pick(fences []Fence, lock string) (number int64, ok bool) {
	for _, f := range fences {
		if f.Lock == lock {
			return f.Number, true
		}
		if f.Lock == "" {
			number, ok = f.Number, true
		}
	}
	return number, ok
}

// FromContext is the innermost fence of ctx: that of the innermost lock ([redislock.FromContext]), or the one that [NewContextOf]
// put there, whichever is further in. The result is false without either, and if several came together, so that none is the
// innermost. It does not say which lock the fence is of: where locks are nested, use [Of].
func FromContext(ctx context.Context) (int64, bool) {
	locks := redislock.LocksFromContext(ctx)
	came, _ := ctx.Value(carriedKey{}).(*carried)
	if came != nil && (len(locks) == 0 || slices.Contains(came.locks, locks[0])) {
		if len(came.fences) != 1 {
			return 0, false
		}
		return came.fences[0].Number, true
	}
	lock, held := redislock.FromContext(ctx)
	if !held {
		return 0, false
	}
	return lock.Fence(), true
}
