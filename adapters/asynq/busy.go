package asynqlock

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hibiken/asynq"
)

// ErrBusy says that the task did not run because its key is held, and that it is to be retried. It wraps the
// [redislock.HeldError], which names the holder. It reaches asynq's ErrorHandler like any other error of a task.
var ErrBusy = errors.New("redislock: asynq: another holds the key")

// IsFailure is for asynq.Config.IsFailure. It reports that [ErrBusy] is not a failure, so asynq neither counts such a
// retry nor shows it in its statistics. Every other error is a failure.
//
// asynq calls it only while retries are left: on its last attempt, any error sends a task to the archive. So on its last
// attempt a task waits for its key until shortly before its deadline. It occupies its worker meanwhile, so in each process at
// most one task waits for each key; any further one is archived with ErrBusy, unless [WithRequeue] says how it is enqueued
// anew. A busy task with a retry left occupies no worker. With asynq.MaxRetry(1), IsFailure, and asynq.SkipRetry around the
// handler's own errors, a task runs once, and comes back as often as its key is held. Without IsFailure busy tasks use up
// their retries, and then are on their last attempt too.
func IsFailure(err error) bool { return err != nil && !errors.Is(err, ErrBusy) }

// RetryDelay is for asynq.Config.RetryDelayFunc: a task that was busy comes back after d to 1.5 d, spread so that tasks
// of one key do not all come at once; all others come back after the delay that the function otherwise returns. A nil
// otherwise stands for [asynq.DefaultRetryDelayFunc], by which a busy task would come back after 15 s or more. asynq
// rounds to seconds, and looks for due tasks every Config.DelayedTaskCheckInterval, by default 5 s.
func RetryDelay(d time.Duration, otherwise asynq.RetryDelayFunc) asynq.RetryDelayFunc {
	if otherwise == nil {
		otherwise = asynq.DefaultRetryDelayFunc
	}
	return func(n int, err error, t *asynq.Task) time.Duration {
		if !errors.Is(err, ErrBusy) {
			return otherwise(n, err, t)
		}
		return d + rand.N(max(d, 0)/2+1)
	}
}
