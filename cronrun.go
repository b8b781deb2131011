package redislock

import (
	"context"
	"errors"
	"fmt"
	"time"
)

func (g *CronGuard) run(ctx context.Context, tick time.Time, fn func(context.Context) error) (Outcome, error) {
	c := g.client
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
	if given.metadata == "" {
		given.metadata = "tick " + tick.Format(time.RFC3339Nano)
	}
	settled := func(rec record) bool { return rec.exists() && (g.retry == 0 || rec.value != tickBegun) }
	// The tick's own lock is held from now to the end; what else was asked for is about the run.
	rec, turn, err := c.turn(ctx, tickName(g.job, tick), settled, []Option{WithLease(given.lease), WithMetadata(given.metadata), WithWait(g.retry)})
	switch {
	case errors.Is(err, ErrHeld) && ctx.Err() == nil, err == nil && turn == nil:
		return OutcomeElsewhere, nil
	case err != nil:
		return 0, err
	}
	r := &cronRun{CronGuard: g, tick: tick, turn: turn}
	defer func() { _ = turn.finish(ctx, true, r.keep) }() // last of all; in the background where Redis does not answer
	ahead := tick.Sub(time.UnixMicro(turn.Fence()))       // a fence is the server's time, or more
	switch {
	case -ahead > g.memory:
		return OutcomeMissed, nil
	case ahead > g.memory:
		return 0, invalid("the tick %v is %v ahead of the server's clock", tick, ahead.Round(time.Second))
	}
	r.memory = g.memory + max(ahead, 0)

	opts = append(opts, WithMetadata(given.metadata))
	switch {
	case g.overlap == OverlapReplace:
		later, err := r.laterRuns(ctx)
		if err != nil {
			return 0, err
		}
		if later {
			return r.skip(ctx)
		}
		opts = append(opts, WithStealAfter(MinLease))
	case g.overlap == OverlapSkip && rec.exists(): // who began it is gone, but its lock of the job may live on for a lease
		opts = append(opts, WithWait(given.lease))
	case g.overlap == OverlapSkip:
		opts = append(opts, WithWait(0))
	}
	r.job, err = c.acquire(turn.With(ctx), jobName(g.job), opts)
	switch loss := turn.Err(); {
	case err == nil:
		return r.do(ctx, fn)
	case loss != nil:
		return 0, fmt.Errorf("while it waited for an earlier one: %w", loss)
	case errors.Is(err, ErrHeld) && g.overlap == OverlapSkip && ctx.Err() == nil:
		return r.skip(ctx)
	}
	return 0, err
}

// What a tick's record says: that it was begun, which somebody who stands by may do anew, or how it ended.
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
	turn   *Lock         // of the tick
	job    *Lock         // of the job
	keep   time.Duration // how long the first is to stay, where the record cannot say that the tick is over
	begun  time.Time
}

// skip leaves the tick out, for all.
func (r *cronRun) skip(ctx context.Context) (Outcome, error) {
	if err := r.client.note(ctx, r.turn, 2, tickSkipped, r.memory); err != nil {
		return 0, err
	}
	return OutcomeSkipped, nil
}

// laterRuns reports whether a later tick of the job is running: one that comes late must not replace it.
func (r *cronRun) laterRuns(ctx context.Context) (bool, error) {
	status := CronStatus{Job: r.CronGuard.job}
	err := r.client.cronStatus(ctx, &status)
	return status.Outcome == OutcomeRunning && status.Tick.After(r.tick), err
}

// do runs the function under both locks, and writes down what came of it.
func (r *cronRun) do(ctx context.Context, fn func(context.Context) error) (outcome Outcome, err error) {
	c := r.client
	r.begun = time.Now()
	release := time.Duration(0)
	defer func() { _ = r.job.finish(ctx, true, release) }()
	if err := c.note(ctx, r.turn, 1, tickBegun, r.memory); err != nil {
		return 0, err
	}
	if err := r.status(ctx, 1, OutcomeRunning, nil); err != nil {
		return 0, err // it counts as begun: nobody can tell whether that was noted
	}
	if loss := r.loss(); loss != nil { // I10: the notes may have taken longer than the lease
		return 0, loss
	}

	bounded := r.job.With(r.turn.With(ctx))
	if r.atMost > 0 {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeoutCause(bounded, r.atMost, fmt.Errorf("WithAtMost(%v) is over: %w", r.atMost, context.DeadlineExceeded))
		defer cancel()
	}
	outcome, err = OutcomeFailed, errors.New("panic") // if fn does not return
	defer func() {
		if !r.gaveUp(ctx, err) { // else it is for who stands by
			release = r.atLeast - elapsed(r.begun)
			if err := c.note(ctx, r.turn, 2, tickEnded, r.memory); err != nil {
				r.keep = min(r.memory, MaxLease) // then the lock says so
			}
		}
		_ = r.status(ctx, 2, outcome, err) // the run is over, whether that can be told or not
	}()
	err = fn(bounded)
	if loss := r.loss(); loss != nil && !errors.Is(err, ErrLost) {
		err = errors.Join(err, loss)
	}
	if err == nil {
		outcome = OutcomeRan
	}
	return outcome, err
}

// gaveUp reports whether a run with that error is one for who stands by: it was told to stop, or a lease was lost. What
// was stolen, for a later tick or by an operator, is over.
func (r *cronRun) gaveUp(ctx context.Context, err error) bool {
	loss := r.loss()
	return ctx.Err() != nil && err != nil || r.turn.hold.loss() != nil || loss != nil && !errors.Is(loss, ErrStolen)
}

// loss is that of either lock.
func (r *cronRun) loss() error {
	if loss := r.job.hold.loss(); loss != nil {
		return loss
	}
	return r.turn.hold.loss()
}
