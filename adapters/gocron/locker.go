// Package gocronlock has the jobs of [gocron] schedulers run on one instance at a time: a [Locker], so that each tick
// of a job is run by one of them, and an [Elector], so that one of them runs all jobs.
//
// gocron locks a job by its name, tells the locker neither for which time it is scheduled nor how it ended, drops the
// error of the unlock, and has no way to tell a job that its lock was lost. What is here makes up for that: see
// [WithTick], [WithAtLeast] and [Locker.Task].
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

// DefaultAtLeast is how long a job that has no ticks keeps its lock, unless [WithAtLeast] says otherwise: more than the
// clocks of most fleets differ.
const DefaultAtLeast = 5 * time.Second

// Locker is gocron's Locker, for gocron.WithDistributedLocker, and for single jobs gocron.WithDistributedJobLocker. It
// may be shared by schedulers. The lock of a job is named "cron:" and the job's name, which must be the same on all
// instances and different for different jobs: set it by gocron.WithName, as gocron's default is the name of the function.
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

// WithTick makes it so that each tick is run once, however fast the job is and however much the clocks differ. The tick
// is what all instances must agree on, so it is computed from the job's name and the local clock: see [Crontab], [Every].
// Each tick goes through a [redislock.CronGuard], which remembers it, and [redislock.Client.CronStatus] tells of the
// last run by the job's name.
//
// Without it, and where f returns zero, only the minimum hold of [WithAtLeast] keeps a job from running twice.
func WithTick(f TickFunc) Option {
	return func(l *Locker) { l.tick = f }
}

// WithAtLeast keeps the lock of a job until d after it was locked, also if the job is over sooner and the process ends.
// The default is [DefaultAtLeast] for jobs without ticks. For those d must be more than the clocks of the instances
// differ, or the slower ones run the job again, and less than the time between two runs, or these are left out. Where
// there are ticks the default is 0, and it only keeps a distance between them. That must be less than the time between two
// ticks: with the whole of it every second one is left out, and gocron.AfterLockError hears of a [redislock.ErrHeld].
func WithAtLeast(d time.Duration) Option {
	return func(l *Locker) { l.atLeast, l.set = d, true }
}

// WithGuard sets options of the locks, such as [redislock.WithLease]; and for jobs with ticks those of
// [redislock.Client.Cron], such as [redislock.WithAtMost] and [redislock.WithRetry]. With one that cannot work no job
// runs, and gocron.AfterLockError hears of it.
//
// With [redislock.WithRetry] and [redislock.OverlapWait] an instance waits in the Lock, and schedules the job's next run
// afterwards.
func WithGuard(opts ...redislock.CronOption) Option {
	return func(l *Locker) { l.opts = append(l.opts, opts...) }
}

// WithOnLost has f called as soon as the lock of a job was lost while the job runs, on a goroutine of its own. It
// is for jobs that are not made by [Locker.Task], whose context ends then.
func WithOnLost(f func(job string, err error)) Option {
	return func(l *Locker) { l.onLost = f }
}

// NewLocker makes a Locker of the client's locks. Nothing is sent, and it needs no closing.
func NewLocker(client *redislock.Client, opts ...Option) *Locker {
	l := &Locker{client: client, tick: func(string, time.Time) time.Time { return time.Time{} }, onLost: func(string, error) {}, now: time.Now}
	for _, opt := range opts {
		opt(l)
	}
	return l
}

// Announce lets people know of jobs before their first run, as [redislock.CronGuard.Announce] does: [redislock.Client.CronJobs], the
// page and the command line list them, and say so when one is overdue because no instance comes to run it. Name the jobs as the
// scheduler does (gocron.WithName), and call it on every instance, when they were added. It needs [WithTick]: of a job without ticks
// it is a [redislock.ErrInvalid], and the others are announced nonetheless.
//
// From then on each run of these jobs here also notes when the next one is due. So a [WithAtLeast] that leaves no room for the next tick
// is refused, for these jobs. The ticks to come are found by calling the [TickFunc] with later times, some dozens of times. After an
// error a job may have been announced; call it again. A job that is no more is forgotten by [redislock.Client.CronReset].
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

// guard is that of a job with ticks.
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

// Lock is called by gocron when a job fires; an error means that it is not run here. It is a [redislock.ErrHeld] if
// another instance runs this tick or has run it, or if the job is still running or held on. Anything else is trouble, such
// as a Redis that cannot be reached; gocron.AfterLockError hears of both.
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

// Task is a function for gocron.NewTask, without parameters, that runs fn under the lock that gocron has just taken by
// this Locker: its context ends with gocron's, and if the lock is lost, and [redislock.FromContext] finds the lock, whose
// fence goes along with what fn writes. Its error, with [redislock.ErrLost] if the lock was lost, is known to gocron and to
// [redislock.Client.CronStatus]. Where no lock was taken fn does not run: [redislock.ErrNotHeld].
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

// withLoss is the error of what ran under a lock, and the loss of that lock.
func withLoss(err error, lock *redislock.Lock) error {
	if loss := lock.Err(); errors.Is(loss, redislock.ErrLost) && !errors.Is(err, redislock.ErrLost) {
		return errors.Join(err, fmt.Errorf("redislock: %q: %w", lock.Name(), loss))
	}
	return err
}

// claim finds the hold of a run: gocron passes a job the context that it passed to Lock, which is one for all runs of
// the job, and calls the job after Lock on the same goroutine.
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
