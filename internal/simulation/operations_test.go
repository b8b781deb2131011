package simulation_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"example.com/redislock"
)

var errBody = errors.New("the body panics")

var semaphore = redislock.Semaphore(3)

// common are options that any lock may have.
func (d *doing) common() []redislock.Option {
	var opts []redislock.Option
	if d.draw.IntN(6) > 0 { // otherwise the default of half a minute
		opts = append(opts, redislock.WithLease(upTo(d.draw, 100*time.Millisecond, 10*time.Second)))
	}
	if d.draw.IntN(4) == 0 {
		d.wait = upTo(d.draw, time.Millisecond, 20*time.Second)
		opts = append(opts, redislock.WithWait(d.wait))
	}
	if d.draw.IntN(6) == 0 {
		opts = append(opts, redislock.WithStealAfter(upTo(d.draw, 100*time.Millisecond, 5*time.Second)))
	}
	if d.draw.IntN(8) == 0 {
		opts = append(opts, redislock.WithMaxHold(upTo(d.draw, 100*time.Millisecond, 5*time.Second)))
	}
	if d.draw.IntN(8) == 0 {
		opts = append(opts, redislock.WithoutRenewal())
	}
	if n := d.Seed % 32; n < 3 { // not drawn at random, so that the runs of a seed stay as they were
		opts = append(opts, redislock.WithMaxQueue(int(n)+1))
	}
	return opts
}

// exclusive are options for an exclusive lock, or for one of readers in turns.
func (d *doing) exclusive() []redislock.Option {
	if !d.world.plan.Turns || d.Seed%4 == 0 {
		return d.common()
	}
	d.turns = true
	opts := []redislock.Option{
		redislock.WithLease([]time.Duration{time.Second, 5 * time.Second, 5 * time.Second}[d.draw.IntN(3)]),
		redislock.WithTurn(upTo(d.draw, time.Millisecond, redislock.MaxTurn)),
	}
	if d.draw.IntN(3) > 0 {
		opts = append(opts, redislock.WithLinger(upTo(d.draw, time.Millisecond, redislock.MaxLinger)))
	}
	if d.draw.IntN(4) == 0 {
		d.wait = upTo(d.draw, time.Millisecond, 20*time.Second)
		opts = append(opts, redislock.WithWait(d.wait))
	}
	return opts
}

// perform runs an operation.
func (d *doing) perform() error {
	if d.world.plan.quorum() {
		return d.performQuorum()
	}
	c := d.client
	switch d.Kind {
	case "acquire":
		return d.hold(c.Acquire(d.ctx, d.Name, d.exclusive()...))
	case "try":
		return d.hold(c.TryAcquire(d.ctx, d.Name, redislock.WithLease(upTo(d.draw, 100*time.Millisecond, 10*time.Second))))
	case "read":
		opts := d.common
		if d.world.plan.Readers {
			opts = d.exclusive
		}
		return d.hold(c.Acquire(d.ctx, d.Name, append(opts(), redislock.WithMode(redislock.Read))...))
	case "write":
		return d.hold(c.Acquire(d.ctx, d.Name, append(d.common(), redislock.WithMode(redislock.Write))...))
	case "semaphore":
		opts := d.common()
		d.units = 1 + d.draw.IntN(3)
		return d.hold(c.Acquire(d.ctx, d.Name, append(opts, redislock.WithMode(semaphore), redislock.WithWeight(d.units))...))
	case "do", "panic", "nested":
		return d.answered(c.Do(d.ctx, d.Name, d.guarded, d.exclusive()...))
	case "keep":
		l, err := c.Acquire(d.ctx, d.Name, d.exclusive()...)
		if err != nil {
			return err
		}
		defer d.anyhow(l.Release)
		b := d.enter(l)
		d.work(b)
		d.leave(b)
		return l.ReleaseAfter(d.ctx, upTo(d.draw, time.Millisecond, 5*time.Second))
	case "handoff":
		return d.handOff()
	case "all":
		return d.all()
	case "circle":
		return d.circle()
	case "path":
		return d.path()
	case "limit":
		return d.setLimit()
	case "latch":
		return d.latch()
	case "barrier":
		return d.barrier()
	case "condition":
		return d.condition()
	case "break":
		_, err := c.Break(d.ctx, d.Name, "the operator says so")
		return err
	case "inspect":
		_, err := c.Inspect(d.ctx, d.Name)
		return err
	case "ask":
		_, err := c.Ask(d.ctx, d.Name, "please")
		return err
	case "watch":
		ctx, cancel := context.WithTimeout(d.ctx, upTo(d.draw, 100*time.Millisecond, 20*time.Second))
		defer cancel()
		for _, err := range c.Watch(ctx, d.Name) {
			if err != nil {
				return err
			}
		}
		return nil
	case "close":
		d.closed = true
		ctx, cancel := context.WithTimeout(d.ctx, upTo(d.draw, time.Millisecond, 10*time.Second))
		defer cancel()
		if d.draw.IntN(2) == 0 {
			return d.drainAndClose(ctx)
		}
		return c.Close(ctx)
	default:
		return d.built()
	}
}

// drainAndClose ends the Client gracefully: once it has drained it holds nothing.
func (d *doing) drainAndClose(ctx context.Context) error {
	err := d.client.Drain(ctx)
	if held := d.client.Held(); err == nil && len(held) > 0 {
		d.world.checks.find("answer", "%d: it has drained, and holds %d locks", d.Number, len(held))
	}
	d.pause(ctx, time.Second)
	return errors.Join(err, d.client.Close(ctx))
}

// anyhow gives a lock back if the observer panics in the body, as an application should. Otherwise it was given back before.
func (d *doing) anyhow(release func(context.Context) error) {
	if r := recover(); r != nil {
		_ = release(d.ctx)
		panic(r)
	}
}

// release gives a lock back, and checks the answer.
func (d *doing) release(b *body, release func(context.Context) error) error {
	begun, fence := time.Now(), b.fence()
	d.through = true
	err := d.answered(release(d.ctx))
	c := &d.world.checks
	if err == nil && !d.turns { // in turns its process may still have it
		c.returned(b, fence)
	}
	if until := d.world.weather.stopped[d.number].Add(10 * time.Millisecond); time.Since(latest(begun, until)) > releaseTime && d.observer.fault == "" {
		c.find("bound", "the release of %d has taken %v", d.Number, time.Since(begun))
	}
	return err
}

// releaseTime is how long a release takes at most: it may send two requests, each for five seconds and the timeouts of its last
// attempt, with pauses.
const releaseTime = 21 * time.Second

// answered checks the result of a release. The release is sent even if its context has ended, so the end of the context
// must not be the result.
func (d *doing) answered(err error) error {
	var op *net.OpError
	if d.through && d.ctx.Err() != nil && errors.Is(err, d.ctx.Err()) && !errors.As(err, &op) {
		d.world.checks.find("answer", "the release of %d, whose context has ended, answers %v", d.Number, err)
	}
	return err
}

// hold is the body of a lock that was acquired, and its end.
func (d *doing) hold(l *redislock.Lock, err error) error {
	if err != nil {
		return err
	}
	defer d.anyhow(l.Release)
	b := d.enter(l)
	d.work(b)
	together := d.turns && b.class == "read"
	if !together && (b.class == "read" || b.class == "write" && d.Name == "rw") {
		d.change(b)
	}
	d.leave(b)
	if !together && d.draw.IntN(6) == 0 {
		return l.ReleaseAfter(d.ctx, upTo(d.draw, time.Millisecond, 5*time.Second))
	}
	return d.release(b, l.Release)
}

// guarded is a body of Do.
func (d *doing) guarded(ctx context.Context) error {
	if l, ok := redislock.FromContext(ctx); ok {
		return d.inside(ctx, d.enter(l), func() (handle, error) { return d.client.Acquire(ctx, d.Name) })
	}
	return d.unguarded()
}

// unguarded is a body of Do without a lock.
func (d *doing) unguarded() error {
	d.world.checks.find("I10", "%d: a body without a lock", d.Number)
	return nil
}

// inside is the work of a body of Do. The function again takes the lock once more, under its context.
func (d *doing) inside(ctx context.Context, b *body, again func() (handle, error)) error {
	defer d.leave(b)
	d.work(b)
	switch d.Kind {
	case "panic":
		panic(errBody)
	case "nested":
		inner, err := again()
		if err != nil {
			return err
		}
		if fence := b.fence(); inner.Fence() != fence && inner.Err() == nil {
			d.world.checks.find(d.world.checks.one("I2", "Q2"), "%d: a re-entry has fence %d in place of %d", d.Number, inner.Fence(), fence)
		}
		d.work(b)
		return inner.Release(ctx)
	}
	d.through = true
	return nil
}

// change changes the mode of a hold.
func (d *doing) change(b *body) {
	if d.draw.IntN(2) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(d.ctx, upTo(d.draw, 10*time.Millisecond, 10*time.Second))
	defer cancel()
	w := d.world
	var err error
	if b.class == "read" {
		w.checks.changing(b, "read")
		if err = b.lock.Upgrade(ctx); err == nil {
			w.checks.changed(b, "write", nil)
			d.work(b)
			return
		}
	} else {
		w.checks.changing(b, "read")
		err = b.lock.Downgrade(ctx)
	}
	w.history.say("%d changed: %v", d.Number, err)
	w.checks.changed(b, "read", err) // the weaker of the modes that it may have
}

// handOff hands a lock off to another process.
func (d *doing) handOff() error {
	l, err := d.client.Acquire(d.ctx, d.Name, redislock.WithLease(upTo(d.draw, 500*time.Millisecond, 10*time.Second)))
	if err != nil {
		return err
	}
	defer d.anyhow(l.Release)
	b := d.enter(l)
	d.work(b)
	d.leave(b)
	ticket, err := l.Handoff()
	if err != nil {
		return errors.Join(err, l.Release(d.ctx))
	}
	d.world.checks.handedOver(b.first)
	other := d.world.processes[d.draw.IntN(len(d.world.processes))]
	d.pause(d.ctx, time.Second)
	defer inProcess(inProcess(other.number + 1))
	again := &doing{operation: d.operation, process: other, draw: d.draw, ctx: d.ctx, cancel: d.cancel, asked: d.asked}
	resumed, err := other.client.Resume(d.ctx, ticket)
	if err != nil {
		return fmt.Errorf("by %s: %w", other.name, err)
	}
	return again.hold(resumed, nil)
}

// all takes several locks.
func (d *doing) all() error {
	names := []string{"a", "b"}
	if d.draw.IntN(2) == 0 {
		slices.Reverse(names)
	}
	locks, err := d.client.AcquireAll(d.ctx, names, d.common()...)
	if err != nil {
		return err
	}
	defer d.anyhow(locks.Release)
	var bodies []*body
	for _, name := range names {
		bodies = append(bodies, d.world.checks.enter(&body{
			doing: d, name: name, class: "exclusive", weight: 1, ctx: locks.Context(), err: locks.Err, fence: func() int64 { return locks.Fence(name) },
		}))
	}
	d.pause(locks.Context(), 2*time.Second)
	for _, b := range bodies {
		d.leave(b)
	}
	return d.release(bodies[0], locks.Release)
}
