package trouble

import (
	"slices"
	"strings"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/safetext"
	"example.com/redislock/ui/doctor"
)

// overdueAfter is how long after its time a job may begin: schedulers and clocks are not that exact.
const overdueAfter = time.Minute

// OfJob is what the record of a job shows, at this time of Redis.
func OfJob(s redislock.CronStatus, now time.Time) (all []Trouble) {
	job, node := safetext.Text(s.Job), Who(s.Node)
	add := func(kind Kind, level Level, since time.Time, title Text, means []Text, steps ...Step) {
		steps = append(steps, Step{"See what is known of it", "redislock cron-status " + Typed(s.Job)})
		if kind == Overdue {
			steps = append(steps, Step{"If the job was given up: have Redis forget it", "redislock cron-status --reset " + Typed(s.Job)})
		}
		all = append(all, Trouble{Kind: kind, Level: level, Job: s.Job, Title: title, Since: since, Means: means, Steps: steps})
	}
	if IsOverdue(s, now) {
		last, was := says("It should have begun at %s. Its last run was that of %s, on %s.", moment(s.Next), moment(s.Tick), node), "the last was "
		if s.Outcome == redislock.OutcomePending {
			last, was = says("It should have begun at %s, and no run of it is known. It was announced by %s.", moment(s.Next), node), "it was announced by "
		}
		add(Overdue, Danger, s.Next, Text("the job "+job+" is overdue"), []Text{
			last, "No process that schedules it is there, or none of them reaches Redis; or the job was given up: Redis knows of it for 400 days.",
		}, Step{"Start a process that runs it, or see why those that should do not: " + Text(was+node), ""})
	}
	switch s.Outcome {
	case redislock.OutcomeFailed:
		add(JobFailed, Warning, s.End, Text("the last run of the job "+job+" failed"), []Text{says("On %s: %s", node, safetext.Escape(s.Err))},
			Step{"See the log of " + Text(node), ""})
	case redislock.OutcomeDied:
		add(JobFailed, Warning, s.Start, Text("the last run of the job "+job+" died"), []Text{
			says("It began on %s. That process is gone, or has lost the lock, and has not said how the run ended: it may have done a part of its work.", node),
		}, Step{"See the log of " + Text(node) + ", and whether the system has ended it (out of memory, a restart)", ""})
	}
	return all
}

// IsOverdue reports whether a job has not begun when it should have, by a minute. What still runs is not overdue.
func IsOverdue(s redislock.CronStatus, now time.Time) bool {
	return !s.Next.IsZero() && s.Outcome != redislock.OutcomeRunning && now.Sub(s.Next) > overdueAfter
}

// setUp are the checks that find how a server is set up: it was so yesterday too, and is seldom what a person is woken for.
var setUp = []string{"persistence", "eviction policy", "access", "version"}

// OfServer are the dangers of a report of the doctor. Its warnings are no trouble of this night.
func OfServer(r doctor.Report) (all []Trouble) {
	for _, f := range r.Findings {
		if f.Level != doctor.Danger {
			continue
		}
		t := Trouble{Kind: Server, Level: Danger, Title: Text(safetext.Escape(f.Check + ": " + f.Found)), lasts: slices.Contains(setUp, f.Check)}
		if f.Node != "" {
			t.Title = Text(safetext.Text(f.Node) + ", " + safetext.Escape(f.Check+": "+f.Found))
		}
		if f.Why != "" {
			t.Means = []Text{Text(safetext.Escape(capital(f.Why)))}
		}
		if f.Fix != "" {
			t.Steps = append(t.Steps, Step{Text(safetext.Escape(capital(f.Fix))), ""})
		}
		t.Steps = append(t.Steps, Step{"See all that was found", "redislock doctor"})
		all = append(all, t)
	}
	return all
}

// capital begins a sentence, but for a command.
func capital(text string) string {
	if text == "" || strings.HasPrefix(text, "redis") {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
