package main

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"example.com/redislock"
	"example.com/redislock/ui/trouble"
)

// checkJobs says what is wrong with one job, or with any.
func checkJobs(cmd *cobra.Command, p *page, l *link, s *server, o *output, args []string) error {
	var jobs []redislock.CronStatus
	var failed []failure
	var err error
	if len(args) == 0 {
		jobs, failed, err = l.jobs()
	} else {
		err = l.within(context.Background(), func(ctx context.Context) error {
			status, err := l.client.CronStatus(ctx, args[0])
			jobs = []redislock.CronStatus{status}
			return err
		})
	}
	switch {
	case err != nil:
		return err
	case len(args) > 0 && jobs[0].Outcome == 0:
		return exitWith(exitUnknown, "no job %q is known under the prefix %q on Redis at %s", args[0], s.prefix, l.addr)
	}
	found, now := l.troublesOfJobs(jobs)
	wrong := false
	for _, t := range found {
		if t.Job == "" {
			continue // of the server: the trouble of a job that it keeps from running says so
		}
		wrong = true
		text := t.Title.Say(now)
		if !t.Since.IsZero() {
			text += ", for " + trouble.Length(now.Sub(t.Since))
		}
		for i, means := range t.Means[:min(2, len(t.Means))] {
			text += []string{": ", " "}[i] + means.Say(now)
		}
		if o.json() {
			doc := jsonTroubles([]trouble.Trouble{t}, now, s.again())[0]
			doc.Message = text
			err = o.write(p, doc)
		} else {
			_, err = fmt.Fprintln(p, text)
		}
		if err != nil {
			return err
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

// troublesOfJobs are the troubles of these jobs and of the server, which may be their cause, and the time of Redis.
func (l *link) troublesOfJobs(jobs []redislock.CronStatus) ([]trouble.Trouble, time.Time) {
	known := func(context.Context) iter.Seq2[redislock.CronStatus, error] {
		return func(yield func(redislock.CronStatus, error) bool) {
			for _, status := range jobs {
				if status.Outcome != 0 && !yield(status, nil) {
					return
				}
			}
		}
	}
	found, _, now := l.troublesNow(nil, known, func(name string) bool { return strings.HasPrefix(name, "cron:") })
	return slices.DeleteFunc(found, func(t trouble.Trouble) bool { return t.Lock != "" }), now
}
