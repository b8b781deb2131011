package redislock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// DefaultTickMemory is how long a tick is remembered unless [WithTickMemory] says otherwise.
const DefaultTickMemory = 24 * time.Hour

// statusLife is how long the status of a job is kept after its last run.
const statusLife = 400 * 24 * time.Hour

// Overlap says what becomes of a tick while an earlier one of the same job is still running, or is held on by
// [WithAtLeast].
type Overlap uint8

const (
	// OverlapSkip leaves the tick out. It is the default.
	OverlapSkip Overlap = iota
	// OverlapWait runs it after the earlier one, and so on, in the order in which they were fired.
	OverlapWait
	// OverlapReplace ends the earlier one, by stealing its lock: its context ends with [ErrStolen], and the new one begins
	// when it has given the lock up. What [WithAtLeast] holds on is waited for. An earlier tick that comes late, while a
	// later one is running, is left out.
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
// defaults these two count.
type CronOption interface{ applyCron(*cronSettings) error }

type cronSettings struct {
	atLeast, atMost, retry, memory time.Duration
	overlap                        Overlap
	lock                           []Option
}

type cronOption func(*cronSettings) error

func (o cronOption) applyCron(s *cronSettings) error { return o(s) }

func (o Option) applyCron(s *cronSettings) error {
	s.lock = append(s.lock, o)
	return nil
}

// WithAtLeast keeps the job's lock until d after the start, up to [MaxLease], also if the job is over sooner and the
// process ends: no other tick of the job begins before. A tick is never run twice anyway; this is for the distance
// between two of them.
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
// [DefaultTickMemory]. It must be longer than the clocks of the nodes differ, and than a node may be suspended between a
// tick and its Run. A tick older than that is [OutcomeMissed]; one that is farther ahead is [ErrInvalid]: some clock
// is wrong. Each remembered tick is a small key in Redis. All nodes must have the same: one with a longer memory would
// run what another has forgotten.
func WithTickMemory(d time.Duration) CronOption {
	return cronOption(func(s *cronSettings) error {
		if d < time.Minute || d > 365*24*time.Hour {
			return invalid("WithTickMemory(%v): must be from a minute to a year", d)
		}
		s.memory = d
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
	g := &CronGuard{client: c, job: job, cronSettings: cronSettings{memory: DefaultTickMemory}}
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
func (g *CronGuard) Job() string { return g.job }

func jobName(job string) string { return "cron:" + job }

// tickName ends in a time, so that no other job and tick have the same.
func tickName(job string, tick time.Time) string {
	return "tick:" + job + "@" + tick.UTC().Format(time.RFC3339Nano)
}

// Run runs fn for a tick, unless that was or is done elsewhere. The tick is the time that the schedule names, not the
// time at which this node's clock came to fire: all nodes must name the same instant, to the nanosecond, in whatever
// time zone. So it does not matter by how much their clocks differ, as long as that is less than [WithTickMemory].
//
// fn runs under the lock "cron:job", which no two runs of the job hold at a time, and "tick:job@time"; its context ends
// when ctx does, when a lock is lost, and after [WithAtMost]. [FromContext] finds the first lock, whose fence goes along
// with what fn writes. Before fn begins, it is written down that the tick was begun, so a tick is begun at most once,
// unless somebody stands by with [WithRetry]. That is kept in Redis: as well as that keeps its data.
//
// The error is nil, but for [OutcomeFailed], where it is fn's, with [ErrLost] if the lock was lost. With an outcome of 0
// nothing was run here, and the error says why: ctx ended, or what [Client.Acquire] and Redis may say. Others may have been
// told "elsewhere" by then; to have such a tick run all the same is what [WithRetry] is for.
func (g *CronGuard) Run(ctx context.Context, tick time.Time, fn func(context.Context) error) (Outcome, error) {
	outcome, err := g.run(ctx, tick, fn)
	return outcome, wrapOp("cron", g.job, err)
}

func (g *CronGuard) run(ctx context.Context, tick time.Time, fn func(context.Context) error) (Outcome, error) {
	c := g.client
	switch {
	case g.fault != nil:
		return 0, g.fault
	case fn == nil:
		return 0, invalid("a nil function")
	case tick.IsZero():
		return 0, invalid("a tick without a time")
	}
	opts, err := ownLock(g.lock)
	if err != nil {
		return 0, err
	}
	given, err := c.settings(opts)
	if err != nil {
		return 0, err
	}
	if given.metadata == "" {
		given.metadata = "tick " + tick.Format(time.RFC3339Nano)
	}
	settled := func(rec record) bool { return rec.exists() && (g.retry == 0 || rec.value != tickBegun) }
	// The tick's own lock is held from now to the end; what else was asked for is about the run.
	rec, turn, err := c.turn(ctx, tickName(g.job, tick), settled, []Option{WithLease(given.lease), WithMetadata(given.metadata), WithWait(g.retry)})
	switch {
	case errors.Is(err, ErrHeld) && ctx.Err() == nil, err == nil && turn == nil:
		return OutcomeElsewhere, nil
	case err != nil:
		return 0, err
	}
	r := &cronRun{CronGuard: g, tick: tick, turn: turn}
	defer func() { _ = turn.finish(ctx, true, r.keep) }() // last of all; in the background where Redis does not answer
	ahead := tick.Sub(time.UnixMicro(turn.Fence()))       // a fence is the server's time, or more
	switch {
	case -ahead > g.memory:
		return OutcomeMissed, nil
	case ahead > g.memory:
		return 0, invalid("the tick %v is %v ahead of the server's clock", tick, ahead.Round(time.Second))
	}
	r.memory = g.memory + max(ahead, 0)

	opts = append(opts, WithMetadata(given.metadata))
	switch {
	case g.overlap == OverlapReplace:
		later, err := r.laterRuns(ctx)
		if err != nil {
			return 0, err
		}
		if later {
			return r.skip(ctx)
		}
		opts = append(opts, WithStealAfter(MinLease))
	case g.overlap == OverlapSkip && rec.exists(): // who began it is gone, but its lock of the job may live on for a lease
		opts = append(opts, WithWait(given.lease))
	case g.overlap == OverlapSkip:
		opts = append(opts, WithWait(0))
	}
	r.job, err = c.acquire(turn.With(ctx), jobName(g.job), opts)
	switch loss := turn.Err(); {
	case err == nil:
		return r.do(ctx, fn)
	case loss != nil:
		return 0, fmt.Errorf("while it waited for an earlier one: %w", loss)
	case errors.Is(err, ErrHeld) && g.overlap == OverlapSkip && ctx.Err() == nil:
		return r.skip(ctx)
	}
	return 0, err
}

// What a tick's record says: that it was begun, which somebody who stands by may do anew, or how it ended.
const (
	tickBegun   = "begun"
	tickEnded   = "ended"
	tickSkipped = "skipped"
)

// cronRun is one run of a tick.
type cronRun struct {
	*CronGuard
	tick   time.Time
	memory time.Duration
	turn   *Lock         // of the tick
	job    *Lock         // of the job
	keep   time.Duration // how long the first is to stay, where the record cannot say that the tick is over
	begun  time.Time
}

// skip leaves the tick out, for all.
func (r *cronRun) skip(ctx context.Context) (Outcome, error) {
	if err := r.client.note(ctx, r.turn, 2, tickSkipped, r.memory); err != nil {
		return 0, err
	}
	return OutcomeSkipped, nil
}

// laterRuns reports whether a later tick of the job is running: one that comes late must not replace it.
func (r *cronRun) laterRuns(ctx context.Context) (bool, error) {
	status := CronStatus{Job: r.CronGuard.job}
	err := r.client.cronStatus(ctx, &status)
	return status.Outcome == OutcomeRunning && status.Tick.After(r.tick), err
}

// do runs the function under both locks, and writes down what came of it.
func (r *cronRun) do(ctx context.Context, fn func(context.Context) error) (outcome Outcome, err error) {
	c := r.client
	r.begun = time.Now()
	release := time.Duration(0)
	defer func() { _ = r.job.finish(ctx, true, release) }()
	if err := c.note(ctx, r.turn, 1, tickBegun, r.memory); err != nil {
		return 0, err
	}
	if err := r.status(ctx, 1, OutcomeRunning, nil); err != nil {
		return 0, err // it counts as begun: nobody can tell whether that was noted
	}
	if loss := r.loss(); loss != nil { // I10: the notes may have taken longer than the lease
		return 0, loss
	}

	bounded := r.job.With(r.turn.With(ctx))
	if r.atMost > 0 {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeoutCause(bounded, r.atMost, fmt.Errorf("WithAtMost(%v) is over: %w", r.atMost, context.DeadlineExceeded))
		defer cancel()
	}
	outcome, err = OutcomeFailed, errors.New("panic") // if fn does not return
	defer func() {
		if !r.gaveUp(ctx, err) { // else it is for who stands by
			release = r.atLeast - elapsed(r.begun)
			if err := c.note(ctx, r.turn, 2, tickEnded, r.memory); err != nil {
				r.keep = min(r.memory, MaxLease) // then the lock says so
			}
		}
		_ = r.status(ctx, 2, outcome, err) // the run is over, whether that can be told or not
	}()
	err = fn(bounded)
	if loss := r.loss(); loss != nil && !errors.Is(err, ErrLost) {
		err = errors.Join(err, loss)
	}
	if err == nil {
		outcome = OutcomeRan
	}
	return outcome, err
}

// gaveUp reports whether a run with that error is one for who stands by: it was told to stop, or a lease was lost. What
// was stolen, for a later tick or by an operator, is over.
func (r *cronRun) gaveUp(ctx context.Context, err error) bool {
	loss := r.loss()
	return ctx.Err() != nil && err != nil || r.turn.hold.loss() != nil || loss != nil && !errors.Is(loss, ErrStolen)
}

// loss is that of either lock.
func (r *cronRun) loss() error {
	if loss := r.job.hold.loss(); loss != nil {
		return loss
	}
	return r.turn.hold.loss()
}

// CronStatus is the last run of a job, by the clock of the server.
type CronStatus struct {
	Job string
	// Tick is the scheduled time that it ran for; zero if no run is known.
	Tick time.Time
	// Outcome is how it ended, or OutcomeRunning, or OutcomeDied; 0 if no run is known.
	Outcome Outcome
	// Node is who ran it.
	Node Owner
	// Start and End are when; End is zero while it runs and if it died.
	Start, End time.Time
	// Duration is from the start to the end; while it runs, to now.
	Duration time.Duration
	// Err is the text of the error, empty if there was none.
	Err string
	// Fence is that of the job's lock.
	Fence int64
}

// cronRecord is a status as it is kept.
type cronRecord struct {
	Tick    time.Time     `json:"tick"`
	Outcome Outcome       `json:"outcome"`
	Node    Owner         `json:"node"`
	Took    time.Duration `json:"took"`
	Err     string        `json:"err,omitempty"`
}

// status writes down how the run stands.
func (r *cronRun) status(ctx context.Context, step int, outcome Outcome, err error) error {
	owner := r.client.owner
	owner.Metadata = r.job.hold.metadata
	rec := cronRecord{Tick: r.tick.UTC(), Outcome: outcome, Node: owner}
	if outcome != OutcomeRunning {
		rec.Took = elapsed(r.begun)
	}
	if err != nil {
		rec.Err = err.Error()
		rec.Err = rec.Err[:min(len(rec.Err), maxErrorText)]
	}
	text, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	return r.client.note(ctx, r.job, step, string(text), statusLife)
}

// CronStatus tells of the last run of a job: when, where, how long and how it ended. A job that has not run for 400 days
// is not known, and then all but the name is zero. It asks Redis.
func (c *Client) CronStatus(ctx context.Context, job string) (CronStatus, error) {
	status := CronStatus{Job: job}
	err := c.mayLook(ctx, job, jobName)
	if err == nil {
		err = c.cronStatus(ctx, &status)
	}
	return status, wrapOp("cron status", job, err)
}

func (c *Client) cronStatus(ctx context.Context, status *CronStatus) error {
	name := jobName(status.Job)
	var seen record
	for {
		rec, err := c.look(ctx, name)
		if err != nil || !rec.exists() {
			return err
		}
		var known cronRecord
		if err := json.Unmarshal([]byte(rec.value), &known); err != nil {
			return fmt.Errorf("unexpected record: %w", err)
		}
		*status = CronStatus{
			Job: status.Job, Tick: known.Tick, Outcome: known.Outcome, Node: known.Node, Err: known.Err, Fence: rec.fence,
			Start: time.UnixMicro(rec.fence), Duration: known.Took,
		}
		if known.Outcome != OutcomeRunning {
			status.End = status.Start.Add(known.Took)
			return nil
		}
		if seen.fence == rec.fence { // still so after the lock was found to be free, or another's
			status.Outcome, status.Duration = OutcomeDied, 0
			return nil
		}
		info, err := c.inspect(ctx, name, 1)
		if err != nil {
			return err
		}
		if len(info.Holds) > 0 && info.Holds[0].Fence == rec.fence {
			status.Duration = info.Now.Sub(status.Start)
			return nil
		}
		seen = rec
	}
}
