package redislock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock/internal/clock"
)

func (g *CronGuard) run(ctx context.Context, tick time.Time, fn func(context.Context) error) (Outcome, error) {
	c := g.client
	if err := c.called(ctx); err != nil {
		return 0, err
	}
	switch {
	case g.fault != nil:
		return 0, g.fault
	case fn == nil:
		return 0, invalid("a nil function")
	case tick.IsZero():
		return 0, invalid("a tick without a time")
	}
	opts, err := ownLock(g.lock)
	if err != nil {
		return 0, err
	}
	given, err := c.settings(opts)
	if err != nil {
		return 0, err
	}
	if next := g.after(tick); g.overlap == OverlapSkip && g.atLeast > 0 && !next.IsZero() && next.Sub(tick) <= g.atLeast {
		return 0, invalid("WithAtLeast(%v): the next tick comes %v later, and would be left out", g.atLeast, next.Sub(tick))
	}
	if given.metadata == "" {
		given.metadata = "tick " + tick.Format(time.RFC3339Nano)
	}
	settled := func(rec record) bool { return rec.exists() && (g.retry == 0 || rec.value != tickBegun) }
	// The tick's own lock is held from now to the end. The other options are about the run.
	own := []Option{WithLease(given.lease), WithMetadata(given.metadata)}
	rec, turn, err := c.turn(ctx, tickName(g.job, tick), settled, append(own[:2:2], WithWait(g.retry)))
	switch {
	case errors.Is(err, ErrHeld) && ctx.Err() == nil, err == nil && turn == nil:
		return OutcomeElsewhere, nil
	case err != nil:
		return 0, err
	}
	r := &cronRun{CronGuard: g, tick: tick, turn: turn}
	defer func() { _ = turn.finish(ctx, true, r.keep) }() // last of all; if Redis does not answer, in the background
	now := rec.now.Time()                                 // not the fence, which may be ahead of the server's clock
	ahead := max(tick.Sub(now), 0)
	switch { // times are compared, for the time between two may be more than a Duration can say
	case tick.Before(now.Add(-g.memory)):
		return OutcomeMissed, nil
	case tick.After(now.Add(g.ahead)):
		return 0, invalid("the tick %v is %v ahead of the server's clock, at most %v: one of the clocks is wrong", tick, ahead.Round(time.Second), g.ahead)
	}
	r.memory = g.memory + ahead

	opts = append(opts, WithMetadata(given.metadata))
	under := turn.under(ctx)
	switch {
	case g.overlap == OverlapReplace:
		// No other tick begins between this check and this begin. Otherwise an earlier tick could end a later one.
		own, _ = ownLock(own)
		if r.deciding, err = c.acquire(under, replaceName(g.job), own); err != nil {
			return r.notBegun(err)
		}
		defer r.decided(ctx)
		under = r.deciding.under(under)
		later, err := r.laterRuns(under)
		if err != nil {
			return r.notBegun(err)
		}
		if later {
			return r.skip(ctx)
		}
		opts = append(opts, WithStealAfter(MinLease))
	case g.overlap == OverlapSkip && rec.exists(): // the node that began it is gone, but its lock of the job may live on for a lease
		opts = append(opts, WithWait(given.lease))
	case g.overlap == OverlapSkip:
		opts = append(opts, WithWait(0))
	}
	r.job, err = c.acquire(under, jobName(g.job), opts)
	if errors.Is(err, ErrHeld) && g.overlap == OverlapSkip && ahead > 0 {
		sleep(under, ahead) // until the tick is due: this node is early, and the earlier tick may end in time
		r.job, err = c.acquire(under, jobName(g.job), opts)
	}
	switch {
	case err == nil:
		return r.do(ctx, own, fn)
	case errors.Is(err, ErrHeld) && g.overlap == OverlapSkip && turn.Err() == nil && ctx.Err() == nil:
		return r.skip(ctx)
	}
	return r.notBegun(err)
}

// after is the tick after another one, as [WithSchedule] says; zero if there is none that could be written down.
func (g *CronGuard) after(tick time.Time) time.Time {
	if g.next == nil {
		return time.Time{}
	}
	next := g.next(tick).UTC()
	if next.Year() < 1 || next.Year() > 9999 {
		return time.Time{}
	}
	return next
}

// These are what a tick's record says: the tick was begun, and a node that stands by may begin it anew; or how the tick
// ended.
const (
	tickBegun   = "begun"
	tickEnded   = "ended"
	tickSkipped = "skipped"
)

// cronRun is one run of a tick.
type cronRun struct {
	*CronGuard
	tick   time.Time
	memory time.Duration
	turn   *Lock // of the tick
	job    *Lock // of the job
	// deciding is held from the check for a later tick until others can see that this one runs. It is nil without OverlapReplace.
	deciding *Lock
	keep     time.Duration // how long turn is to stay, if the record cannot say that the tick is over
	places   []*Lock       // in the groups
	granted  time.Time     // when job was
	begun    time.Time
	earlier  []cronPast // the runs before this one, the latest first
}

// decided lets the next tick decide whether it replaces this one.
func (r *cronRun) decided(ctx context.Context) {
	if r.deciding != nil {
		_ = r.deciding.finish(ctx, true, 0) // a second time it sends nothing
	}
}

// notBegun is the outcome of a tick that waited and did not begin. It may have lost its locks meanwhile.
func (r *cronRun) notBegun(err error) (Outcome, error) {
	for _, l := range append([]*Lock{r.turn, r.deciding, r.job}, r.places...) {
		if l != nil && l.Err() != nil {
			return 0, fmt.Errorf("while it waited to begin: %w", l.Err())
		}
	}
	return 0, err
}

// skip leaves the tick out, for all nodes.
func (r *cronRun) skip(ctx context.Context) (Outcome, error) {
	if err := r.client.record(ctx, r.turn, 2, tickSkipped, r.memory); err != nil {
		return 0, err
	}
	return OutcomeSkipped, nil
}

// laterRuns reports whether a later tick of the job is running. A tick that comes late must not replace it.
func (r *cronRun) laterRuns(ctx context.Context) (bool, error) {
	status := CronStatus{Job: r.CronGuard.job}
	err := r.client.cronStatus(ctx, &status)
	return status.Outcome == OutcomeRunning && status.Tick.After(r.tick), err
}

// do runs the function under all locks, and writes down the outcome. The options are those of the library's own locks.
func (r *cronRun) do(ctx context.Context, own []Option, fn func(context.Context) error) (outcome Outcome, err error) {
	c := r.client
	r.granted = time.Now()
	release := time.Duration(0)
	defer func() { _ = r.job.finish(ctx, true, release) }()
	defer r.leave(ctx)
	if outcome, err := r.enter(ctx, own); outcome != 0 || err != nil {
		return outcome, err
	}
	r.begun = time.Now()
	if err := r.recallEarlier(ctx); err != nil {
		return 0, err
	}
	if err := c.record(ctx, r.turn, 1, tickBegun, r.memory); err != nil {
		return 0, err
	}
	if err := r.status(ctx, 1, OutcomeRunning, nil); err != nil {
		return 0, err // the tick counts as begun: nobody can tell whether the note was written
	}
	r.decided(ctx)
	if loss := r.loss(); loss != nil { // I10: the notes may have taken longer than the lease
		return 0, loss
	}

	bounded := ctx
	for _, l := range r.places {
		bounded = l.within(bounded)
	}
	bounded = r.job.under(r.turn.under(bounded))
	if r.atMost > 0 {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeoutCause(bounded, r.atMost, fmt.Errorf("WithAtMost(%v) is over: %w", r.atMost, context.DeadlineExceeded))
		defer cancel()
	}
	outcome, err = OutcomeFailed, errors.New("panic") // if fn does not return
	defer func() {
		over := !r.gaveUp(ctx, err) // otherwise the tick is for a node that stands by
		if over || r.retry == 0 {
			release = max(r.atLeast-clock.Elapsed(r.begun), r.pause)
		}
		if over {
			if err := c.record(ctx, r.turn, 2, tickEnded, r.memory); err != nil {
				r.keep = min(r.memory, MaxLease) // then the lock says that the tick is over
			}
		}
		_ = r.status(ctx, 2, outcome, err) // the run is over, whether that can be told or not
	}()
	err = fn(bounded)
	if loss := r.loss(); loss != nil && !errors.Is(err, ErrLost) {
		err = both(err, loss)
	}
	if err == nil {
		outcome = OutcomeRan
	}
	return outcome, err
}

// gaveUp reports whether a run that ended with err is to be run anew by a node that stands by: it was told to stop, or a
// lease was lost. A run whose lock was stolen, for a later tick or by an operator, is over.
func (r *cronRun) gaveUp(ctx context.Context, err error) bool {
	loss := r.loss()
	return ctx.Err() != nil && err != nil || r.turn.hold.loss() != nil || loss != nil && !errors.Is(loss, ErrStolen)
}

// loss is the loss of any of its locks. A lock that the function gave back or handed off by itself is not lost.
func (r *cronRun) loss() error {
	for _, l := range append([]*Lock{r.job, r.turn}, r.places...) {
		if loss := l.hold.loss(); loss != nil && !errors.Is(loss, ErrReleased) {
			return loss
		}
	}
	return nil
}
