package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"example.com/redislock"
	"example.com/redislock/ui/trouble"
)

const cronStatusHelp = `Shows the last run of the job NAME of redislock cron, redislock run --tick or a Cron of the library: when, where and how long it
ran, and how it ended. It also shows when the job runs next, if the process that ran it knew the schedule, and the earlier runs, if
they are kept: redislock cron and run --tick keep 23. A job that was announced and has not run yet is pending: "next" is its first
run, and the node is the one that announced it. redislock cron announces its job, and so does Announce of the library. The times are
those of Redis' clock, in the time zone of this machine.

A job that has not begun a minute after "next" is overdue: then it says since when the job was due, and why it may not have begun,
such as a Redis that is full. Ticks that were missed are not run later. With --output json the field overdue is true then, and
overdue_since is when the job was due.

Without NAME it lists all jobs that have run or were announced in the last 400 days: the job, how its last run ended, the tick, the
duration, the next tick and the node. On a terminal it lists below them what is in trouble: jobs, and a Redis that is full. With
--output json a job is one object on a line.

--check is for monitoring. It writes a line for each job that is overdue (a minute after the time of its next run), has failed or has
died, and exits with 1 if there are any. Without NAME it checks all jobs. The line says so if Redis is full and the job is overdue
because of that. With --output json a line is an object with kind, level, message, title, means, and steps with their commands.

With --reset Redis forgets the last run and the announcement of the job NAME. Use it for a job that does not exist any more. No tick
is run again because of it.

Exit status:
    0  the job is known, however its last run ended; with --check: no job is overdue, failed or died; with --reset: it is forgotten
    1  with --check: a job is overdue, failed or died; or no job of that name is known: it did not run and was not announced for 400 days, or the name, the prefix or the Redis is another
   64  the arguments are wrong
   69  Redis cannot be reached, or the record of a job cannot be read
   77  Redis refuses this user`

func newCronStatus() *cobra.Command {
	var (
		s      server
		o      output
		asJSON bool
		check  bool
		reset  bool
	)
	cmd := &cobra.Command{
		Use:                   "cron-status [flags] [NAME]",
		Short:                 "Show the last and the next run of a job, or of all jobs",
		Long:                  cronStatusHelp,
		Example:               "  redislock cron-status\n  redislock cron-status nightly-report\n  redislock cron-status --output json nightly-report | jq .outcome",
		Args:                  cobra.MaximumNArgs(1),
		DisableFlagsInUseLine: true,
	}
	o.flags(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "as --output json")
	_ = cmd.Flags().MarkHidden("json") // it was there before --output
	cmd.Flags().BoolVar(&check, "check", false, "show only jobs that are overdue, failed or died, and exit with 1 if there are any")
	cmd.Flags().BoolVar(&reset, "reset", false, "have Redis forget the job NAME, which does not exist any more")
	s.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case reset && len(args) == 0:
			return exitWith(exitUsage, "--reset: which? redislock cron-status --reset NAME")
		case reset && check:
			return exitWith(exitUsage, "--reset and --check contradict each other")
		}
		p, l, err := begin(cmd, &s, &o)
		if err != nil {
			return err
		}
		defer l.close()
		if check {
			return checkJobs(cmd, p, l, &s, &o, args)
		}
		shown := o // not the flag itself: what is said on standard error stays as it was with --json
		if asJSON {
			shown.format = "json"
		}
		if len(args) == 0 {
			return showJobs(cmd, p, l, &shown)
		}
		var status redislock.CronStatus
		if err := l.within(context.Background(), func(ctx context.Context) (err error) {
			if reset {
				return l.client.CronReset(ctx, args[0])
			}
			status, err = l.client.CronStatus(ctx, args[0])
			return err
		}); err != nil {
			return err
		}
		switch {
		case reset:
			return nil
		case shown.json():
			err = shown.write(p, jsonStatus(status, l.now()))
		case status.Outcome != 0:
			found, now := l.troublesOfJobs([]redislock.CronStatus{status})
			err = printStatus(p, runForPeople(status), found, now)
		}
		if err == nil && status.Outcome == 0 {
			return exitWith(exitUnknown, "no job %q is known under the prefix %q on Redis at %s; redislock cron-status lists the jobs that are known", args[0], s.prefix, l.addr)
		}
		return err
	}
	return cmd
}

// jobs are all that are known, by name, and those that cannot be read.
func (l *link) jobs() (jobs []redislock.CronStatus, failed []failure, err error) {
	ctx, stop := l.attended(context.Background())
	defer stop()
	for status, err := range l.client.CronJobs(ctx) {
		switch {
		case err != nil && status.Job == "":
			return nil, nil, l.ended(ctx, err)
		case err != nil:
			failed = append(failed, failure{status.Job, l.ended(ctx, err)})
		default:
			jobs = append(jobs, status)
		}
	}
	slices.SortFunc(jobs, func(a, b redislock.CronStatus) int { return strings.Compare(a.Job, b.Job) })
	return jobs, failed, nil
}

// showJobs lists all jobs by name.
func showJobs(cmd *cobra.Command, p *page, l *link, o *output) error {
	jobs, failed, err := l.jobs()
	if err != nil {
		return err
	}
	v := voice{cmd.ErrOrStderr(), outputIsJSON(cmd)}
	switch {
	case o.json():
		now := l.now()
		for _, status := range jobs {
			if err := o.write(p, jsonStatus(status, now)); err != nil {
				return err
			}
		}
	case len(jobs) == 0 && p.tables && len(failed) == 0:
		v.say("no job is known on Redis at %s", l.addr)
	case len(jobs) > 0:
		var found []trouble.Trouble
		var now time.Time
		if p.tables {
			found, now = l.troublesOfJobs(jobs)
		}
		rows := make([][]cell, len(jobs))
		for i, s := range jobs {
			rows[i] = jobRow(runForPeople(s), now, !p.tables)
		}
		if err := p.rows([]string{"JOB", "LAST", "TICK", "TOOK", "NEXT", "NODE"}, rows); err != nil {
			return err
		}
		if _, err := io.WriteString(p, troublesBelow(found, now, p.width)); err != nil {
			return err
		}
	}
	return v.failures(failed)
}

// jobRow is a job in a row: for people, or precise.
func jobRow(s readableRun, now time.Time, precise bool) []cell {
	style := good
	switch s.Outcome {
	case redislock.OutcomeFailed, redislock.OutcomeDied:
		style = bad
	case redislock.OutcomeRunning:
		style = uneasy
	case redislock.OutcomePending:
		style = plain
	}
	at, took := func(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }, rounded(s.Duration)
	if precise {
		at, took = func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }, strconv.FormatFloat(s.Duration.Seconds(), 'f', 3, 64)
	}
	next, nextStyle := "-", plain
	if !s.Next.IsZero() {
		next = at(s.Next)
		if !precise && trouble.IsOverdue(redislock.CronStatus(s), now) {
			next, nextStyle = "overdue "+trouble.Length(now.Sub(s.Next)), bad
		}
	}
	tick := "-"
	if s.Tick.IsZero() {
		took = "-"
	} else {
		tick = at(s.Tick)
	}
	return []cell{{s.Job, heading}, {s.Outcome.String(), style}, {tick, plain}, {took, plain}, {next, nextStyle}, {node(s), plain}}
}

// printStatus is for a person: a job as it was at this time of Redis, and what is in trouble.
func printStatus(w io.Writer, s readableRun, found []trouble.Trouble, now time.Time) error {
	at := func(t time.Time) string {
		return t.Local().Format("2006-01-02 15:04:05.000 -07:00") + " (" + ago(now.Sub(t)) + ")"
	}
	rows := [][2]string{{s.Job, inWords(s)}}
	if !s.Tick.IsZero() {
		rows = append(rows, [2]string{"tick", s.Tick.Local().Format("2006-01-02 15:04:05.999999999 -07:00")}, [2]string{"start", at(s.Start)})
	}
	if !s.End.IsZero() && s.Outcome != redislock.OutcomeDied {
		rows = append(rows, [2]string{"end", at(s.End)})
	}
	if !s.Next.IsZero() {
		what, next := "next", s.Next.Local().Format("2006-01-02 15:04:05.999999999 -07:00")
		if in := s.Next.Sub(now); in > 0 {
			next += " (in " + in.Round(time.Second).String() + ")"
		} else if trouble.IsOverdue(redislock.CronStatus(s), now) {
			what = "was due"
			next += ", " + bad.Render("overdue for "+trouble.Length(-in))
		}
		rows = append(rows, [2]string{what, next})
	}
	rows = append(rows, [2]string{"node", node(s)})
	if s.Node.Metadata != "" {
		rows = append(rows, [2]string{"metadata", s.Node.Metadata})
	}
	if s.Fence != 0 {
		rows = append(rows, [2]string{"fence", fmt.Sprint(s.Fence)})
	}
	for i, r := range s.Earlier {
		what := ""
		if i == 0 {
			what = "before"
		}
		rows = append(rows, [2]string{what, r.Start.Local().Format("2006-01-02 15:04:05") + "  " + runInWords(r)})
	}
	width := 0
	for _, row := range rows[1:] {
		width = max(width, len(row[0]))
	}
	text := rows[0][0] + ": " + rows[0][1] + "\n"
	for _, row := range rows[1:] {
		text += fmt.Sprintf("  %-*s  %s\n", width, row[0], row[1])
	}
	if slices.ContainsFunc(found, func(t trouble.Trouble) bool { return t.Kind != trouble.JobFailed }) {
		text += "\nIn trouble; redislock show " + typed("cron:"+s.Job) + " says what can be done:\n"
	}
	for _, t := range found {
		if t.Kind == trouble.JobFailed { // that stands above
			continue
		}
		text += "  " + levelStyle(t.Level).Render(fmt.Sprintf("%-8s", t.Level)) + inALine(t, now) + "\n"
		for _, means := range t.Means {
			text += "          " + means.Say(now) + "\n"
		}
	}
	_, err := io.WriteString(w, text)
	return err
}

// runInWords is how a run of the history ended, and where.
func runInWords(r redislock.CronRun) string {
	text := r.Outcome.String()
	switch r.Outcome {
	case redislock.OutcomeRan:
		text += " in " + rounded(r.Duration)
	case redislock.OutcomeFailed:
		text += " after " + rounded(r.Duration)
		if r.Err != "" {
			text += ": " + r.Err
		}
	}
	return text + ", on " + r.Node.String()
}

// inWords is how the last run ended, or stands.
func inWords(s readableRun) string {
	switch s.Outcome {
	case redislock.OutcomeRan:
		return "ran in " + rounded(s.Duration)
	case redislock.OutcomeFailed:
		return fmt.Sprintf("failed after %s: %s", rounded(s.Duration), s.Err)
	case redislock.OutcomeRunning:
		return fmt.Sprintf("has been running for %s", rounded(s.Duration))
	case redislock.OutcomePending:
		return "pending: it was announced, and no run of it is known"
	case redislock.OutcomeDied:
		return "died: who ran it is gone, or lost the lock, and has not said how it ended"
	default:
		return s.Outcome.String()
	}
}

// node is who ran it, without the metadata.
func node(s readableRun) string {
	n := s.Node
	n.Metadata = ""
	return n.String()
}

// rounded is a duration as precise as people want it.
func rounded(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	default:
		return d.Round(time.Millisecond).String()
	}
}

// ago is a time that has passed; the clock of Redis may be ahead of ours.
func ago(d time.Duration) string {
	switch {
	case d < 0:
		return rounded(-d) + " ahead"
	case d < 48*time.Hour:
		return d.Round(time.Second).String() + " ago"
	default:
		return fmt.Sprintf("%d days ago", int(d.Hours()/24))
	}
}

// statusJSON is a status as programs read it. Times are in RFC 3339.
type statusJSON struct {
	Job     string     `json:"job"`
	Outcome string     `json:"outcome"`
	Tick    *time.Time `json:"tick,omitempty"`
	Start   *time.Time `json:"start,omitempty"`
	End     *time.Time `json:"end,omitempty"`
	Next    *time.Time `json:"next,omitempty"`
	// Overdue is whether the job has not begun a minute after Next, by the clock of Redis. OverdueSince is then when it was due.
	Overdue      bool       `json:"overdue"`
	OverdueSince *time.Time `json:"overdue_since,omitempty"`
	Seconds      float64    `json:"seconds"`
	Node         *nodeJSON  `json:"node,omitempty"`
	Command      string     `json:"command,omitempty"`
	Error        string     `json:"error,omitempty"`
	Fence        int64      `json:"fence,omitempty"`
	Earlier      []pastJSON `json:"earlier,omitempty"`
}

// pastJSON is a run of the history.
type pastJSON struct {
	Outcome string     `json:"outcome"`
	Tick    *time.Time `json:"tick,omitempty"`
	Start   *time.Time `json:"start,omitempty"`
	Seconds float64    `json:"seconds"`
	Node    nodeJSON   `json:"node"`
	Error   string     `json:"error,omitempty"`
	Fence   int64      `json:"fence"`
}

type nodeJSON struct {
	Client string `json:"client"`
	Host   string `json:"host"`
	PID    int    `json:"pid"`
}

func jsonStatus(s redislock.CronStatus, now time.Time) statusJSON {
	out := statusJSON{
		Job: s.Job, Outcome: s.Outcome.String(), Tick: jsonTime(s.Tick), Start: jsonTime(s.Start), End: jsonTime(s.End), Next: jsonTime(s.Next),
		Seconds: s.Duration.Seconds(), Command: s.Node.Metadata, Error: s.Err, Fence: s.Fence,
	}
	if out.Overdue = trouble.IsOverdue(s, now); out.Overdue {
		out.OverdueSince = out.Next
	}
	if s.Outcome != 0 {
		out.Node = &nodeJSON{s.Node.Client, s.Node.Host, s.Node.PID}
	}
	for _, r := range s.Earlier {
		out.Earlier = append(out.Earlier, pastJSON{
			r.Outcome.String(), jsonTime(r.Tick), jsonTime(r.Start), r.Duration.Seconds(), nodeJSON{r.Node.Client, r.Node.Host, r.Node.PID}, r.Err, r.Fence,
		})
	}
	return out
}
