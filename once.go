package redislock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/memo"
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
// succeeded. Of those of one process one is in the queue of Redis, for all. After that Once returns nil at once, wherever it is
// called: without a round trip in a process that has seen the success, as long as it is subscribed and so would hear of a reset,
// and with one in any other. A process that has seen the success waits for no answer where Redis is away: nobody could run it
// again.
//
// If fn fails, its error goes to its own caller, and the next one runs its own fn; so it does if the process dies
// or the lock is lost, which is an [ErrLost] even where fn returned nil: another may run by then. What fn does must
// therefore bear to be begun anew. The success is remembered for ten years, or as [WithForget] says, in Redis: as well
// as that keeps its data.
//
// The errors are fn's own, or those of [Client.Acquire], which all who wait in the process get where it is Redis that
// cannot be reached: a caller that does not want to wait any longer gets [ErrHeld],
// one that calls under the context of the same Once [ErrDeadlock]. Where fn succeeded and that could not be written
// down, the error is the network's, or [ErrReleased] where fn gave the lock back or handed it off itself, and it will run
// again.
func (c *Client) Once(ctx context.Context, name string, fn func(context.Context) error, opts ...OnceOption) error {
	return wrapOp("once", name, c.once(ctx, name, fn, opts))
}

func (c *Client) once(ctx context.Context, name string, fn func(context.Context) error, opts []OnceOption) error {
	if err := c.called(ctx); err != nil {
		return err
	}
	if fn == nil {
		return invalid("a nil function")
	}
	if c.knowsOnce(ctx, name) {
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
	given, lock, err := c.mayTurn(ctx, onceName(name), s.lock)
	if err != nil {
		return err
	}
	one := &onceCall{client: c, name: name, fn: fn, forget: s.forget, settings: &given, lock: lock, ctx: ctx}
	if given.waitSet && given.wait == 0 { // nobody is waited for, in this process neither
		_, err := one.run(ctx)
		return err
	}
	bounded, cancel := given.bounded(ctx)
	defer cancel()
	ran := false
	err = c.gates.Pass(bounded, c.closing, c.failed, name, func() (bool, error) {
		ran = true
		return one.run(bounded)
	})
	if !ran && err != nil && err == bounded.Err() {
		err = &HeldError{cause: err}
	}
	if one.began { // what it came to has nothing to do with the wait before
		return err
	}
	return given.within(ctx, bounded, err)
}

// onceCall is a call of Once whose turn it is in this process.
type onceCall struct {
	client   *Client
	name     string
	fn       func(context.Context) error
	forget   time.Duration
	settings *settings
	lock     []Option
	ctx      context.Context
	began    bool // fn was called
}

// run looks whether it is done, or does it. The first result is whether that concerns all who wait in this process: that it is
// done, or why nobody can do it now. Else it is the caller's own, and the next one tries.
func (o *onceCall) run(bounded context.Context) (all bool, err error) {
	c := o.client
	since := c.onces.Now()
	rec, l, err := c.takeTurn(bounded, onceName(o.name), record.exists, o.settings, o.lock)
	if err != nil {
		own := bounded.Err() != nil || errors.Is(err, ErrHeld) || errors.Is(err, ErrNotReplicated) || errors.Is(err, ErrInvalid) ||
			errors.Is(err, errLate) || errors.Is(err, ErrLost) // of its own lease
		return !own, err
	}
	if l == nil {
		c.remember(o.name, since, clock.Bound{From: rec.sent, Span: rec.left})
		return true, nil
	}
	defer func() { // also when fn panics
		loss := l.hold.loss()
		_ = l.finish(o.ctx, true, 0) // goes on in the background where Redis does not answer
		if err != nil && loss != nil && !errors.Is(err, ErrLost) && !errors.Is(loss, ErrReleased) {
			err = errors.Join(err, loss)
		}
	}()
	o.began = true
	if err := o.fn(l.under(o.ctx)); err != nil {
		return false, err
	}
	switch loss := l.hold.loss(); {
	case errors.Is(loss, ErrReleased):
		return false, fmt.Errorf("it was done, but could not be noted: %w by fn", loss)
	case loss != nil:
		return false, loss
	}
	since, sent := c.onces.Now(), time.Now()
	if err := c.record(o.ctx, l, 1, c.owner.info(), o.forget); err != nil {
		return false, fmt.Errorf("it was done, but could not be noted: %w", err)
	}
	c.remember(o.name, since, clock.Bound{From: sent, Span: o.forget})
	return true, nil
}

// OnceDone reports whether a [Client.Once] of that name has succeeded, and is not forgotten. It asks Redis.
func (c *Client) OnceDone(ctx context.Context, name string) (bool, error) {
	if err := c.mayLook(ctx, name, onceName); err != nil {
		return false, wrapOp("once done", name, err)
	}
	rec, err := c.recall(ctx, onceName(name))
	return rec.exists(), wrapOp("once done", name, err)
}

// OnceReset has the next [Client.Once] of that name run again. Other processes are told by push; one that cannot be
// reached at this moment is told when it is again. What runs while it is reset counts as the new run.
func (c *Client) OnceReset(ctx context.Context, name string) error {
	err := c.mayLook(ctx, name, onceName)
	if err == nil {
		err = c.erase(ctx, onceName(name), c.keys.Broadcasts(), string(broadcastReset)+name)
		c.onces.Forget(name)
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

// onceCheckPatience is how long a caller waits for a look at what the process knows already. An answer takes no longer, unless
// Redis is away.
const onceCheckPatience = 100 * time.Millisecond

// remember takes a success into this process's memory, which hears of resets.
func (c *Client) remember(name string, since memo.Moment, until clock.Bound) {
	c.start()
	if !c.onces.Remember(name, since, until) {
		c.checkOnce(name)
	}
}

// knowsOnce reports whether this process knows a Once to be done. Where it would not hear of a reset it looks, but waits for no
// answer if Redis is away: then nobody can run it either, and the look goes on.
func (c *Client) knowsOnce(ctx context.Context, name string) bool {
	subscribed, unreachable := c.subscriber.Broadcasts()
	known, certain := c.onces.Known(name)
	switch {
	case !known || c.isClosed():
		return false
	case certain && subscribed:
		return true
	}
	looked := c.checkOnce(name)
	if !unreachable {
		patience := time.NewTimer(onceCheckPatience)
		defer patience.Stop()
		select {
		case <-looked:
		case <-patience.C:
		case <-ctx.Done():
		}
	}
	known, _ = c.onces.Known(name)
	return known
}

// checkOnce looks in the background whether what is known of a Once is still so; the channel closes when it has. One look
// at a name is under way at a time.
func (c *Client) checkOnce(name string) <-chan struct{} {
	looked, done := c.onces.Look(name)
	if done != nil {
		c.background.Add()
		go func() {
			defer c.background.Done()
			rec, err := c.recall(context.Background(), onceName(name))
			done(rec.exists(), clock.Bound{From: rec.sent, Span: rec.left}, err)
		}()
	}
	return looked
}
