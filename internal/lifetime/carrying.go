package lifetime

import "context"

// Carrying is a context that ends as one does and has the values of another one before its own. Those values come from a context without
// cancellation, so a child is tied to the first context: the call that ends the first ends the child too.
func Carrying(ctx, values context.Context) context.Context { return carrying{ctx, values} }

type carrying struct {
	context.Context
	values context.Context
}

func (c carrying) Value(key any) any {
	if value := c.values.Value(key); value != nil {
		return value
	}
	return c.Context.Value(key)
}

// Ended is a context that has ended for that reason.
func Ended(cause error) context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	return ctx
}
