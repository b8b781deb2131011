package redislock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

// preflight is the check whether the server lets the Client do what the scripts do. It passes once.
type preflight struct {
	passed atomic.Bool

	mu    sync.Mutex
	under *rightsCheck // the attempt that is under way
}

// rightsCheck is one attempt, for all callers that came meanwhile.
type rightsCheck struct {
	done chan struct{} // closed when the attempt is over
	err  error
}

// prepare starts the loops with the first lock, and checks once that the server lets the Client do what the scripts do. Until
// that check has passed, all callers wait for one and the same attempt, each no longer than its ctx. After an attempt that
// failed, the next caller makes another.
func (c *Client) prepare(ctx context.Context) error {
	p := &c.preflight
	if p.passed.Load() {
		return nil
	}
	c.start()
	p.mu.Lock()
	here := p.under
	if here == nil && !p.passed.Load() {
		here = &rightsCheck{done: make(chan struct{})}
		p.under = here
		c.background.Add()
		go func() {
			defer c.background.Done()
			here.err = errors.New("the look at the rights was cut short") // if a hook ends this goroutine
			defer func() {
				p.mu.Lock()
				p.under = nil
				p.passed.Store(here.err == nil)
				p.mu.Unlock()
				close(here.done)
			}()
			here.err = c.checkRights(context.WithoutCancel(ctx))
		}()
	}
	p.mu.Unlock()
	if here == nil { // the check has passed just now
		return nil
	}
	select {
	case <-here.done:
		return here.err
	case <-ctx.Done():
		return transport.During(ctx.Err(), c.transport.Trouble())
	case <-c.closing:
		return c.cause
	}
}

// checkRights asks the server which of the needed rights the ACL refuses.
func (c *Client) checkRights(ctx context.Context) error {
	args := []any{c.subscriber.WakeChannel(), c.keys.Broadcasts()}
	if c.subscriber.Sharded() {
		args = append(args, protocol.ProbeChannel(c.subscriber.WakeChannel()))
	}
	a := c.transport.Ask(ctx, nil, lua.Preflight, c.keys.Probe(), args...)
	if a.Err != nil {
		return a.Err
	}
	f, err := protocol.FieldsOf(a.Value)
	if err != nil {
		return err
	}
	switch {
	case len(f.Values) == 0:
		return nil
	case f.Values[0] == lua.TooOld:
		return fmt.Errorf("%w: it is older than Redis 6.0", ErrServer)
	}
	return fmt.Errorf("%w: %v", ErrPermission, f.Values)
}
