package gocronlock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock"
)

// hold is one run of a job, from Lock to Unlock.
type hold struct {
	locker *Locker
	job    string
	ctx    context.Context // which gocron gave to Lock
	run    context.Context // ends with ctx, and with the lock
	lock   *redislock.Lock // its fence is the one for writes

	claimed bool  // by Task; guarded by Locker.mu
	result  error // of the job, if it is made by Task

	release func(context.Context) error
	done    chan struct{} // closed when the guard has returned
}

// begin takes the lock of a job without ticks. The release keeps it for WithAtLeast.
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
	// If the acquire could nest in a hold that ctx carries, the job would run twice.
	lock, err := h.locker.client.TryAcquire(ctx, "cron:"+h.job, append(opts, redislock.WithMode(redislock.Exclusive), redislock.WithWeight(1), redislock.NonReentrant())...)
	if err != nil {
		return err
	}
	began := time.Now()
	h.lock, h.run = lock, lock.With(ctx)
	h.release = func(ctx context.Context) error { return lock.ReleaseAfter(ctx, atLeast-time.Since(began)) }
	return nil
}

// beginTick takes the lock of a job with ticks. A CronGuard calls a function, but gocron calls Lock and Unlock. So
// the guard runs on a goroutine of its own, and its function returns when Unlock is called.
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
		return nil // err may be that of the job, which gocron knows
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
// drops its error: a [redislock.ErrNotHeld] or [redislock.ErrLost] if the lock was lost before. [WithOnLost] and
// [Locker.Task] report a loss at once.
func (h *hold) Unlock(ctx context.Context) error {
	h.locker.forget(h)
	return h.release(ctx)
}
