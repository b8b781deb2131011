// Package cronlock runs each tick of a [cron.Cron] on one node of a fleet. Every node schedules the job by its own
// clock, and the first node that comes to a tick runs it. It is a [redislock.CronGuard] for robfig/cron.
//
// [AddFunc] adds such a job to a [cron.Cron]. For code that adds its jobs itself, [Guard.Job] makes the job, and
// [Guard.Wrapper] wraps one that exists.
package cronlock

import (
	"context"
	"errors"
	"time"

	"github.com/robfig/cron/v3"

	"example.com/redislock"
)

// Option shapes a [Guard].
type Option func(*Guard)

// WithGuard hands options to the [redislock.CronGuard] behind it: [redislock.WithAtLeast], [redislock.WithAtMost],
// [redislock.WithOverlap], [redislock.WithRetry], [redislock.WithLease] and so on. With an option that cannot work,
// every run fails with that error.
func WithGuard(opts ...redislock.CronOption) Option {
	return func(g *Guard) { g.opts = append(g.opts, opts...) }
}

// WithContext sets the context from which the context of every run is made. When it ends, so do those of the runs,
// and no further run begins. The default is [context.Background]. Stopping a [cron.Cron] ends no context.
func WithContext(ctx context.Context) Option {
	return func(g *Guard) { g.ctx = ctx }
}

// WithLocation sets the time zone for a schedule that names none. It must be the time zone of the [cron.Cron] that
// runs the job. The default is [time.Local], as for [cron.New]; [AddFunc] knows the right one.
func WithLocation(l *time.Location) Option {
	return func(g *Guard) { g.location = l }
}

// WithLogger sets where outcomes are logged: a run that failed or could not begin as an error, all others as
// information. The default is [cron.DefaultLogger], which prints errors only; [cron.DiscardLogger] keeps quiet.
func WithLogger(l cron.Logger) Option {
	return func(g *Guard) { g.logger = l }
}

// WithHandler sets a function that is called with the outcome of each tick on this node, before it is logged, on
// the goroutine of the job.
func WithHandler(f func(Run)) Option {
	return func(g *Guard) { g.handler = f }
}

// Run is the outcome of a tick on this node.
type Run struct {
	Job     string
	Tick    time.Time
	Outcome redislock.Outcome // 0 if nothing was run and Err says why
	Err     error             // as for [redislock.CronGuard.Run]
}

// Guard sees to it that a job is run at most once for each tick of its schedule, wherever it is scheduled. It is safe
// for use by many goroutines.
type Guard struct {
	job      string
	schedule cron.Schedule
	opts     []redislock.CronOption
	ctx      context.Context
	location *time.Location
	logger   cron.Logger
	handler  func(Run)

	guard *redislock.CronGuard
	now   func() time.Time
}

// New makes the Guard of a job. The schedule must be the one on which the job is run: when the job is called, [Tick]
// computes the tick from the schedule. All nodes must give the job the same name and the same schedule. New sends
// nothing, and a Guard needs no closing.
func New(client *redislock.Client, job string, schedule cron.Schedule, opts ...Option) *Guard {
	g := &Guard{
		job: job, schedule: schedule, ctx: context.Background(), location: time.Local, logger: cron.DefaultLogger,
		handler: func(Run) {}, now: time.Now,
	}
	for _, opt := range opts {
		opt(g)
	}
	g.guard = client.Cron(job, append([]redislock.CronOption{redislock.WithSchedule(g.next)}, g.opts...)...)
	return g
}

// next is the activation after a tick. It is shown to those who look at the job.
func (g *Guard) next(tick time.Time) time.Time { return CatchUp(g.schedule).Next(tick.In(g.location)) }

// Announce makes the job visible before its first run, as [redislock.CronGuard.Announce] does. [AddFunc] calls it.
func (g *Guard) Announce(ctx context.Context) error { return g.guard.Announce(ctx) }

// announceTime is how long AddFunc tries to announce a job.
const announceTime = 10 * time.Second

// Job returns a job that runs fn at most once for each tick across the fleet. The context of fn ends with that of
// [WithContext], if the lock is lost, and after [redislock.WithAtMost]. [redislock.FromContext] finds the lock in it;
// send its fence with each write. A panic of fn is passed on; see [cron.Recover].
func (g *Guard) Job(fn func(context.Context) error) cron.Job {
	return cron.FuncJob(func() { g.run(fn) })
}

// Wrapper is for jobs that exist already. It must be the first of its [cron.Chain], as a wrapper before it that makes
// the job wait, such as [cron.DelayIfStillRunning], makes it late for its tick. The chain must serve jobs of this
// schedule alone. Such a job does not learn that the lock was lost, and its failures are not known: use [Guard.Job]
// where you can.
func (g *Guard) Wrapper() cron.JobWrapper {
	return func(job cron.Job) cron.Job {
		return g.Job(func(context.Context) error {
			job.Run()
			return nil
		})
	}
}

// AddFunc adds to c, which may be running, a job that runs fn at most once for each tick across the fleet; see
// [Guard.Job]. The spec is read by the parser and in the time zone of c, which must be the same on all nodes. A tick that the
// clocks skip is run after the gap, as by [CatchUp]. The error is the parser's; nothing was added then. The job is announced
// in the background ([Guard.Announce]), for at most 10 s; a failure of that is logged, and the job runs nonetheless.
func AddFunc(c *cron.Cron, spec string, client *redislock.Client, name string, fn func(context.Context) error, opts ...Option) (cron.EntryID, error) {
	g := New(client, name, nil, append([]Option{WithLocation(c.Location())}, opts...)...)
	parsed := make(chan struct{})
	job := cron.FuncJob(func() {
		<-parsed // the job may fire before c has returned the parsed spec
		g.run(fn)
	})
	id, err := c.AddJob(spec, job)
	if err != nil {
		return 0, err
	}
	g.schedule = c.Entry(id).Schedule
	close(parsed)
	if whole := CatchUp(g.schedule); whole != g.schedule { // the old entry is removed last: a tick for which both fire is run once
		parsedOnly := id
		id = c.Schedule(whole, job)
		c.Remove(parsedOnly)
	}
	if g.schedule == nil { // removed as soon as it was added
		return id, nil
	}
	go func() {
		ctx, cancel := context.WithTimeout(g.ctx, announceTime)
		defer cancel()
		if err := g.Announce(ctx); err != nil && g.ctx.Err() == nil && !errors.Is(err, redislock.ErrClosed) {
			g.logger.Error(err, "cron job", "job", g.job)
		}
	}()
	return id, nil
}

func (g *Guard) run(fn func(context.Context) error) {
	if g.schedule == nil { // removed as soon as it was added
		return
	}
	r := Run{Job: g.job, Tick: Tick(g.schedule, g.now().In(g.location))}
	r.Outcome, r.Err = g.guard.Run(g.ctx, r.Tick, fn)
	g.handler(r)
	if r.Err != nil {
		g.logger.Error(r.Err, "cron job", "job", r.Job, "tick", r.Tick, "outcome", r.Outcome)
	} else {
		g.logger.Info("cron job", "job", r.Job, "tick", r.Tick, "outcome", r.Outcome)
	}
}
