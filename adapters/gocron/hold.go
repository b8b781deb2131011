package gocronlock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock"
)

// hold is one run of a job: what gocron has between Lock and Unlock.
type hold struct {
	locker *Locker
	job    string
	ctx    context.Context // the job's, as gocron has it
	run    context.Context // ends with that one, and with the lock
	lock   *redislock.Lock // whose fence counts

	claimed bool  // by Task; guarded by Locker.mu
	result  error // of the job, as far as Task tells

	release func(context.Context) error
	done    chan struct{} // closed when the guard is through
}

// begin is for a job without ticks: its lock, kept for a while.
func (h *hold) begin(ctx context.Context) error {
	var opts []redislock.Option
	for _, opt := range h.locker.opts {
		o, ok := opt.(redislock.Option)
		if !ok {
			return fmt.Errorf("redislock: job %q: %w: an option of a CronGuard needs WithTick", h.job, redislock.ErrInvalid)
		}
		opts = append(opts, o)
	}
	atLeast := DefaultAtLeast
	if h.locker.set {
		atLeast = h.locker.atLeast
	}
	if atLeast < 0 || atLeast > redislock.MaxLease {
		return fmt.Errorf("redislock: job %q: %w: WithAtLeast(%v): must be from 0 to %v", h.job, redislock.ErrInvalid, atLeast, redislock.MaxLease)
	}
	// Under the context of its own hold the job would nest in it, and run twice.
	lock, err := h.locker.client.TryAcquire(ctx, "cron:"+h.job, append(opts, redislock.WithMode(redislock.Exclusive), redislock.WithWeight(1), redislock.NonReentrant())...)
	if err != nil {
		return err
	}
	began := time.Now()
	h.lock, h.run = lock, lock.With(ctx)
	h.release = func(ctx context.Context) error { return lock.ReleaseAfter(ctx, atLeast-time.Since(began)) }
	return nil
}

// beginTick is for a job with ticks. A CronGuard calls what it guards, and gocron calls Lock and Unlock: so the guard
// runs on a goroutine of its own, between the two.
func (h *hold) beginTick(ctx context.Context, tick time.Time) error {
	guard := h.locker.guard(h.job)
	begun, over := make(chan struct{}), make(chan struct{})
	var outcome redislock.Outcome
	var err error
	go func() {
		defer close(h.done)
		outcome, err = guard.Run(ctx, tick, func(ctx context.Context) error {
			h.run = ctx
			h.lock, _ = redislock.FromContext(ctx)
			close(begun)
			<-over
			return h.result
		})
	}()
	h.release = func(context.Context) error {
		close(over)
		<-h.done
		if errors.Is(err, redislock.ErrLost) || outcome == 0 {
			return err
		}
		return nil // or the job's own error, which gocron knows
	}
	select {
	case <-begun:
		return nil
	case <-h.done:
	}
	switch {
	case err != nil:
		return err
	case outcome == redislock.OutcomeMissed:
		return fmt.Errorf("redislock: job %q: the tick %v was missed: nobody knows whether it was run", h.job, tick)
	default:
		return fmt.Errorf("redislock: job %q: the tick %v: %w: %v", h.job, tick, redislock.ErrHeld, outcome)
	}
}

// Unlock gives the lock back, or keeps it for as long as [WithAtLeast] says. gocron calls it when the job is over, and
// drops its error: a [redislock.ErrNotHeld] or [redislock.ErrLost] if the lock was lost before, which [WithOnLost] and
// [Locker.Task] tell at once.
func (h *hold) Unlock(ctx context.Context) error {
	h.locker.forget(h)
	return h.release(ctx)
}
