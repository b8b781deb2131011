// Package cronlock has each tick of a [cron.Cron] run on one node of a fleet: every node schedules the job for itself,
// whatever its clock shows, and the first to come to a tick runs it. It is a [redislock.CronGuard] for robfig/cron.
//
// [AddFunc] adds such a job to a [cron.Cron]. Where a job is added otherwise, a [Guard] makes it, or is a JobWrapper.
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
// [redislock.WithOverlap], [redislock.WithRetry], [redislock.WithLease] and so on. One that cannot work is reported
// with every run.
func WithGuard(opts ...redislock.CronOption) Option {
	return func(g *Guard) { g.opts = append(g.opts, opts...) }
}

// WithContext sets the context that every run comes from: when it ends, so do the contexts of the functions, and no
// further run begins. The default is the background. Stopping a [cron.Cron] ends no context.
func WithContext(ctx context.Context) Option {
	return func(g *Guard) { g.ctx = ctx }
}

// WithLocation sets the time zone in which a schedule without one of its own is read. It must be that of the
// [cron.Cron] that runs the job. The default is [time.Local], as for [cron.New]; [AddFunc] knows the right one.
func WithLocation(l *time.Location) Option {
	return func(g *Guard) { g.location = l }
}

// WithLogger sets where outcomes are logged: a run that failed, or could not be, as an error, all others as information.
// The default is [cron.DefaultLogger], which prints errors only; [cron.DiscardLogger] keeps quiet.
func WithLogger(l cron.Logger) Option {
	return func(g *Guard) { g.logger = l }
}

// WithHandler has f called with what became of each tick on this node, before it is logged, on the job's goroutine.
func WithHandler(f func(Run)) Option {
	return func(g *Guard) { g.handler = f }
}

// Run is what became of a tick on this node.
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

// New makes the Guard of a job with that schedule, which must be the one that it is run on: the tick is told from it,
// by [Tick], when the job is called. All nodes must give the job the same name and the same schedule. Nothing is sent,
// and it needs no closing.
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

// next is the activation after another one, for those who look at the job.
func (g *Guard) next(tick time.Time) time.Time { return CatchUp(g.schedule).Next(tick.In(g.location)) }

// Announce lets people know of the job before its first run, as [redislock.CronGuard.Announce] does. [AddFunc] calls it.
func (g *Guard) Announce(ctx context.Context) error { return g.guard.Announce(ctx) }

// announceTime is how long AddFunc tries to announce a job.
const announceTime = 10 * time.Second

// Job is a job which runs fn at most once for each tick across the fleet. The context of fn ends with that of
// [WithContext], if a lock is lost, and after [redislock.WithAtMost]; [redislock.FromContext] finds the lock, whose
// fence goes along with what fn writes. A panic of fn is passed on; see [cron.Recover].
func (g *Guard) Job(fn func(context.Context) error) cron.Job {
	return cron.FuncJob(func() { g.run(fn) })
}

// Wrapper is for jobs that exist already. It belongs first in a [cron.Chain], and that chain to jobs of this schedule
// alone: what is in front and makes the job wait, as [cron.DelayIfStillRunning] does, makes it late for its tick. Such a
// job is not told of the loss of the lock, and none of its failures is known: use [Guard.Job] where you can.
func (g *Guard) Wrapper() cron.JobWrapper {
	return func(job cron.Job) cron.Job {
		return g.Job(func(context.Context) error {
			job.Run()
			return nil
		})
	}
}

// AddFunc adds to c, which may be running, a job that runs fn at most once for each tick across the fleet; see
// [Guard.Job]. The spec is read by the parser and in the time zone of c; all nodes must have the same of both. What the clocks
// skip is run after it, as by [CatchUp]. The error is the parser's, and nothing was added then. The job is announced in the
// background ([Guard.Announce]); if that fails within 10 s, it is logged, and the job runs nonetheless.
func AddFunc(c *cron.Cron, spec string, client *redislock.Client, name string, fn func(context.Context) error, opts ...Option) (cron.EntryID, error) {
	g := New(client, name, nil, append([]Option{WithLocation(c.Location())}, opts...)...)
	parsed := make(chan struct{})
	job := cron.FuncJob(func() {
		<-parsed // it may fire before c has told what it made of the spec
		g.run(fn)
	})
	id, err := c.AddJob(spec, job)
	if err != nil {
		return 0, err
	}
	g.schedule = c.Entry(id).Schedule
	close(parsed)
	if whole := CatchUp(g.schedule); whole != g.schedule { // the first goes last: a tick that both ring for is run once
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
