package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"example.com/redislock"
)

const (
	// retryPause is between two tries to have a tick decided while Redis cannot be reached.
	retryPause = time.Second
	// statusTime is how long it may take to learn who has run a tick, or to announce a job, which is only told for information.
	statusTime = 2 * time.Second
)

// tickFlags shape the guard of a job that is run at most once per tick.
type tickFlags struct {
	lease, atLeast, atMost, pause, retry time.Duration
	overlap                              overlap
	groups                               groups
	verbose                              bool
}

// flags declares them; when is put before the text of the flags that are only for ticks.
func (t *tickFlags) flags(f *pflag.FlagSet, when string) {
	f.DurationVar(&t.lease, "lease", redislock.DefaultLease, "how long others wait if this machine dies; it is renewed while COMMAND runs")
	f.DurationVar(&t.atLeast, "at-least", 0, "hold the lock for at least so long from the start of COMMAND, even if redislock has ended")
	f.DurationVar(&t.atMost, "at-most", 0, "how long COMMAND may take; then it is ended (default for ever)")
	f.DurationVar(&t.pause, "pause", 0, when+"how long after the end of COMMAND no other tick begins on any node")
	f.Var(&t.groups, "group", when+"`NAME:N` runs at most N commands of the group NAME at a time in the fleet; a tick waits for its place; may be given several times")
	f.DurationVar(&t.retry, "retry", 0, when+"stand by for so long, to run the tick if the node that runs it dies or is stopped, or if Redis cannot be reached at first (default: a tick is begun once)")
	f.Var(&t.overlap, "overlap", when+"what happens to a tick while an earlier one still runs: skip, wait or replace")
	f.BoolVarP(&t.verbose, "verbose", "v", false, when+"also say that a tick was run elsewhere, and by which node")
}

// overlap is the flag that names a policy.
type overlap redislock.Overlap

var overlapNames = []string{redislock.OverlapSkip: "skip", redislock.OverlapWait: "wait", redislock.OverlapReplace: "replace"}

func (o *overlap) Type() string   { return "policy" }
func (o *overlap) String() string { return overlapNames[*o] }

func (o *overlap) Set(text string) error {
	for policy, name := range overlapNames {
		if name == text {
			*o = overlap(policy)
			return nil
		}
	}
	return fmt.Errorf("must be %s", strings.Join(overlapNames, ", "))
}

// groups is the flag that names groups of jobs.
type groups []struct {
	name string
	n    int
}

func (g *groups) Type() string { return "NAME:N" }

func (g *groups) String() string {
	texts := make([]string, len(*g))
	for i, one := range *g {
		texts[i] = fmt.Sprintf("%s:%d", one.name, one.n)
	}
	return strings.Join(texts, ",")
}

func (g *groups) Set(text string) error {
	at := strings.LastIndexByte(text, ':')
	n, err := strconv.Atoi(text[at+1:])
	if at < 1 || err != nil || n < 1 {
		return errors.New("must be like reports:4: the name of the group, and how many of its jobs run at a time")
	}
	*g = append(*g, struct {
		name string
		n    int
	}{text[:at], n})
	return nil
}

// keptRuns is how many runs of a job are kept for cron-status and the page.
const keptRuns = 23

// job is a command that is run at most once per tick, wherever it is scheduled.
type job struct {
	command *command
	tickFlags
	link     *link
	schedule schedule // nil if the tick was given as a time
	given    func(flag string) bool
}

// job is what --tick asks for, and the tick that it means now.
func (r *runner) job(l *link) (*job, time.Time, error) {
	j := newJob(&r.command, r.tickFlags, l, r.given)
	tick, err := time.Parse(time.RFC3339, r.tick)
	if err != nil {
		now := time.Now()
		if j.schedule, err = parseSchedule(r.tick, time.Local); err != nil {
			return nil, tick, exitWith(exitUsage, "--tick (%q): %v; a time is like 2006-01-02T15:04:05Z", r.tick, err)
		}
		if tick = latest(j.schedule, now); tick.IsZero() {
			return nil, tick, exitWith(exitUsage, "--tick (%q): this time has not come yet", r.tick)
		}
	}
	return j, tick, j.check()
}

func newJob(c *command, flags tickFlags, l *link, given func(flag string) bool) *job {
	c.limit = flags.atMost
	return &job{command: c, tickFlags: flags, link: l, given: given}
}

// announce lets those who look at the jobs know of this one before it has run. While Redis is away it tries again, until the context
// ends; what else fails will be told when the job is to run.
func (j *job) announce(ctx context.Context) {
	guard := j.guard(time.Now(), j.retry)
	for ctx.Err() == nil {
		bounded, cancel := context.WithTimeout(ctx, statusTime)
		err := guard.Announce(bounded)
		cancel()
		if err == nil || errors.Is(err, redislock.ErrInvalid) || errors.Is(err, redislock.ErrPermission) {
			return
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
		}
	}
}

// exits runs the tick, and is how a program ends that does nothing else.
func (j *job) exits(a *attempt) error {
	outcome, err := j.run(a)
	switch outcome {
	case redislock.OutcomeElsewhere:
		if j.verbose {
			j.command.voice.tell(message{Name: j.command.name, Tick: jsonTime(a.tick)}, "%q: tick %s: %s", j.command.name, format(a.tick), j.elsewhere(a.tick))
		}
		return nil
	case redislock.OutcomeSkipped:
		return exitWith(exitHeld, "%q: tick %s: %s", j.command.name, format(a.tick), j.skipped())
	case redislock.OutcomeMissed:
		return exitWith(exitUsage, "%q: tick %s: too long ago to know whether it was run; the command was not run", j.command.name, format(a.tick))
	}
	return err
}

// guard is that of a tick, in which what this node wants to be patient for is as given.
func (j *job) guard(tick time.Time, retry time.Duration) *redislock.CronGuard {
	opts := []redislock.CronOption{
		redislock.WithMetadata(j.command.shownAs()),
		redislock.WithOverlap(redislock.Overlap(j.overlap)),
		redislock.WithAtLeast(j.atLeast),
		redislock.WithPause(j.pause),
		redislock.WithHistory(keptRuns),
	}
	for _, g := range j.groups {
		opts = append(opts, redislock.WithGroup(g.name, g.n))
	}
	if j.schedule != nil {
		opts = append(opts, redislock.WithTickMemory(memory(j.schedule, tick)), redislock.WithSchedule(j.schedule.Next))
	}
	if j.given("lease") {
		opts = append(opts, redislock.WithLease(j.lease))
	}
	if j.given("at-most") {
		opts = append(opts, redislock.WithAtMost(j.atMost))
	}
	if j.given("retry") {
		opts = append(opts, redislock.WithRetry(retry))
	}
	return j.link.client.Cron(j.command.name, opts...)
}

// check returns what is wrong with the name and the flags.
func (j *job) check() error {
	tick := time.Now()
	if j.schedule != nil {
		tick = j.schedule.Next(tick) // from one to the next is how long --at-least may be
	}
	return j.link.dry(func(ctx context.Context) error {
		_, err := j.guard(tick, j.retry).Run(ctx, tick, func(context.Context) error { return nil })
		return err
	})
}

// run has the attempt's body run for its tick, unless that is not to be. What Redis cannot be asked is asked again as
// long as --retry lasts.
func (j *job) run(a *attempt) (redislock.Outcome, error) {
	over := time.Now().Add(j.retry)
	for told := false; ; {
		left := max(time.Until(over), time.Nanosecond)
		outcome, err := redislock.Outcome(0), j.link.reach(a.ctx, j.command.name)
		if err == nil {
			outcome, err = j.guard(a.tick, left).Run(a.ctx, a.tick, a.body)
		}
		if outcome != 0 || a.ctx.Err() != nil || errors.Is(err, redislock.ErrInvalid) || errors.Is(err, redislock.ErrPermission) || time.Until(over) <= 0 {
			return outcome, err
		}
		if !told {
			j.command.voice.tell(message{Name: j.command.name, Tick: jsonTime(a.tick)}, "%q: tick %s: %v; it is tried again for %v", j.command.name, format(a.tick), j.link.explain(err), time.Until(over).Round(time.Millisecond))
			told = true
		}
		select {
		case <-time.After(min(retryPause, time.Until(over))):
		case <-a.ctx.Done():
		}
	}
}

func format(tick time.Time) string { return tick.Format(time.RFC3339Nano) }

// elsewhere says by whom the tick was run, if the last run of the job was that of the tick.
func (j *job) elsewhere(tick time.Time) string {
	s, err := j.status()
	if err != nil || !s.Tick.Equal(tick) {
		return "elsewhere: run, or left out"
	}
	return fmt.Sprintf("elsewhere: %s, by %s", inWords(s), node(s))
}

// skipped says what the tick was left out for.
func (j *job) skipped() string {
	s, err := j.status()
	switch {
	case err == nil && s.Outcome == redislock.OutcomeRunning:
		return fmt.Sprintf("skipped: the one of %s is still running, for %v now, by %s", format(s.Tick), rounded(s.Duration), node(s))
	case err == nil && !s.Start.IsZero():
		return fmt.Sprintf("skipped: the one of %s began %s, and the lock is still held", format(s.Tick), format(s.Start.Truncate(time.Millisecond)))
	default:
		return "skipped: the lock is held by another caller"
	}
}

func (j *job) status() (readableRun, error) {
	ctx, cancel := context.WithTimeout(context.Background(), statusTime)
	defer cancel()
	s, err := j.link.client.CronStatus(ctx, j.command.name)
	return runForPeople(s), err
}
