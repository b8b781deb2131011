package barrier

import (
	"context"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/bridge"
)

// root has the functions of package redislock that are not exported to users; see its node.go.
var root = bridge.Root.(interface {
	Enqueue(ctx context.Context, c *redislock.Client, name string, opts []redislock.Option, hear func(has bool)) (*redislock.Lock, error)
	Within(ctx context.Context, l *redislock.Lock) context.Context
	Whole(l *redislock.Lock, c *redislock.Client) error
	Under(ctx context.Context, c *redislock.Client, name string) bool
	Lease(c *redislock.Client, opts []redislock.Option) (time.Duration, error)
})

// place is a call that waits in the queue of a condition.
type place struct {
	ctx   context.Context // ends when there is nothing more to wait for
	leave context.CancelFunc
	has   chan struct{} // closed when the place is there
	over  chan struct{} // closed when the call has ended. What follows was written before
	lost  bool          // the place was lost, and with it perhaps a signal
	turn  *redislock.Lock
	err   error
	panic any // of an observer
}

// enqueue begins a call. It goes on until ctx ends, leave is called, or the place was lost.
func (c *Condition) enqueue(ctx context.Context, opts []redislock.Option) *place {
	p := &place{has: make(chan struct{}), over: make(chan struct{}), err: errEnded}
	p.ctx, p.leave = context.WithCancel(ctx)
	go func() {
		defer close(p.over)
		defer p.leave()
		defer func() { p.panic = recover() }()
		placed := false
		p.turn, p.err = root.Enqueue(p.ctx, c.client, c.lock(), opts, func(has bool) {
			switch {
			case !has:
				p.lost = true
				p.leave()
			case !placed:
				placed = true
				close(p.has)
			}
		})
	}()
	return p
}

// end is the outcome of the call, which it ends if need be. If a signal has come, turn is the hold that passes it on.
func (p *place) end() (turn *redislock.Lock, err error) {
	p.leave()
	<-p.over
	if p.panic != nil {
		panic(p.panic)
	}
	if p.lost {
		return p.turn, nil
	}
	return p.turn, p.err
}
