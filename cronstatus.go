package redislock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
)

// statusLife is how long Redis keeps the status of a job after its last run, or after it was announced.
const statusLife = 400 * 24 * time.Hour

// CronStatus is the last run of a job, by the clock of the server.
type CronStatus struct {
	Job string
	// Tick is the scheduled time of the run; zero if no run is known.
	Tick time.Time
	// Outcome is how the run ended, or OutcomeRunning, or OutcomeDied, or OutcomePending; 0 if the job is not known.
	Outcome Outcome
	// Node is the Client that ran it, or that announced it.
	Node Owner
	// Start and End are when the run began and ended. End is zero while it runs and if it died.
	Start, End time.Time
	// Next is the tick after Tick if the last run had [WithSchedule], otherwise zero; with OutcomePending it is the first tick.
	// If Next has passed, no node has run it yet, or it was left out.
	Next time.Time
	// Duration is the time from the start to the end. While the job runs, it is the time up to now.
	Duration time.Duration
	// Err is the text of the error, empty if there was none.
	Err string
	// Fence is the fence of the job's lock.
	Fence int64
	// Earlier are the runs before this one, the latest first, as many as [WithHistory] has Redis keep.
	Earlier []CronRun
}

// CronRun is a run in the history of a job; see [WithHistory]. Its fields are those of [CronStatus]. The text of the error is cut at
// 200 bytes, and Node has no metadata.
type CronRun struct {
	Tick     time.Time
	Outcome  Outcome // OutcomeRan, OutcomeFailed or OutcomeDied
	Node     Owner
	Start    time.Time
	Duration time.Duration // 0 of one that died
	Err      string
	Fence    int64
}

// cronRecord is a status as Redis keeps it.
type cronRecord struct {
	Tick    time.Time     `json:"tick"`
	Outcome Outcome       `json:"outcome"`
	Node    Owner         `json:"node"`
	Took    time.Duration `json:"took"`
	Next    time.Time     `json:"next,omitzero"`
	Err     string        `json:"err,omitempty"`
	Waited  time.Duration `json:"waited,omitempty"` // from the grant of the job's lock to the begin
	Earlier []cronPast    `json:"earlier,omitempty"`
}

// cronPast is a run of the history.
type cronPast struct {
	cronRecord
	Fence int64 `json:"fence"`
}

// maxPastError is how much of the text of an error the history keeps.
const maxPastError = 200

// check refuses a record that no run can have written: one with times that cannot be told, or with an unknown outcome.
func (r cronRecord) check() error {
	for _, t := range []time.Time{r.Tick, r.Next} {
		if year := t.UTC().Year(); year < 1 || year > 9999 { // RFC 3339 ends there, in any zone
			return fmt.Errorf("a time in the year %d", year)
		}
	}
	switch {
	case r.Tick.IsZero():
		return errors.New("no tick")
	case r.Outcome < OutcomeRan || r.Outcome > OutcomeDied:
		return fmt.Errorf("the outcome %d", r.Outcome)
	case r.Took < 0 || r.Waited < 0:
		return fmt.Errorf("a run of %v, after %v", r.Took, r.Waited)
	case len(r.Earlier) > MaxHistory:
		return fmt.Errorf("a history of %d runs", len(r.Earlier))
	}
	for _, past := range r.Earlier {
		if past.Earlier != nil {
			return errors.New("a history in a history")
		}
		if err := past.check(); err != nil {
			return err
		}
	}
	return nil
}

// clipText is at most so many bytes of a text.
func clipText(text string, most int) string {
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}

// start is when the run of a record began that was written under that fence.
func (r cronRecord) start(fence int64) time.Time { return time.UnixMicro(fence).Add(r.Waited) }

// parseCron reads what Redis keeps of a job.
func parseCron(text string) (known cronRecord, err error) {
	if err := json.Unmarshal([]byte(text), &known); err != nil {
		return known, fmt.Errorf("%w: a record that is none: %w", ErrDamaged, err)
	}
	if err := known.check(); err != nil {
		return known, fmt.Errorf("%w: a record that cannot be: %w", ErrDamaged, err)
	}
	return known, nil
}

// recallEarlier reads the runs before this one, of which the last is in the record of the job. The lock of the job is held, so a run
// that has not told its end is not under way any more.
func (r *cronRun) recallEarlier(ctx context.Context) error {
	if r.history == 0 {
		return nil
	}
	rec, err := r.client.recall(ctx, r.job.Name())
	var last cronRecord
	if err == nil && rec.exists() {
		last, err = parseCron(rec.value)
	}
	switch {
	case errors.Is(err, ErrDamaged): // it is written anew
		return nil
	case err != nil || !rec.exists():
		return err
	}
	if last.Outcome == OutcomeRunning {
		last.Outcome = OutcomeDied
	}
	past := cronPast{last, rec.fence}
	past.Earlier, past.Next, past.Node.Metadata, past.Node.Trace = nil, time.Time{}, "", ""
	past.Err = clipText(past.Err, maxPastError)
	r.earlier = append([]cronPast{past}, last.Earlier...)
	r.earlier = r.earlier[:min(len(r.earlier), r.history)]
	return nil
}

// status writes down the state of the run.
func (r *cronRun) status(ctx context.Context, step int, outcome Outcome, err error) error {
	owner := r.client.owner
	owner.Metadata = r.job.hold.metadata
	rec := cronRecord{Tick: r.tick.UTC(), Outcome: outcome, Node: owner, Earlier: r.earlier}
	if len(r.groups) > 0 {
		rec.Waited = max(r.begun.Sub(r.granted), 0)
	}
	if outcome != OutcomeRunning {
		rec.Took = clock.Elapsed(r.begun)
	}
	rec.Next = r.after(r.tick)
	if err != nil {
		rec.Err = clipText(err.Error(), maxErrorText)
	}
	text, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	return r.client.record(ctx, r.job, step, string(text), statusLife, "late") // the status changes nothing for the other nodes
}

// CronStatus returns the last run of a job: when and where it ran, how long, and how it ended. It also returns a job that was
// announced and has not run yet. A job that has not run for 400 days is not known; then everything but the name is zero. It asks
// Redis.
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
		rec, err := c.recall(ctx, name)
		switch {
		case err != nil:
			return err
		case !rec.exists():
			return c.pending(ctx, status)
		}
		known, err := parseCron(rec.value)
		if err != nil {
			return err
		}
		*status = CronStatus{
			Job: status.Job, Tick: known.Tick, Outcome: known.Outcome, Node: known.Node, Err: known.Err, Fence: rec.fence,
			Start: known.start(rec.fence), Duration: known.Took, Next: known.Next,
		}
		for _, past := range known.Earlier {
			status.Earlier = append(status.Earlier, CronRun{
				Tick: past.Tick, Outcome: past.Outcome, Node: past.Node, Start: past.start(past.Fence), Duration: past.Took, Err: past.Err, Fence: past.Fence,
			})
		}
		if known.Outcome != OutcomeRunning {
			status.End = status.Start.Add(known.Took)
			return nil
		}
		if seen.fence == rec.fence { // it still says so after the lock was found free, or another's
			status.Outcome, status.Duration = OutcomeDied, 0
			return nil
		}
		info, err := c.inspect(ctx, name, 1)
		if err != nil {
			return err
		}
		if len(info.Holds) > 0 && info.Holds[0].Fence == rec.fence {
			status.Duration = max(info.Now.Sub(status.Start), 0)
			return nil
		}
		seen = rec
	}
}

// CronJobs yields the last run of every known job, and every job that was announced, in no order. Like [Client.List], it goes
// through the keys of the server; List says what that needs and costs. An error that comes with a job is about that job alone.
func (c *Client) CronJobs(ctx context.Context) iter.Seq2[CronStatus, error] {
	return func(yield func(CronStatus, error) bool) {
		fail := func(err error) { yield(CronStatus{}, wrapOp("cron jobs", jobName("*"), err)) }
		if _, err := c.mayList(ctx, ""); err != nil {
			fail(err)
			return
		}
		seen := map[string]bool{}
		for names, err := range c.scan(ctx, c.prefix+protocol.RecordKind+":{", jobName(""), protocol.AnnouncedTail) {
			if err != nil {
				fail(err)
				return
			}
			for _, key := range names {
				name := protocol.Unescape(key)
				status := CronStatus{Job: strings.TrimPrefix(name, jobName(""))}
				if seen[key] {
					continue
				}
				seen[key] = true
				err := checkKey(name, key)
				if err == nil {
					err = c.cronStatus(ctx, &status)
				}
				switch err := wrapOp("cron status", status.Job, err); {
				case err == nil && status.Outcome == 0:
				case err != nil && general(err):
					yield(CronStatus{}, err)
					return
				case !yield(status, err):
					return
				}
			}
		}
	}
}

// announcement is the record of a job that was announced and has no known run.
type announcement struct {
	First time.Time `json:"first"`
	At    time.Time `json:"at"` // by the clock of the server
	Node  Owner     `json:"node"`
}

// announcementHead is in the place of a record's fence and step, because an announcement is written without a lock.
var announcementHead = strings.Repeat("0", recordHead)

// pending tells of a job that was announced and has no record.
func (c *Client) pending(ctx context.Context, status *CronStatus) error {
	known, err := c.announced(ctx, jobName(status.Job))
	if err == nil && !known.First.IsZero() {
		status.Outcome, status.Node, status.Next = OutcomePending, known.Node, known.First
	}
	return err
}

// announced is the announcement under that name, zero if there is none.
func (c *Client) announced(ctx context.Context, name string) (known announcement, err error) {
	rec, err := c.recallKey(ctx, c.keys.Announced(name))
	if err != nil || !rec.exists() {
		return known, err
	}
	if err := json.Unmarshal([]byte(rec.value), &known); err != nil {
		return known, fmt.Errorf("%w: an announcement that is none: %w", ErrDamaged, err)
	}
	if year := known.First.UTC().Year(); known.First.IsZero() || year < 1 || year > 9999 {
		return known, fmt.Errorf("%w: an announcement of a time in the year %d", ErrDamaged, year)
	}
	return known, nil
}

// Announce makes a job known before its first run. From then on [Client.CronStatus] and [Client.CronJobs] return it as
// [OutcomePending], with its first tick after now, by the server's clock. A job that no node comes to run is so seen to be
// overdue. Call it where the job is set up, on every node; it runs nothing, and a job runs without it too.
//
// It needs [WithSchedule], otherwise it is [ErrInvalid]. If a run of the job is known, or the job was already announced with this
// schedule, Announce changes nothing: the first tick stays as it was announced, even if it has passed. If the job was announced
// with another schedule, the new schedule replaces it. If the schedule names no tick, the job is not announced. Redis keeps an
// announcement for 400 days, as it keeps a run. After an error the job may have been announced; call it again.
func (g *CronGuard) Announce(ctx context.Context) error {
	if g == nil {
		g = &CronGuard{}
	}
	return wrapOp("cron announce", g.job, g.announce(ctx))
}

func (g *CronGuard) announce(ctx context.Context) error {
	c := g.client
	if err := c.usable(ctx); err != nil {
		return err
	}
	switch {
	case g.fault != nil:
		return g.fault
	case g.next == nil:
		return invalid("a job without WithSchedule: nobody can tell when it is to run")
	}
	opts, err := ownLock(g.lock)
	if err != nil {
		return err
	}
	given, err := c.settings(opts)
	if err != nil {
		return err
	}
	name := jobName(g.job)
	rec, err := c.recall(ctx, name)
	if err != nil || rec.exists() {
		return err
	}
	known, err := c.announced(ctx, name)
	if err != nil && !errors.Is(err, ErrDamaged) { // what nobody can read is written again
		return err
	}
	now := rec.now.Time()
	if err == nil && !known.First.IsZero() && !known.At.After(now) && known.First.Equal(g.after(known.At.Local())) { // the clock was not ahead then
		return nil
	}
	fresh := announcement{First: g.after(now), At: now.UTC(), Node: c.owner}
	fresh.Node.Metadata = given.metadata
	if fresh.First.IsZero() {
		return c.sendPlain(ctx, "del", c.keys.Announced(name))
	}
	text, err := json.Marshal(fresh)
	if err != nil {
		return err
	}
	return c.sendPlain(ctx, "set", c.keys.Announced(name), announcementHead+string(text), "px", statusLife.Milliseconds())
}

// CronReset has Redis forget the last run of a job and its announcement, for a job that is no more. Ticks that were run are still
// not run again. A run that is under way notes its end, and so has the job known again.
func (c *Client) CronReset(ctx context.Context, job string) error {
	err := c.mayLook(ctx, job, jobName)
	if err == nil {
		err = c.sendPlain(ctx, "del", c.keys.Record(jobName(job)), c.keys.Announced(jobName(job)))
	}
	return wrapOp("cron reset", job, err)
}
