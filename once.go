package redislock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/memo"
)

// OnceOption shapes a [Client.Once]. Every [Option] is a OnceOption too, for the lock that is held while the function runs:
// [WithLease] sets how long the others wait if the runner dies, and [WithWait] how long this caller waits. A mode or a weight
// is [ErrInvalid]. Of the Client's defaults, lease, metadata and replicas count. That is so for everything that is built on
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

// WithForget sets how long after its success the function may run again, from 1 ms to ten years. The default is ten years.
// For "once per day" it is a day; for "once per deploy" use a name with the version in it. The option of the caller that ran
// the function counts.
func WithForget(after time.Duration) OnceOption {
	return onceOption(func(s *onceSettings) error {
		if after < time.Millisecond || after > maxLife {
			return invalid("WithForget(%v): must be from 1ms to %v", after, maxLife)
		}
		s.forget = after
		return nil
	})
}

// Once runs fn to success once in the whole fleet: for initialization. One caller runs fn, under the lock "once:name"; the
// context of fn ends when ctx ends or when the lock is lost. All other callers wait, and return nil when fn has succeeded. Of the
// callers of one process only one is in the queue of Redis, for all of them. After the success Once returns nil at once, wherever
// it is called. A process that has seen the success needs no round trip as long as it is subscribed, because then it would be
// told of a reset. Any other process needs one. If Redis is away, a process that has seen the success waits for no answer,
// because nobody could run fn again.
//
// If fn fails, its own caller gets its error, and the next caller runs its own fn. The same happens if the process dies or the
// lock is lost. A lost lock is an [ErrLost] even where fn returned nil, because another caller may be running by then. So it must
// do no harm if fn begins anew. Redis remembers the success for ten years, or as [WithForget] says, as well as Redis keeps its
// data.
//
// Once returns fn's own error, or those of [Client.Acquire]. If Redis cannot be reached, all callers that wait in the process get
// that error. A caller that does not want to wait any longer gets [ErrHeld]. A caller under the context of the same Once gets
// [ErrDeadlock]. If fn succeeded but Once could not record the success, the error is the network's, or [ErrReleased] if fn gave
// the lock back or handed it off itself. Then fn will run again.
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
	if given.waitSet && given.wait == 0 { // the caller waits for nobody, not even in this process
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
	if one.began { // its outcome has nothing to do with the wait before it
		return err
	}
	return given.within(ctx, bounded, err)
}

// onceCall is a call of Once whose turn has come in this process.
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

// run looks whether the work is done, and does it if it is not. The first result says whether the outcome concerns all
// callers that wait in this process: the work is done, or nobody can do it now. Otherwise the outcome is the caller's own,
// and the next caller tries.
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
			err = both(err, loss)
		}
	}()
	o.began = true
	if err := o.fn(l.under(o.ctx)); err != nil {
		return false, err
	}
	switch loss := l.hold.loss(); {
	case errors.Is(loss, ErrReleased):
		return false, fmt.Errorf("fn succeeded, but this could not be recorded: %w by fn", loss)
	case loss != nil:
		return false, loss
	}
	since, sent := c.onces.Now(), time.Now()
	if err := c.record(o.ctx, l, 1, c.owner.info(), o.forget); err != nil {
		return false, fmt.Errorf("fn succeeded, but this could not be recorded: %w", err)
	}
	c.remember(o.name, since, clock.Bound{From: sent, Span: o.forget})
	return true, nil
}

// OnceDone reports whether a [Client.Once] of that name has succeeded and is not forgotten. It asks Redis.
func (c *Client) OnceDone(ctx context.Context, name string) (bool, error) {
	if err := c.mayLook(ctx, name, onceName); err != nil {
		return false, wrapOp("once done", name, err)
	}
	rec, err := c.recall(ctx, onceName(name))
	return rec.exists(), wrapOp("once done", name, err)
}

// OnceReset makes the next [Client.Once] of that name run again. Other processes are told by push. A process that cannot be
// reached at this moment is told when it can be reached again. A function that runs during the reset counts as the new run.
func (c *Client) OnceReset(ctx context.Context, name string) error {
	err := c.mayLook(ctx, name, onceName)
	if err == nil {
		err = c.erase(ctx, onceName(name), c.keys.Broadcasts(), string(broadcastReset)+name)
		c.onces.Forget(name)
	}
	return wrapOp("once reset", name, err)
}

func onceName(name string) string { return "once:" + name }

// itself is for a call that is about the lock of that very name.
func itself(name string) string { return name }

// checkDerived says whether a lock may have the name that derive makes of this one.
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

// mayLook checks everything that can be checked without Redis.
func (c *Client) mayLook(ctx context.Context, name string, derive func(string) string) error {
	if err := c.usable(ctx); err != nil {
		return err
	}
	return checkDerived(name, derive)
}

// onceCheckPatience is how long a caller waits for a check of what the process knows already. An answer takes no longer,
// unless Redis is away.
const onceCheckPatience = 100 * time.Millisecond

// remember puts a success into the memory of this process, which is told of resets.
func (c *Client) remember(name string, since memo.Moment, until clock.Bound) {
	c.start()
	if !c.onces.Remember(name, since, until) {
		c.checkOnce(name)
	}
}

// knowsOnce reports whether this process knows that a Once is done. If the process would not be told of a reset, knowsOnce asks
// Redis. If Redis cannot be reached, it does not wait for the answer: nobody can run the Once then, and the request goes on.
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

// checkOnce asks Redis in the background whether a Once is still done. The channel closes when it has asked. Only one check
// of a name is under way at a time.
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
