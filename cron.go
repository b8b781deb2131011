package redislock

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	// DefaultTickMemory is how long a tick is remembered, unless [WithTickMemory] sets it.
	DefaultTickMemory = 24 * time.Hour
	// DefaultTickAhead is how far ahead of the server's clock a tick may be run, unless [WithTickAhead] sets it.
	DefaultTickAhead = time.Minute
)

// Overlap says what happens to a tick while an earlier tick of the same job is still running, or while [WithAtLeast] or
// [WithPause] still keeps the job's lock.
type Overlap uint8

const (
	// OverlapSkip leaves the tick out. That is decided at the time of the tick by the server's clock: a node whose clock is
	// fast waits until then for the end of the earlier tick. It is the default.
	OverlapSkip Overlap = iota
	// OverlapWait runs the tick after the earlier one. Several ticks run in the order in which they were fired.
	OverlapWait
	// OverlapReplace ends the earlier tick by stealing its lock: the context of that tick ends with [ErrStolen], and the new tick
	// begins when the earlier one has given the lock up. If [WithAtLeast] or [WithPause] keeps the lock, the new tick waits for
	// that. An earlier tick that comes late, while a later one is running, is left out. Only one tick at a time decides whether
	// it replaces another. It does so under a lock of its own, "tick:job@replace".
	OverlapReplace
)

// Outcome says what happened to a tick, from the view of one caller of [CronGuard.Run].
type Outcome uint8

const (
	// OutcomeRan: this caller ran the tick, and the function returned nil.
	OutcomeRan Outcome = iota + 1
	// OutcomeFailed: this caller ran the tick, and the function returned an error, or the lock was lost meanwhile.
	OutcomeFailed
	// OutcomeElsewhere: another caller has run the tick, is running it, or has left it out.
	OutcomeElsewhere
	// OutcomeSkipped: the tick was left out, for all callers, because of [OverlapSkip] or of a full group ([WithGroup]).
	OutcomeSkipped
	// OutcomeMissed: the tick is older than the records that are kept, so nobody knows whether it was run. So it is not run.
	OutcomeMissed
	// OutcomeRunning is in a [CronStatus] only: the tick is being run.
	OutcomeRunning
	// OutcomeDied is in a [CronStatus] only: the node that ran the tick went away, or lost the lock, before the end.
	OutcomeDied
	// OutcomePending is in a [CronStatus] only: the job was announced, and no run of it is known ([CronGuard.Announce]).
	OutcomePending
)

var outcomeNames = [...]string{"unknown", "ran", "failed", "elsewhere", "skipped", "missed", "running", "died", "pending"}

// String is the outcome as a word, such as "ran".
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return fmt.Sprintf("Outcome(%d)", o)
}

// CronOption shapes a [CronGuard]. Every [Option] is a CronOption too, for the locks that are held while the job runs:
// [WithLease] sets after which time a node counts as dead, and [WithMetadata] the text that others are shown. Of the Client's
// defaults these two count, and [WithReplicas].
type CronOption interface{ applyCron(*cronSettings) error }

type cronSettings struct {
	atLeast, atMost, pause, retry, memory, ahead time.Duration
	overlap                                      Overlap
	next                                         func(time.Time) time.Time
	history                                      int
	groups                                       []cronGroup // by name
	lock                                         []Option
}

type cronOption func(*cronSettings) error

func (o cronOption) applyCron(s *cronSettings) error { return o(s) }

func (o Option) applyCron(s *cronSettings) error {
	s.lock = append(s.lock, o)
	return nil
}

// WithAtLeast keeps the job's lock until d after the start, at most [MaxLease], also if the job is over sooner and the process
// ends. No other tick of the job begins before that. It sets the least distance between two ticks. It is not needed to keep a
// tick from running twice: that never happens. With [OverlapSkip] d must be shorter than the time from a tick to the next. A run
// begins a moment after its tick, so a d of the whole period would leave every second tick out. If [WithSchedule] tells the next
// tick, such a d is [ErrInvalid]; without a schedule, the outcome is [OutcomeSkipped].
func WithAtLeast(d time.Duration) CronOption {
	return cronOption(func(s *cronSettings) error {
		if d < 0 || d > MaxLease {
			return invalid("WithAtLeast(%v): must be from 0 to %v", d, MaxLease)
		}
		s.atLeast = d
		return nil
	})
}

// WithPause keeps the job's lock for d after the end of a run, at most [MaxLease], also if the process ends. So no tick of the
// job begins within d of the end of the last one, on any node, whatever the node's clock says: Redis counts d. [WithOverlap] says
// what happens to a tick that comes during the pause: with [OverlapSkip] it is left out. So the ticks of every minute, with a
// pause of ten, make a job that runs about ten minutes after its last run. A run that another node is to begin anew has not
// ended, so no pause follows it. If a node dies, or cannot reach Redis before its lease is over, Redis does not know the end of
// the run. Then the next tick may begin as soon as the lease is over.
func WithPause(d time.Duration) CronOption {
	return cronOption(func(s *cronSettings) error {
		if d < 0 || d > MaxLease {
			return invalid("WithPause(%v): must be from 0 to %v", d, MaxLease)
		}
		s.pause = d
		return nil
	})
}

// WithAtMost ends the context of a run after d, with [context.DeadlineExceeded]. The lock is held until the function returns.
// So a function that does not heed its context does not run twice at the same time.
func WithAtMost(d time.Duration) CronOption {
	return cronOption(func(s *cronSettings) error {
		if d <= 0 {
			return invalid("WithAtMost(%v): must be more than 0", d)
		}
		s.atMost = d
		return nil
	})
}

// WithRetry makes this node stand by while another node runs the tick, for d from its own call of Run. If the running node
// dies, loses its lock, or is told to stop (the context of its Run ends) and returns an error, the next node in line runs the
// tick anew. A job that fails by itself is not run again. Without this option a tick that was begun is not begun again. A
// node that stands by learns of the end by push, and its Run returns then.
func WithRetry(d time.Duration) CronOption {
	return cronOption(func(s *cronSettings) error {
		if d <= 0 {
			return invalid("WithRetry(%v): must be more than 0", d)
		}
		s.retry = d
		return nil
	})
}

// WithOverlap says what happens to a tick while an earlier one is still running. The default is [OverlapSkip].
func WithOverlap(o Overlap) CronOption {
	return cronOption(func(s *cronSettings) error {
		if o > OverlapReplace {
			return invalid("WithOverlap(%d): no such policy", o)
		}
		s.overlap = o
		return nil
	})
}

// WithTickMemory sets how long Redis remembers that a tick was run, from a minute to a year. The default is
// [DefaultTickMemory]. The memory must be longer than a clock may be slow, and longer than a node may be suspended between a
// tick and its Run. A tick that is older than that by the server's clock is [OutcomeMissed]. Each remembered tick is a small
// key in Redis. All nodes must have the same memory: a node with a longer one would run a tick that another has forgotten.
func WithTickMemory(d time.Duration) CronOption {
	return cronOption(func(s *cronSettings) error {
		if d < time.Minute || d > 365*24*time.Hour {
			return invalid("WithTickMemory(%v): must be from a minute to a year", d)
		}
		s.memory = d
		return nil
	})
}

// WithTickAhead sets how far ahead of the server's clock a tick may be run, from 0 to a year. The default is
// [DefaultTickAhead]. A tick that is farther ahead is [ErrInvalid], and this node does not run it: its clock is fast, or that
// of the server is slow. The other nodes run the tick when it is due. A node whose clock is fast runs every tick early, by at
// most this time, so it should be no more than the clocks may differ. Set more for ticks that are run ahead of their time on
// purpose.
func WithTickAhead(d time.Duration) CronOption {
	return cronOption(func(s *cronSettings) error {
		if d < 0 || d > 365*24*time.Hour {
			return invalid("WithTickAhead(%v): must be from 0 to a year", d)
		}
		s.ahead = d
		return nil
	})
}

// WithSchedule gives the schedule of the job, as a function that returns the tick after a given time: [CronStatus] then shows
// when the job runs next, and [CronGuard.Announce] when it runs first. It does not start any run. But a [WithAtLeast] that leaves
// no room for the next tick is refused. Many goroutines may call next. The zero time means never, and so does any time outside
// the years 1 to 9999.
func WithSchedule(next func(after time.Time) time.Time) CronOption {
	return cronOption(func(s *cronSettings) error {
		if next == nil {
			return invalid("WithSchedule(nil)")
		}
		s.next = next
		return nil
	})
}

// MaxHistory is how many runs [WithHistory] may have Redis keep.
const MaxHistory = 100

// WithHistory has Redis keep the n runs of the job before the last one, up to [MaxHistory]; [CronStatus] shows them. The default is
// none. A run then costs one request more. All nodes must have it: a run without it forgets the earlier ones.
func WithHistory(n int) CronOption {
	return cronOption(func(s *cronSettings) error {
		if n < 0 || n > MaxHistory {
			return invalid("WithHistory(%d): must be from 0 to %d", n, MaxHistory)
		}
		s.history = n
		return nil
	})
}

// CronGuard makes sure that a job is run at most once for each tick, wherever it is scheduled. [Client.Cron] makes it. Many
// goroutines may use it at once.
type CronGuard struct {
	client *Client
	job    string
	cronSettings
	fault error
}

// Cron makes the guard of a job that every node schedules for itself. Nothing is sent, and the guard needs no closing. If an
// option cannot work, [CronGuard.Run] returns [ErrInvalid].
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
		g.fault = invalid("WithRetry(%v) with WithTickMemory(%v): the tick would be forgotten before the retry ends", g.retry, g.memory)
	}
	if g.fault == nil && g.overlap == OverlapReplace && slices.ContainsFunc(g.groups, func(group cronGroup) bool { return group.skips }) {
		g.fault = invalid("WithWait or WithMaxQueue in a WithGroup, with OverlapReplace")
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

// replaceName is the lock under which a tick decides whether it replaces another one.
func replaceName(job string) string { return "tick:" + job + "@replace" }

// tickName ends in a time, so no other job and tick have the same name.
func tickName(job string, tick time.Time) string {
	return "tick:" + job + "@" + tick.UTC().Format(time.RFC3339Nano)
}

// Run runs fn for a tick, unless that tick was or is run elsewhere. The tick is the time that the schedule
// names, not the time at which this node's clock fired. All nodes must name the same instant, to the nanosecond, in whatever
// time zone. A node whose clock is slow by less than [WithTickMemory] finds that the tick was run elsewhere. A node whose
// clock is fast runs the tick early, by at most [WithTickAhead].
//
// fn runs under two locks: "cron:job", which no two runs of the job hold at the same time, and "tick:job@time"; and under a place
// in each of its groups ([WithGroup]). Its context ends when ctx ends, when a lock is lost, and after [WithAtMost]. [FromContext]
// finds the first lock; its fence goes along with what fn writes. Before fn begins, Run writes down in Redis that the tick was
// begun. So a tick is begun at most once, as well as Redis keeps its data, unless a node stands by with [WithRetry].
//
// The error is nil, unless the outcome is [OutcomeFailed]. Then it is fn's error, with [ErrLost] if the lock was lost; a lock
// that fn gave back or handed off itself was not lost. With an outcome of 0 this node ran nothing, and the error says why:
// ctx ended, or [Client.Acquire] or Redis returned that error. Other nodes may have been told "elsewhere" by then;
// [WithRetry] is for running such a tick anyway.
func (g *CronGuard) Run(ctx context.Context, tick time.Time, fn func(context.Context) error) (Outcome, error) {
	if g == nil {
		g = &CronGuard{}
	}
	outcome, err := g.run(ctx, tick, fn)
	return outcome, wrapOp("cron", g.job, err)
}
