package redislock

import (
	"context"
	"fmt"
	"time"
)

const (
	// DefaultTickMemory is how long a tick is remembered unless [WithTickMemory] says otherwise.
	DefaultTickMemory = 24 * time.Hour
	// DefaultTickAhead is how far ahead of the server's clock a tick may be run unless [WithTickAhead] says otherwise.
	DefaultTickAhead = time.Minute
)

// Overlap says what becomes of a tick while an earlier one of the same job is still running, or is held on by
// [WithAtLeast].
type Overlap uint8

const (
	// OverlapSkip leaves the tick out, at the time of the tick by the server's clock: a node whose clock is fast waits until
	// then for the end of the earlier one. It is the default.
	OverlapSkip Overlap = iota
	// OverlapWait runs it after the earlier one, and so on, in the order in which they were fired.
	OverlapWait
	// OverlapReplace ends the earlier one, by stealing its lock: its context ends with [ErrStolen], and the new one begins
	// when it has given the lock up. What [WithAtLeast] holds on is waited for. An earlier tick that comes late, while a
	// later one is running, is left out. Which one replaces which is decided by one at a time, under a lock of its own,
	// "tick:job@replace".
	OverlapReplace
)

// Outcome is what became of a tick, for one who wanted to run it.
type Outcome uint8

const (
	// OutcomeRan: it was run here, and the function returned nil.
	OutcomeRan Outcome = iota + 1
	// OutcomeFailed: it was run here, and the function returned an error, or the lock was lost meanwhile.
	OutcomeFailed
	// OutcomeElsewhere: another has run it or is running it, or has left it out.
	OutcomeElsewhere
	// OutcomeSkipped: it was left out, for all, because of [OverlapSkip].
	OutcomeSkipped
	// OutcomeMissed: the tick is so long ago that nobody knows whether it was run, and so it is not.
	OutcomeMissed
	// OutcomeRunning is in a [CronStatus] only: it is being run.
	OutcomeRunning
	// OutcomeDied is in a [CronStatus] only: who ran it went away, or lost the lock, before the end.
	OutcomeDied
)

var outcomeNames = [...]string{"unknown", "ran", "failed", "elsewhere", "skipped", "missed", "running", "died"}

// String is the outcome in a word, such as "ran".
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return fmt.Sprintf("Outcome(%d)", o)
}

// CronOption shapes a [CronGuard]. Every [Option] is one too, for the locks that are held while the job runs:
// [WithLease] says after which time a node counts as dead, [WithMetadata] what is shown to those who ask. Of the Client's
// defaults these two count, and [WithReplicas].
type CronOption interface{ applyCron(*cronSettings) error }

type cronSettings struct {
	atLeast, atMost, retry, memory, ahead time.Duration
	overlap                               Overlap
	next                                  func(time.Time) time.Time
	lock                                  []Option
}

type cronOption func(*cronSettings) error

func (o cronOption) applyCron(s *cronSettings) error { return o(s) }

func (o Option) applyCron(s *cronSettings) error {
	s.lock = append(s.lock, o)
	return nil
}

// WithAtLeast keeps the job's lock until d after the start, up to [MaxLease], also if the job is over sooner and the
// process ends: no other tick of the job begins before. A tick is never run twice anyway; this is for the distance
// between two of them. With [OverlapSkip] d must be shorter than the time from a tick to the next: a run begins a moment
// after its tick, so a d of the whole period would leave every second tick out. Where [WithSchedule] tells the next tick,
// that is [ErrInvalid]; where nobody tells it, the outcome is [OutcomeSkipped].
func WithAtLeast(d time.Duration) CronOption {
	return cronOption(func(s *cronSettings) error {
		if d < 0 || d > MaxLease {
			return invalid("WithAtLeast(%v): must be from 0 to %v", d, MaxLease)
		}
		s.atLeast = d
		return nil
	})
}

// WithAtMost ends the context of a run after d, with [context.DeadlineExceeded]. The lock is held until the function
// returns all the same: what does not heed its context is not run twice at a time.
func WithAtMost(d time.Duration) CronOption {
	return cronOption(func(s *cronSettings) error {
		if d <= 0 {
			return invalid("WithAtMost(%v): must be more than 0", d)
		}
		s.atMost = d
		return nil
	})
}

// WithRetry has this node stand by while another runs the tick, for as long as d from its own call of Run: if that one
// dies, loses its lock, or is told to stop (the context that its Run was given ends) and returns an error, the next in
// line runs the tick anew. A job that fails by itself is not run again. Without it a tick that was begun is not begun
// again. Who stands by learns of the end by push, and its Run returns then.
func WithRetry(d time.Duration) CronOption {
	return cronOption(func(s *cronSettings) error {
		if d <= 0 {
			return invalid("WithRetry(%v): must be more than 0", d)
		}
		s.retry = d
		return nil
	})
}

// WithOverlap says what becomes of a tick while an earlier one is still running; the default is [OverlapSkip].
func WithOverlap(o Overlap) CronOption {
	return cronOption(func(s *cronSettings) error {
		if o > OverlapReplace {
			return invalid("WithOverlap(%d): no such policy", o)
		}
		s.overlap = o
		return nil
	})
}

// WithTickMemory sets how long it is remembered that a tick was run, from a minute to a year; the default is
// [DefaultTickMemory]. It must be longer than a clock may be slow, and than a node may be suspended between a tick and its
// Run. A tick that is older than that by the server's clock is [OutcomeMissed]. Each remembered tick is a small key in
// Redis. All nodes must have the same: one with a longer memory would run what another has forgotten.
func WithTickMemory(d time.Duration) CronOption {
	return cronOption(func(s *cronSettings) error {
		if d < time.Minute || d > 365*24*time.Hour {
			return invalid("WithTickMemory(%v): must be from a minute to a year", d)
		}
		s.memory = d
		return nil
	})
}

// WithTickAhead sets how far ahead of the server's clock a tick may be run, from 0 to a year; the default is
// [DefaultTickAhead]. A tick that is farther ahead is [ErrInvalid] and is not run here: the clock of this node is fast, or
// that of the server slow. The other nodes run it when it is due. It bounds by how much a node whose clock is fast runs
// every tick early, so it should be no more than the clocks may differ. More than that is for ticks that are run ahead of
// their time on purpose.
func WithTickAhead(d time.Duration) CronOption {
	return cronOption(func(s *cronSettings) error {
		if d < 0 || d > 365*24*time.Hour {
			return invalid("WithTickAhead(%v): must be from 0 to a year", d)
		}
		s.ahead = d
		return nil
	})
}

// WithSchedule says which tick comes after another, for those who look at the job: [CronStatus] shows then when it runs
// next. It does not schedule anything, but a [WithAtLeast] that leaves no room for the next tick is refused. next may be
// called from many goroutines; the zero time, and any that is not in the years 1 to 9999, means never.
func WithSchedule(next func(after time.Time) time.Time) CronOption {
	return cronOption(func(s *cronSettings) error {
		if next == nil {
			return invalid("WithSchedule(nil)")
		}
		s.next = next
		return nil
	})
}

// CronGuard sees to it that a job is run at most once for each tick, wherever it is scheduled. It is made by
// [Client.Cron] and safe for use by many goroutines.
type CronGuard struct {
	client *Client
	job    string
	cronSettings
	fault error
}

// Cron is the guard of a job that every node schedules for itself. Nothing is sent, and it needs no closing. An option
// that cannot work is reported by [CronGuard.Run], as [ErrInvalid].
func (c *Client) Cron(job string, opts ...CronOption) *CronGuard {
	g := &CronGuard{client: c, job: job, cronSettings: cronSettings{memory: DefaultTickMemory, ahead: DefaultTickAhead}}
	for _, o := range opts {
		if o == nil {
			g.fault = invalid("a nil option")
		} else if err := o.applyCron(&g.cronSettings); err != nil {
			g.fault = err
		}
	}
	if g.fault == nil && g.retry > g.memory {
		g.fault = invalid("WithRetry(%v) with WithTickMemory(%v): the tick is forgotten first", g.retry, g.memory)
	}
	if g.fault == nil {
		g.fault = checkDerived(job, func(job string) string { return tickName(job, time.Time{}.Add(1)) })
	}
	return g
}

// Job is the name of the job.
func (g *CronGuard) Job() string {
	if g == nil {
		return ""
	}
	return g.job
}

func jobName(job string) string { return "cron:" + job }

// replaceName is the lock under which it is decided whether a tick replaces another one.
func replaceName(job string) string { return "tick:" + job + "@replace" }

// tickName ends in a time, so that no other job and tick have the same.
func tickName(job string, tick time.Time) string {
	return "tick:" + job + "@" + tick.UTC().Format(time.RFC3339Nano)
}

// Run runs fn for a tick, unless that was or is done elsewhere. The tick is the time that the schedule names, not the
// time at which this node's clock came to fire: all nodes must name the same instant, to the nanosecond, in whatever
// time zone. A node whose clock is slow by less than [WithTickMemory] finds the tick run elsewhere; one whose clock is fast
// runs it early, by [WithTickAhead] at the most.
//
// fn runs under the lock "cron:job", which no two runs of the job hold at a time, and "tick:job@time"; its context ends
// when ctx does, when a lock is lost, and after [WithAtMost]. [FromContext] finds the first lock, whose fence goes along
// with what fn writes. Before fn begins, it is written down that the tick was begun, so a tick is begun at most once,
// unless somebody stands by with [WithRetry]. That is kept in Redis: as well as that keeps its data.
//
// The error is nil, but for [OutcomeFailed], where it is fn's, with [ErrLost] if the lock was lost; what fn gave back or
// handed off itself was not. With an outcome of 0
// nothing was run here, and the error says why: ctx ended, or what [Client.Acquire] and Redis may say. Others may have been
// told "elsewhere" by then; to have such a tick run all the same is what [WithRetry] is for.
func (g *CronGuard) Run(ctx context.Context, tick time.Time, fn func(context.Context) error) (Outcome, error) {
	if g == nil {
		g = &CronGuard{}
	}
	outcome, err := g.run(ctx, tick, fn)
	return outcome, wrapOp("cron", g.job, err)
}
