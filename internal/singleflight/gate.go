package singleflight

import (
	"context"
	"sync"
)

// Gate lets the callers of one name go one at a time, and the others wait for the result. Its zero value is ready.
type Gate struct {
	mu  sync.Mutex
	all map[string]*turns
}

// turns are those of one name, as long as somebody is at it.
type turns struct {
	turn chan struct{} // full while a caller goes; those who wait for it are served in their order
	over chan struct{} // closed when the result counts for all
	err  error         // what that is; written before over is closed

	callers int // guarded by Gate.mu
}

// Pass runs the function when it is this caller's turn, unless the result of another caller counts for all. It waits until ctx
// ends, whose error it returns then, or until closing is closed: then the error is the cause.
func (g *Gate) Pass(ctx context.Context, closing <-chan struct{}, cause func() error, name string, run func() (all bool, err error)) error {
	here := g.enter(name)
	defer g.leave(name, here)
	select {
	case here.turn <- struct{}{}:
	case <-here.over:
		return here.err
	case <-closing:
		return cause()
	case <-ctx.Done():
		return ctx.Err()
	}
	all, err := false, error(nil)
	defer func() { // also when the function panics
		if !all {
			<-here.turn
			return
		}
		g.mu.Lock()
		g.remove(name, here) // who comes from now on has not waited for this
		g.mu.Unlock()
		here.err = err
		close(here.over)
	}()
	all, err = run()
	return err
}

func (g *Gate) enter(name string) *turns {
	g.mu.Lock()
	defer g.mu.Unlock()
	here := g.all[name]
	if here == nil {
		here = &turns{turn: make(chan struct{}, 1), over: make(chan struct{})}
		if g.all == nil {
			g.all = map[string]*turns{}
		}
		g.all[name] = here
	}
	here.callers++
	return here
}

func (g *Gate) leave(name string, here *turns) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if here.callers--; here.callers == 0 {
		g.remove(name, here)
	}
}

// remove removes the turns of a name. The caller holds g.mu.
func (g *Gate) remove(name string, here *turns) {
	if g.all[name] == here {
		delete(g.all, name)
	}
}
