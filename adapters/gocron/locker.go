// Package gocronlock runs the jobs of [gocron] schedulers on one instance of a fleet. With a [Locker] each tick of a
// job is run by one instance. With an [Elector] one instance runs all jobs.
//
// gocron tells its locker the name of a job, but neither for which time it is scheduled nor how it ended. It drops
// the error of the unlock, and cannot tell a job that its lock was lost. [WithTick], [WithAtLeast] and [Locker.Task]
// make up for that.
//
// [gocron]: https://pkg.go.dev/github.com/go-co-op/gocron/v2
package gocronlock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-co-op/gocron/v2"

	"example.com/redislock"
)

// DefaultAtLeast is how long a job that has no ticks keeps its lock, unless [WithAtLeast] says otherwise. The clocks of
// most fleets differ by less.
const DefaultAtLeast = 5 * time.Second

// Locker is for gocron.WithDistributedLocker, and for single jobs gocron.WithDistributedJobLocker. Schedulers may share
// one. The name of a job's lock is "cron:" and the name of the job, which must be the same on all instances and different
// for different jobs. Set it by gocron.WithName, as gocron's default is the name of the function.
type Locker struct {
	client  *redislock.Client
	tick    TickFunc
	atLeast time.Duration
	set     bool // atLeast
	opts    []redislock.CronOption
	onLost  func(job string, err error)
	now     func() time.Time

	mu        sync.Mutex
	holds     []*hold         // locked and not yet unlocked
	announced map[string]bool // jobs
}

var _ gocron.Locker = (*Locker)(nil)

// Option shapes a [Locker].
type Option func(*Locker)

// WithTick sets the function that computes the tick of a job, the time for which it is scheduled, from the name of the
// job and the local clock: see [Crontab], [Every]. All instances must compute the same ticks. Each tick is then run at
// most once, however short the job is and however much the clocks differ: a [redislock.CronGuard] remembers the ticks.
// [redislock.Client.CronStatus] shows the last run of a job.
//
// Without WithTick, and where f returns zero, only the minimum hold of [WithAtLeast] keeps a job from running
// twice.
func WithTick(f TickFunc) Option {
	return func(l *Locker) { l.tick = f }
}

// WithAtLeast keeps the lock of a job until d after it was taken, even if the job is over sooner and the process ends. For
// jobs without ticks the default is [DefaultAtLeast]; d must be longer than the clocks of the instances differ, or a
// slower one runs the job again, and shorter than the time between two runs, or runs are left out. For jobs with ticks the
// default is 0, and d only keeps a distance between runs. It must be shorter than the time between two ticks: if it is
// equal, every second tick is left out, and gocron.AfterLockError gets a [redislock.ErrHeld].
func WithAtLeast(d time.Duration) Option {
	return func(l *Locker) { l.atLeast, l.set = d, true }
}

// WithGuard sets options of the locks, such as [redislock.WithLease]. For jobs with ticks, those of
// [redislock.Client.Cron] are allowed too, such as [redislock.WithAtMost] and [redislock.WithRetry]. With an option
// that cannot work no job runs, and gocron.AfterLockError gets the error.
//
// With [redislock.WithRetry] and [redislock.OverlapWait] an instance waits in [Locker.Lock], and gocron schedules the
// next run of the job afterwards.
func WithGuard(opts ...redislock.CronOption) Option {
	return func(l *Locker) { l.opts = append(l.opts, opts...) }
}

// WithOnLost sets a function that is called, on a goroutine of its own, as soon as the lock of a running job is lost.
// It is for jobs that are not made by [Locker.Task]; the context of those ends then.
func WithOnLost(f func(job string, err error)) Option {
	return func(l *Locker) { l.onLost = f }
}

// NewLocker makes a Locker of the client's locks. It sends nothing, and a Locker needs no closing.
func NewLocker(client *redislock.Client, opts ...Option) *Locker {
	l := &Locker{client: client, tick: func(string, time.Time) time.Time { return time.Time{} }, onLost: func(string, error) {}, now: time.Now}
	for _, opt := range opts {
		opt(l)
	}
	return l
}

// Announce makes jobs visible before their first run, as [redislock.CronGuard.Announce] does: [redislock.Client.CronJobs], the page
// and the command line list them, and say if one is overdue because no instance runs it. Name the jobs as the scheduler does
// (gocron.WithName), and call Announce on every instance after the jobs were added. A job without ticks ([WithTick]) gives a
// [redislock.ErrInvalid]; the others are announced nonetheless.
//
// From then on each run of these jobs by this Locker also records when the next one is due. So for these jobs a [WithAtLeast] that
// leaves no room for the next tick is refused. To find the next tick, the [TickFunc] is called with later times, some dozens of times.
// After an error some of the jobs may have been announced; call Announce again. [redislock.Client.CronReset] removes a job that exists
// no more.
func (l *Locker) Announce(ctx context.Context, jobs ...string) error {
	var failed []error
	for _, job := range jobs {
		if l.tick(job, l.now()).IsZero() {
			failed = append(failed, fmt.Errorf("redislock: job %q: %w: announced, and without ticks (WithTick)", job, redislock.ErrInvalid))
			continue
		}
		l.mu.Lock()
		if l.announced == nil {
			l.announced = map[string]bool{}
		}
		l.announced[job] = true
		l.mu.Unlock()
		failed = append(failed, l.guard(job).Announce(ctx))
	}
	return errors.Join(failed...)
}

// guard makes the CronGuard of a job with ticks.
func (l *Locker) guard(job string) *redislock.CronGuard {
	var opts []redislock.CronOption
	l.mu.Lock()
	if l.announced[job] {
		opts = append(opts, redislock.WithSchedule(func(after time.Time) time.Time { return l.tick.next(job, after) }))
	}
	l.mu.Unlock()
	opts = append(opts, l.opts...)
	if l.set {
		opts = append(opts, redislock.WithAtLeast(l.atLeast))
	}
	return l.client.Cron(job, opts...)
}

// Lock is called by gocron when a job fires; after an error the job is not run here. The error is a [redislock.ErrHeld] if
// another instance runs this tick or has run it, if the job still runs, or if its lock is kept by [WithAtLeast]. Any other
// error is a fault, such as a Redis that cannot be reached. gocron.AfterLockError gets both kinds.
func (l *Locker) Lock(ctx context.Context, job string) (gocron.Lock, error) {
	h := &hold{locker: l, ctx: ctx, job: job, done: make(chan struct{})}
	var err error
	if tick := l.tick(job, l.now()); tick.IsZero() {
		err = h.begin(ctx)
	} else {
		err = h.beginTick(ctx, tick)
	}
	if err != nil {
		return nil, err
	}
	context.AfterFunc(h.lock.Context(), func() {
		if err := context.Cause(h.lock.Context()); errors.Is(err, redislock.ErrLost) {
			l.onLost(job, err)
		}
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holds = append(l.holds, h)
	return h, nil
}

// Task returns a function for gocron.NewTask that runs fn under the lock that gocron has just taken by this Locker. The
// context of fn ends with gocron's, and if the lock is lost. [redislock.FromContext] finds the lock in it; send its fence
// with each write. The error is fn's, joined with [redislock.ErrLost] if the lock was lost; gocron and
// [redislock.Client.CronStatus] get it. If gocron took no lock by this Locker, fn does not run, and the error is
// [redislock.ErrNotHeld].
func (l *Locker) Task(fn func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		h := l.claim(ctx)
		if h == nil {
			return fmt.Errorf("redislock: job: %w: the scheduler does not lock it by this Locker", redislock.ErrNotHeld)
		}
		h.result = errors.New("panic") // if fn does not return
		h.result = withLoss(fn(h.run), h.lock)
		return h.result
	}
}

// withLoss adds the loss of a lock to the error of the function that ran under it.
func withLoss(err error, lock *redislock.Lock) error {
	if loss := lock.Err(); errors.Is(loss, redislock.ErrLost) && !errors.Is(err, redislock.ErrLost) {
		return errors.Join(err, fmt.Errorf("redislock: %q: %w", lock.Name(), loss))
	}
	return err
}

// claim finds the hold of a run by its context: gocron gives a job the context that it gave to Lock. All runs of a
// job share that context, and gocron calls the job after Lock on the same goroutine.
func (l *Locker) claim(ctx context.Context) *hold {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.holds {
		if h.ctx == ctx && !h.claimed {
			h.claimed = true
			return h
		}
	}
	return nil
}

func (l *Locker) forget(h *hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holds = slices.DeleteFunc(l.holds, func(other *hold) bool { return other == h })
}
