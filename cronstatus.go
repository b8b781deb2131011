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

// statusLife is how long Redis keeps the status of a job after its last run.
const statusLife = 400 * 24 * time.Hour

// CronStatus is the last run of a job, by the clock of the server.
type CronStatus struct {
	Job string
	// Tick is the scheduled time of the run; zero if no run is known.
	Tick time.Time
	// Outcome is how the run ended, or OutcomeRunning, or OutcomeDied; 0 if no run is known.
	Outcome Outcome
	// Node is the Client that ran it.
	Node Owner
	// Start and End are when the run began and ended. End is zero while it runs and if it died.
	Start, End time.Time
	// Next is the tick after Tick if the last run had [WithSchedule], otherwise zero. If Next has passed, no node has run it
	// yet, or it was left out.
	Next time.Time
	// Duration is the time from the start to the end. While the job runs, it is the time up to now.
	Duration time.Duration
	// Err is the text of the error, empty if there was none.
	Err string
	// Fence is the fence of the job's lock.
	Fence int64
}

// cronRecord is a status as Redis keeps it.
type cronRecord struct {
	Tick    time.Time     `json:"tick"`
	Outcome Outcome       `json:"outcome"`
	Node    Owner         `json:"node"`
	Took    time.Duration `json:"took"`
	Next    time.Time     `json:"next,omitzero"`
	Err     string        `json:"err,omitempty"`
}

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
	case r.Took < 0:
		return fmt.Errorf("a run of %v", r.Took)
	}
	return nil
}

// status writes down the state of the run.
func (r *cronRun) status(ctx context.Context, step int, outcome Outcome, err error) error {
	owner := r.client.owner
	owner.Metadata = r.job.hold.metadata
	rec := cronRecord{Tick: r.tick.UTC(), Outcome: outcome, Node: owner}
	if outcome != OutcomeRunning {
		rec.Took = clock.Elapsed(r.begun)
	}
	rec.Next = r.after(r.tick)
	if err != nil {
		rec.Err = err.Error()
		rec.Err = rec.Err[:min(len(rec.Err), maxErrorText)]
	}
	text, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	return r.client.record(ctx, r.job, step, string(text), statusLife, "late") // the status changes nothing for the other nodes
}

// CronStatus tells of the last run of a job: when, where, how long, and how it ended. A job that has not run for 400 days is
// not known; then everything but the name is zero. It asks Redis.
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
		if err != nil || !rec.exists() {
			return err
		}
		var known cronRecord
		if err := json.Unmarshal([]byte(rec.value), &known); err != nil {
			return fmt.Errorf("%w: a record that is none: %w", ErrDamaged, err)
		}
		if err := known.check(); err != nil {
			return fmt.Errorf("%w: a record that cannot be: %w", ErrDamaged, err)
		}
		*status = CronStatus{
			Job: status.Job, Tick: known.Tick, Outcome: known.Outcome, Node: known.Node, Err: known.Err, Fence: rec.fence,
			Start: time.UnixMicro(rec.fence), Duration: known.Took, Next: known.Next,
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
			status.Duration = info.Now.Sub(status.Start)
			return nil
		}
		seen = rec
	}
}

// CronJobs yields the last run of every known job, in no order. Like [Client.List], it goes through the keys of the server;
// List says what that needs and costs. An error that comes with a job is about that job alone.
func (c *Client) CronJobs(ctx context.Context) iter.Seq2[CronStatus, error] {
	return func(yield func(CronStatus, error) bool) {
		fail := func(err error) { yield(CronStatus{}, wrapOp("cron jobs", jobName("*"), err)) }
		if _, err := c.mayList(ctx, ""); err != nil {
			fail(err)
			return
		}
		seen := map[string]bool{}
		for names, err := range c.scan(ctx, c.prefix+protocol.RecordKind+":{", jobName("")) {
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
