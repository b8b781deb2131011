package redislock

import "context"

// A call without a context, and one of a value that nothing of this package has made, are answered like any other that cannot
// work: with ErrInvalid where there is an error, and else with nothing, or a context that has ended. None of them panics.

var (
	errNoContext = invalid("a nil context")
	errNoClient  = invalid("a Client that New has not made")
	errNoHandle  = invalid("a handle that no acquire has returned")
)

// called says whether a call can be: it has a context, and the Client was made by New.
func (c *Client) called(ctx context.Context) error {
	switch {
	case c == nil || c.rdb == nil:
		return errNoClient
	case ctx == nil:
		return errNoContext
	}
	return nil
}

// usable is called, of a Client that is open.
func (c *Client) usable(ctx context.Context) error {
	if err := c.called(ctx); err != nil {
		return err
	}
	if c.isClosed() {
		return ErrClosed
	}
	return nil
}

func (l *Lock) made() bool { return l != nil && l.hold != nil }

func (w *WeakLock) made() bool { return w != nil && w.client != nil }

func (a *Locks) made() bool { return a != nil && a.client != nil }

// endedBy is a context that has ended for that reason.
func endedBy(cause error) context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	return ctx
}
