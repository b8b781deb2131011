package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"example.com/redislock"
)

const cronStatusHelp = `Shows the last run of the job NAME, of redislock cron, redislock run --tick or a Cron of the library: when it began and
ended, how, where, and how long it took. The times are in the time zone of this machine, by the clock of Redis.

Exit status:
    0  the job is known, however its last run ended
    1  no run of that name is known: none since 400 days, or the name, the prefix or the Redis is another
   64  the arguments are wrong
   69  Redis cannot be reached
   77  Redis refuses this user`

func newCronStatus() *cobra.Command {
	var (
		s      server
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:                   "cron-status [flags] NAME",
		Short:                 "Show the last run of a job",
		Long:                  cronStatusHelp,
		Example:               "  redislock cron-status nightly-report\n  redislock cron-status --json nightly-report | jq .outcome",
		Args:                  cobra.ExactArgs(1),
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as one object of JSON, in UTC")
	s.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		l, err := s.connect()
		if err != nil {
			return err
		}
		defer l.close()
		ctx, cancel := context.WithTimeoutCause(context.Background(), reachTime, fmt.Errorf("no answer within %v", reachTime))
		defer cancel()
		status, err := l.client.CronStatus(ctx, args[0])
		switch {
		case err != nil && ctx.Err() != nil:
			return l.explain(context.Cause(ctx))
		case err != nil:
			return l.explain(err)
		case asJSON:
			printJSON(cmd.OutOrStdout(), status)
		case status.Outcome != 0:
			printStatus(cmd.OutOrStdout(), status)
		}
		if status.Outcome == 0 {
			return exitWith(exitUnknown, "no run of %q is known", args[0])
		}
		return nil
	}
	return cmd
}

// printStatus is for a person.
func printStatus(w io.Writer, s redislock.CronStatus) {
	at := func(t time.Time) string {
		return t.Local().Format("2006-01-02 15:04:05.000 -07:00") + " (" + ago(time.Since(t)) + ")"
	}
	rows := [][2]string{{s.Job, inWords(s)}, {"tick", s.Tick.Local().Format("2006-01-02 15:04:05.999999999 -07:00")}, {"start", at(s.Start)}}
	if !s.End.IsZero() && s.Outcome != redislock.OutcomeDied {
		rows = append(rows, [2]string{"end", at(s.End)})
	}
	rows = append(rows, [2]string{"node", node(s)})
	if s.Node.Metadata != "" {
		rows = append(rows, [2]string{"command", s.Node.Metadata})
	}
	rows = append(rows, [2]string{"fence", fmt.Sprint(s.Fence)})
	width := 0
	for _, row := range rows[1:] {
		width = max(width, len(row[0]))
	}
	text := oneLine(rows[0][0]+": "+rows[0][1]) + "\n"
	for _, row := range rows[1:] {
		text += fmt.Sprintf("  %-*s  %s\n", width, row[0], oneLine(row[1]))
	}
	_, _ = io.WriteString(w, text) // there is nobody else to tell
}

// inWords is how the last run ended, or stands.
func inWords(s redislock.CronStatus) string {
	switch s.Outcome {
	case redislock.OutcomeRan:
		return "ran in " + rounded(s.Duration)
	case redislock.OutcomeFailed:
		return fmt.Sprintf("failed after %s: %s", rounded(s.Duration), s.Err)
	case redislock.OutcomeRunning:
		return fmt.Sprintf("has been running for %s", rounded(s.Duration))
	case redislock.OutcomeDied:
		return "died: who ran it is gone, or lost the lock, and has not said how it ended"
	default:
		return s.Outcome.String()
	}
}

// node is who ran it, without the command line.
func node(s redislock.CronStatus) string {
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
	Seconds float64    `json:"seconds"`
	Node    *nodeJSON  `json:"node,omitempty"`
	Command string     `json:"command,omitempty"`
	Error   string     `json:"error,omitempty"`
	Fence   int64      `json:"fence,omitempty"`
}

type nodeJSON struct {
	Client string `json:"client"`
	Host   string `json:"host"`
	PID    int    `json:"pid"`
}

func printJSON(w io.Writer, s redislock.CronStatus) {
	known := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		t = t.UTC()
		return &t
	}
	out := statusJSON{
		Job: s.Job, Outcome: s.Outcome.String(), Tick: known(s.Tick), Start: known(s.Start), End: known(s.End),
		Seconds: s.Duration.Seconds(), Command: s.Node.Metadata, Error: s.Err, Fence: s.Fence,
	}
	if s.Outcome != 0 {
		out.Node = &nodeJSON{s.Node.Client, s.Node.Host, s.Node.PID}
	}
	_ = json.NewEncoder(w).Encode(out)
}
