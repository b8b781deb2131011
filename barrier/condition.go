package barrier

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"example.com/redislock"
)

// Condition lets the holder of a lock wait until another holder has changed what the lock guards, as [sync.Cond] does in a
// process. Its methods may be called by many goroutines at once.
type Condition struct {
	client *redislock.Client
	name   string
	opts   []redislock.Option
	fault  error
}

// NewCondition makes the condition of that name, which has 1 to [MaxName] bytes. Nothing is sent, and the condition needs no
// closing. A name may be used again and again. All callers that wait under it at a time must use the same lock. The options are
// those with which [Condition.Wait] acquires the lock again: give the same as to [redislock.Client.Acquire]. The mode is that of
// the lock, unless they name one. [redislock.WithLease] also says after which time a waiter is passed over that was woken and
// died before it had the lock, and for how long a process that dies while it notes or gives a signal blocks the others. So give
// it where there is only a signal, too. [redislock.WithMetadata] is the text that others see.
func NewCondition(client *redislock.Client, name string, opts ...redislock.Option) *Condition {
	return &Condition{client: client, name: name, opts: opts, fault: check(name)}
}

func (c *Condition) lock() string { return conditionQueue + c.name }

func (c *Condition) signals() string { return conditionSignals + c.name }

// Wait gives the lock back, waits for a signal, and acquires the lock again. It returns the lock that is held then, which is a
// new grant with a greater fence. No signal is lost in between: the place in the queue is there before the lock is given back.
// Others may have had the lock between the signal and the return, and in some cases Wait returns without a signal
// (docs/guarantees.md lists them). So call it in a loop, which looks each time at what the lock guards:
//
//	for err == nil && !ready() {
//		lock, err = condition.Wait(ctx, lock)
//	}
//
// ctx must not be a context of the lock, for that ends when the lock is given back; so the lock is not that of
// [redislock.Client.Do]. It may carry a lock of the same name of another Client. The lock must be the only handle of its hold.
//
// After an error the caller holds nothing, and the result is the lock that was given, whose release sends nothing more.
// [redislock.ErrInvalid] and [redislock.ErrOrder] are the exceptions: where Wait cannot be called so, the lock is as it was. Only
// the server knows whether the fence of [redislock.WithFenceFloor] is too far ahead; the caller holds nothing after that
// [redislock.ErrInvalid]. If ctx ends, before the signal or after it, the error is that of ctx. A signal that a Wait with an
// error does not use is passed on to the next. [redislock.ErrNotHeld] says that the lock was lost before it was given back. Other
// errors are those of [redislock.Client.Acquire] and of [redislock.Lock.Release].
func (c *Condition) Wait(ctx context.Context, lock *redislock.Lock) (*redislock.Lock, error) {
	again, err := c.wait(ctx, lock)
	if err != nil {
		return lock, wrap("wait", c.named(), err)
	}
	return again, nil
}

func (c *Condition) named() string {
	if c == nil {
		return ""
	}
	return c.name
}

// may says whether the condition can be used.
func (c *Condition) may(ctx context.Context) error {
	switch {
	case c == nil:
		return fmt.Errorf("%w: a nil condition", redislock.ErrInvalid)
	case c.fault != nil:
		return c.fault
	case ctx == nil:
		return fmt.Errorf("%w: a nil context", redislock.ErrInvalid)
	}
	return nil
}

func (c *Condition) wait(ctx context.Context, lock *redislock.Lock) (*redislock.Lock, error) {
	if err := c.may(ctx); err != nil {
		return nil, err
	}
	if err := root.Whole(lock, c.client); err != nil {
		return nil, err
	}
	if root.Under(ctx, c.client, lock.Name()) {
		return nil, fmt.Errorf("%w: a wait under a context of the lock that it gives back", redislock.ErrInvalid)
	}
	opts := append([]redislock.Option{redislock.WithMode(lock.Mode())}, c.opts...)
	place, err := c.lineUp(ctx, opts)
	if err = plainly(ctx, err); err != nil {
		if !errors.Is(err, redislock.ErrInvalid) {
			_ = lock.Release(context.WithoutCancel(ctx)) // what is not given back lapses
		}
		return nil, err
	}
	var turn, again *redislock.Lock
	woken, shut, returned := false, false, false
	defer func() { // also when an observer panics
		if !woken {
			c.passOn(ctx, place)
		}
	}()
	defer func() {
		if returned {
			return
		}
		if again != nil {
			_ = again.Release(context.WithoutCancel(ctx))
		}
		switch { // the signal is for the next
		case shut:
			bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookEvery)
			defer cancel()
			_ = c.signal(bounded, false)
		case turn != nil:
			_ = turn.Release(context.WithoutCancel(ctx))
		}
	}()
	if err := lock.Release(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	turn, err = c.sleep(place)
	woken = true
	if err = plainly(ctx, err); err != nil {
		return nil, err
	}
	if again, err = c.client.Acquire(ctx, lock.Name(), opts...); err != nil {
		return nil, err
	}
	if turn != nil {
		if loss := again.Err(); loss != nil {
			return nil, loss
		}
		shut = true                     // perhaps, if an observer panics
		shut = c.shut(ctx, turn) == nil // if it could not be shut, the next one is woken without a signal
		if loss := again.Err(); loss != nil {
			return nil, loss
		}
	}
	returned = true
	return again, nil
}

// plainly leaves out who shuts the queue, which is of no use to one whose context has ended.
func plainly(ctx context.Context, err error) error {
	if errors.Is(err, redislock.ErrHeld) && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// lineUp takes a place in the queue of the condition.
func (c *Condition) lineUp(ctx context.Context, opts []redislock.Option) (*place, error) {
	for {
		p := c.enqueue(ctx, opts)
		select {
		case <-p.has:
			return p, nil
		case <-p.over:
		}
		select {
		case <-p.has: // a signal has come already
			return p, nil
		default:
		}
		turn, err := p.end()
		if turn == nil {
			return nil, err
		}
		if err := c.shut(ctx, turn); err != nil { // it was open, for nobody waits: who comes first shuts it
			return nil, err
		}
	}
}

// passOn leaves a place, with the signal that may have come.
func (c *Condition) passOn(ctx context.Context, p *place) {
	if turn, _ := p.end(); turn != nil {
		_ = turn.Release(context.WithoutCancel(ctx))
	}
}

// sleep waits for a signal.
func (c *Condition) sleep(p *place) (turn *redislock.Lock, err error) {
	look := newLook()
	defer look.Stop()
	for p.ctx.Err() == nil {
		select {
		case <-p.ctx.Done():
		case <-look.C: // in case that a waiter died before it woke the next
			_ = c.wakeNext(p.ctx)
		}
	}
	return p.end()
}

// shut makes those who come wait: the hold stays until a signal ends it. Then it sees to the signals that have come meanwhile.
func (c *Condition) shut(ctx context.Context, turn *redislock.Lock) error {
	if err := turn.ReleaseAfter(context.WithoutCancel(ctx), Life); err != nil {
		return err
	}
	_ = c.wakeNext(ctx)
	return nil
}

// Signal wakes the waiter that has waited longest, if there is one. The caller need not hold the lock for the call, but must hold
// it while it changes what the lock guards: then every waiter from before the change is woken, or needs no signal. If a waiter
// that was woken dies or gives up before it has its lock again, the signal goes to the next waiter. After an error the signal may
// have been given or not; a call too many does no harm. While another call notes or gives a signal, Signal waits for it. The
// errors are those of [redislock.Client.Inspect], [redislock.Client.Do], [redislock.Client.TryAcquire] and
// [redislock.Lock.ReleaseAfter].
func (c *Condition) Signal(ctx context.Context) error {
	return wrap("signal", c.named(), c.signal(ctx, false))
}

// Broadcast wakes all waiters, one after the other: each when the one before it has its lock again. Else it is as
// [Condition.Signal].
func (c *Condition) Broadcast(ctx context.Context) error {
	return wrap("broadcast", c.named(), c.signal(ctx, true))
}

func (c *Condition) signal(ctx context.Context, all bool) error {
	if err := c.may(ctx); err != nil {
		return err
	}
	queue, err := c.client.Inspect(ctx, c.lock())
	if err != nil || queue.Waiting == 0 {
		return err
	}
	more := everybody
	if !all {
		if open, err := c.open(ctx, queue); open || err != nil {
			return err
		}
		more = 1
	}
	return c.alone(ctx, func(ctx context.Context) error { return c.wake(ctx, more) })
}

const everybody = math.MaxInt32 / 2

// open ends the hold that shuts the queue, so that the next one is woken. It reports false if there is none, or another has ended it.
func (c *Condition) open(ctx context.Context, queue redislock.Info) (bool, error) {
	if len(queue.Holds) == 0 || !queue.Holds[0].Kept {
		return false, nil
	}
	fence, err := c.client.BreakHolds(ctx, queue, "a signal")
	return fence > 0, err
}

// note notes so many signals in the place of those that were noted, to be given one after the other. The new number is written first. A
// death in between wakes some too many, and none too few.
func (c *Condition) note(ctx context.Context, given redislock.Info, n int) error {
	if n > 0 {
		l, err := c.client.TryAcquire(ctx, c.signals(), optionsOf(nil, redislock.WithMode(redislock.Read), redislock.WithMetadata(strconv.Itoa(n)))...)
		if err != nil {
			return err
		}
		if err := l.ReleaseAfter(ctx, Life); err != nil {
			return err
		}
	}
	if len(given.Holds) == 0 {
		return nil
	}
	_, err := c.client.BreakHolds(ctx, given, "given")
	return err
}

// given are the signals that were noted.
func (c *Condition) given(ctx context.Context) (redislock.Info, error) {
	info, err := inspect(ctx, c.client, c.signals())
	info.Holds = slices.DeleteFunc(info.Holds, func(h redislock.Hold) bool { return !h.Kept }) // a signal counts only when its hold is kept, as its sender may die before that
	return info, err
}

// count is how many signals are noted.
func count(given redislock.Info) (n int) {
	for _, h := range given.Holds {
		one, err := strconv.Atoi(h.Owner.Metadata)
		if err != nil {
			one = 1
		}
		n += one
	}
	return n
}

// wakeNext gives one of the signals that were noted, if nobody who was woken is still on its way to its lock; that one will do it.
func (c *Condition) wakeNext(ctx context.Context) error {
	given, err := c.given(ctx)
	if err != nil || len(given.Holds) == 0 {
		return err
	}
	return c.alone(ctx, func(ctx context.Context) error { return c.wake(ctx, 0) })
}

// alone runs a function while no other one changes the signals that are noted. If its process dies, the lock is free after the lease
// of the options.
func (c *Condition) alone(ctx context.Context, fn func(context.Context) error) error {
	lease, err := root.Lease(c.client, c.opts)
	if err != nil {
		return err
	}
	return c.client.Do(ctx, conditionNext+c.name, fn, optionsOf(nil, redislock.WithLease(lease), redislock.WithWait(Life))...)
}

// wake adds signals to those that are noted, and gives one of them if the queue is shut. Under alone nobody else notes or gives one, so
// what is noted does not change between the look at the signals and the look at the queue. Then as many signals as callers wait are
// enough. A process whose lock has lapsed may still end the signals that it has read, by a request that was under way. Signals that are
// added therefore replace those that were noted, also where these are enough.
func (c *Condition) wake(ctx context.Context, more int) error {
	for {
		given, err := c.given(ctx)
		if err != nil || more == 0 && len(given.Holds) == 0 {
			return err
		}
		queue, err := c.client.Inspect(ctx, c.lock())
		if err != nil {
			return err
		}
		n := min(count(given)+more, queue.Waiting)
		opens := n > 0 && len(queue.Holds) > 0 && queue.Holds[0].Kept
		switch {
		case opens:
			switch open, err := c.open(ctx, queue); {
			case err != nil:
				return err
			case !open: // a signal that did not need to be noted was faster
				continue
			}
			n--
		case n > 0 && more == 0: // one who was woken is on its way, and gives the next signal when it has shut the queue
			return nil
		}
		if err := c.note(ctx, given, n); err != nil || opens || n == 0 {
			return err
		}
		more = 0 // the queue may have been shut before the signal was noted
	}
}
