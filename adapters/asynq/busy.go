package asynqlock

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hibiken/asynq"
)

// ErrBusy says that the task did not run because somebody else holds its key, and is to be retried. It wraps the
// [redislock.HeldError], which says who. It reaches asynq's ErrorHandler like any other error of a task.
var ErrBusy = errors.New("redislock: asynq: somebody else is at it")

// IsFailure belongs into asynq.Config.IsFailure: [ErrBusy] is not a failure, so that asynq does not count such a retry,
// nor shows it in its statistics. Every other error is one.
//
// asynq asks it only while retries are left: whatever a task returns on its last attempt sends it to the archive. So on that
// one a task does not come back busy, but waits for its key until shortly before its deadline. It keeps its worker meanwhile,
// so in each process no more than one of each key waits; any further one is archived with ErrBusy, unless [WithRequeue] says
// how it is enqueued anew. Tasks with a retry left cost no worker: with asynq.MaxRetry(1), IsFailure, and asynq.SkipRetry
// around the handler's own errors a task is tried once and comes back as often as it is busy. Without IsFailure busy tasks
// use up their retries, and then are on their last attempt too.
func IsFailure(err error) bool { return err != nil && !errors.Is(err, ErrBusy) }

// RetryDelay is for asynq.Config.RetryDelayFunc: a task that was busy comes back after d to 1.5 d, spread so that tasks
// of one key do not all come at once; others after what otherwise says. A nil otherwise is
// [asynq.DefaultRetryDelayFunc], which alone would let a busy task come back after 15 s and more. asynq rounds to
// seconds, and looks every Config.DelayedTaskCheckInterval, 5 s unless set.
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
