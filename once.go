package redislock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// OnceOption shapes a [Client.Once]. Every [Option] is one too, for the lock that is held while the function runs:
// [WithLease] says how long the others wait if the runner dies, [WithWait] how long this caller waits. A mode or a weight
// is [ErrInvalid]. Of the Client's defaults lease, metadata and replicas count, here as for all that is built on
// locks.
type OnceOption interface{ applyOnce(*onceSettings) error }

type onceSettings struct {
	forget time.Duration
	lock   []Option
}

type onceOption func(*onceSettings) error

func (o onceOption) applyOnce(s *onceSettings) error { return o(s) }

func (o Option) applyOnce(s *onceSettings) error {
	s.lock = append(s.lock, o)
	return nil
}

// WithForget sets how long after the success it may run again, from 1 ms to ten years, which is also the default:
// "once per day" is a day, "once per deploy" is a name with the version in it. The option of who ran it counts.
func WithForget(after time.Duration) OnceOption {
	return onceOption(func(s *onceSettings) error {
		if after < time.Millisecond || after > maxLife {
			return invalid("WithForget(%v): must be from 1ms to %v", after, maxLife)
		}
		s.forget = after
		return nil
	})
}

// Once runs fn to success once in the whole fleet: for initialization. One caller runs it, under the lock "once:name",
// with a context that ends when ctx does or when the lock is lost; all others wait, and return nil when it has
// succeeded. After that Once returns nil at once, wherever it is called: without a round trip in a process that has
// seen the success, as long as it is subscribed and so would hear of a reset, and with one in any other.
//
// If fn fails, its error goes to its own caller, and the next in line runs its own fn; so it does if the process dies
// or the lock is lost, which is an [ErrLost] even where fn returned nil: another may run by then. What fn does must
// therefore bear to be begun anew. The success is remembered for ten years, or as [WithForget] says, in Redis: as well
// as that keeps its data.
//
// The errors are fn's own, or those of [Client.Acquire]: a caller that does not want to wait any longer gets [ErrHeld],
// one that calls under the context of the same Once [ErrDeadlock]. Where fn succeeded and that could not be written
// down, the error is the network's, or [ErrReleased] where fn gave the lock back or handed it off itself, and it will run
// again.
func (c *Client) Once(ctx context.Context, name string, fn func(context.Context) error, opts ...OnceOption) error {
	return wrapOp("once", name, c.once(ctx, name, fn, opts))
}

func (c *Client) once(ctx context.Context, name string, fn func(context.Context) error, opts []OnceOption) (err error) {
	if err := c.called(ctx); err != nil {
		return err
	}
	if fn == nil {
		return invalid("a nil function")
	}
	known := c.onces.has(name) && !c.isClosed()
	if hears, _ := c.sub.state(); known && hears != "" {
		return nil
	}
	s := onceSettings{forget: maxLife}
	for _, o := range opts {
		if o == nil {
			return invalid("a nil option")
		}
		if err := o.applyOnce(&s); err != nil {
			return err
		}
	}
	if err := checkDerived(name, onceName); err != nil {
		return err
	}
	lock := onceName(name)
	if known { // but a reset may have been missed; while Redis is away nobody runs it either
		if rec, err := c.look(ctx, lock); rec.exists() || err != nil && ctx.Err() == nil {
			return nil
		}
	}
	since := c.onces.now()
	rec, l, err := c.turn(ctx, lock, record.exists, s.lock)
	if err != nil {
		return err
	}
	if l == nil {
		c.remember(name, since, bound{rec.sent, rec.left})
		return nil
	}
	defer func() { // also when fn panics
		loss := l.hold.loss()
		_ = l.finish(ctx, true, 0) // goes on in the background where Redis does not answer
		if err != nil && loss != nil && !errors.Is(err, ErrLost) && !errors.Is(loss, ErrReleased) {
			err = errors.Join(err, loss)
		}
	}()
	if err := fn(l.under(ctx)); err != nil {
		return err
	}
	switch loss := l.hold.loss(); {
	case errors.Is(loss, ErrReleased):
		return fmt.Errorf("it was done, but could not be noted: %w by fn", loss)
	case loss != nil:
		return loss
	}
	sent := time.Now()
	if err := c.note(ctx, l, 1, c.owner.info(), s.forget); err != nil {
		return fmt.Errorf("it was done, but could not be noted: %w", err)
	}
	c.remember(name, since, bound{sent, s.forget})
	return nil
}

// OnceDone reports whether a [Client.Once] of that name has succeeded, and is not forgotten. It asks Redis.
func (c *Client) OnceDone(ctx context.Context, name string) (bool, error) {
	if err := c.mayLook(ctx, name, onceName); err != nil {
		return false, wrapOp("once done", name, err)
	}
	rec, err := c.look(ctx, onceName(name))
	return rec.exists(), wrapOp("once done", name, err)
}

// OnceReset has the next [Client.Once] of that name run again. Other processes are told by push; one that cannot be
// reached at this moment is told when it is again. What runs while it is reset counts as the new run.
func (c *Client) OnceReset(ctx context.Context, name string) error {
	err := c.mayLook(ctx, name, onceName)
	if err == nil {
		err = c.erase(ctx, onceName(name), c.newsChannel(), string(newsReset)+name)
		c.onces.forget(name)
	}
	return wrapOp("once reset", name, err)
}

func onceName(name string) string { return "once:" + name }

// itself is for what is about a lock of that very name.
func itself(name string) string { return name }

// checkDerived says whether a lock may have the name that is made of this one.
func checkDerived(name string, derive func(string) string) error {
	if name == "" {
		return checkName(name)
	}
	switch derived := derive(name); {
	case derived == name:
		return checkName(name)
	case len(derived) > MaxName:
		return invalid("a name of %d bytes, with what is put to it %d, at most %d", len(name), len(derived), MaxName)
	}
	return nil
}

// mayLook checks what can be checked without Redis.
func (c *Client) mayLook(ctx context.Context, name string, derive func(string) string) error {
	if err := c.usable(ctx); err != nil {
		return err
	}
	return checkDerived(name, derive)
}

// maxOnces is how many names a process remembers: to forget one costs a round trip.
const maxOnces = 10_000

// onces is what this process knows to be done. What a reset somewhere else makes wrong is forgotten by push, and all of
// it whenever such a message may have been missed.
type onces struct {
	mu     sync.Mutex
	done   map[string]bound
	resets int // counts them: what was read before one is not remembered after it
}

func (o *onces) has(name string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	b, known := o.done[name]
	if known && b.left() <= 0 {
		delete(o.done, name)
		known = false
	}
	return known
}

func (o *onces) now() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.resets
}

func (o *onces) forget(names ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.resets++
	for _, name := range names {
		delete(o.done, name)
	}
	if len(names) == 0 {
		o.done = nil
	}
}

func (o *onces) remember(name string, since int, until bound) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.resets != since {
		return
	}
	if o.done == nil || len(o.done) >= maxOnces {
		o.done = map[string]bound{}
	}
	o.done[name] = until
}

// remember takes a success into this process's memory, which hears of resets.
func (c *Client) remember(name string, since int, until bound) {
	c.start()
	c.onces.remember(name, since, until)
}
