package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"example.com/redislock"
	"example.com/redislock/ui/trouble"
)

// troubleJSON is the trouble of a job, for programs.
type troubleJSON struct {
	Job     string     `json:"job"`
	Kind    string     `json:"kind"`
	Level   string     `json:"level"`
	Message string     `json:"message"`
	Since   *time.Time `json:"since,omitempty"`
}

// checkJobs says what is wrong with one job, or with any.
func checkJobs(cmd *cobra.Command, p *page, l *link, s *server, o *output, args []string) error {
	var jobs []redislock.CronStatus
	var failed []failure
	var now time.Time
	err := l.within(context.Background(), func(ctx context.Context) error {
		clock, err := l.client.Inspect(ctx, "cron:"+cmp.Or(strings.Join(args, ""), "*")) // for the time of Redis alone
		if now = clock.Now; err != nil || len(args) == 0 {
			return err
		}
		status, err := l.client.CronStatus(ctx, args[0])
		jobs = []redislock.CronStatus{status}
		return err
	})
	if err != nil {
		return err
	}
	if len(args) == 0 {
		if jobs, failed, err = l.jobs(); err != nil {
			return err
		}
	} else if jobs[0].Outcome == 0 {
		return exitWith(exitUnknown, "no job %q is known under the prefix %q on Redis at %s", args[0], s.prefix, l.addr)
	}
	wrong := false
	for _, status := range jobs {
		for _, t := range trouble.OfJob(status, now) {
			wrong = true
			text := t.Title.Say(now)
			if !t.Since.IsZero() {
				text += ", for " + trouble.Length(now.Sub(t.Since))
			}
			for _, means := range t.Means[:1] {
				text += ": " + means.Say(now)
			}
			if o.json() {
				err = o.write(p, troubleJSON{t.Job, string(t.Kind), t.Level.String(), text, jsonTime(t.Since)})
			} else {
				_, err = fmt.Fprintln(p, text)
			}
			if err != nil {
				return err
			}
		}
	}
	if err := (voice{cmd.ErrOrStderr(), o.json()}).failures(failed); err != nil {
		return err
	}
	if wrong {
		return &exit{status: exitUnknown}
	}
	return nil
}
