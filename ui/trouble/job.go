package trouble

import (
	"slices"
	"strings"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/safetext"
	"example.com/redislock/ui/doctor"
)

// overdueAfter is how late a job may begin before it is overdue, as schedulers and clocks are not exact.
const overdueAfter = time.Minute

// OfJob returns the troubles that the record of a job shows at this time of Redis. If one of the other troubles keeps every lock from
// being taken, that is why a job is overdue, and its trouble says so.
func OfJob(s redislock.CronStatus, now time.Time, others ...Trouble) (all []Trouble) {
	job, node := safetext.Text(s.Job), Who(s.Node)
	known := lookStep("See what is known of it", "redislock cron-status "+Typed(s.Job))
	add := func(kind Kind, level Level, since time.Time, title Text, means []Text, steps ...Step) {
		all = append(all, Trouble{Kind: kind, Level: level, Job: s.Job, Title: title, Since: since, Means: means, Steps: ranked(append(steps, known)...)})
	}
	if IsOverdue(s, now) {
		last, role := says("It should have begun at %s. Its last run was that of %s, on %s.", moment(s.Next), moment(s.Tick), node), "which ran it last"
		if s.Outcome == redislock.OutcomePending {
			last, role = says("It should have begun at %s, and no run of it is known. It was announced by %s.", moment(s.Next), node), "which announced it"
		}
		if why := stopped(others, s.Next); why != "" {
			add(Overdue, Danger, s.Next, says("the job %s is overdue: %s", job, why), []Text{
				last, says("%s, so no process could take its lock. That is why it did not begin: nothing is known to be wrong with the job or its processes.", upper(why)),
			}, Step{Mend, "Mend that first: the job begins at its next time then", "", ""})
			all[len(all)-1].when = "due "
		} else {
			add(Overdue, Danger, s.Next, Text("the job "+job+" is overdue"), []Text{
				last, "No process that schedules it is there, or none of them reaches Redis. Or the job is not wanted any more: Redis remembers a job for 400 days after it ran last.",
			}, look(s.Node, role), Step{Mend, "Start a process that runs the job; the log of that one says why it is gone", "", ""},
				Step{Take, "Only if the job is not wanted any more: have Redis forget it", "redislock cron-status --reset " + Typed(s.Job), says("If the job %s is still wanted, nobody is told again that it is overdue, until it has run", job)})
		}
	}
	switch s.Outcome {
	case redislock.OutcomeFailed:
		add(JobFailed, Warning, s.End, Text("the last run of the job "+job+" failed"), []Text{says("On %s: %s", node, safetext.Escape(s.Err))},
			lookStep("See the log of "+Text(node), ""))
	case redislock.OutcomeDied:
		add(JobFailed, Warning, s.Start, Text("the last run of the job "+job+" died"), []Text{
			says("It began on %s. That process is gone, or has lost the lock, and has not said how the run ended: it may have done a part of its work.", node),
		}, look(s.Node, "on which it ran"), lookStep("See the log of "+Text(node)+", and whether the system has ended it (out of memory, a restart)", ""))
	}
	return all
}

// stopped is why no lock could be taken at that time or since. It is empty if no reason is known.
func stopped(all []Trouble, at time.Time) Text {
	for _, t := range all {
		if t.stops != "" && (t.Kind != WasAway || !at.After(t.Since)) {
			return t.stops
		}
	}
	return ""
}

// IsOverdue reports whether a job has not begun when it should have, by a minute. A job that still runs is not
// overdue.
func IsOverdue(s redislock.CronStatus, now time.Time) bool {
	return !s.Next.IsZero() && s.Outcome != redislock.OutcomeRunning && now.Sub(s.Next) > overdueAfter
}

// setUp are the checks of a server's configuration. Their findings were the same yesterday, and are seldom the cause of an
// alert.
var setUp = []string{"persistence", "eviction policy", "access", "version"}

// OfServer returns the dangers in a report of the doctor. Its warnings need no action at once, so they are left out.
func OfServer(r doctor.Report) (all []Trouble) {
	full := slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool { return f.Stops == doctor.NoMemory && f.Check == "memory" })
	for _, f := range r.Findings {
		if f.Level != doctor.Danger || full && f.Stops == doctor.NoMemory && f.Check != "memory" { // one cause
			continue
		}
		t := Trouble{Kind: Server, Level: Danger, Title: Text(safetext.Escape(f.Check + ": " + f.Found)), lasts: slices.Contains(setUp, f.Check)}
		switch f.Stops {
		case doctor.NoMemory:
			t.Kind, t.Title, t.stops = Full, Text("Redis is full, no lock can be taken: "+safetext.Escape(strings.TrimPrefix(f.Found, "full, "))), "Redis is full"
		case doctor.NoAnswer:
			t.stops = "Redis does not answer"
		}
		if f.Node != "" { // the locks of other nodes may still be taken
			t.stops = ""
			t.Title = Text(safetext.Text(f.Node)+", ") + t.Title
		}
		if f.Why != "" {
			t.Means = []Text{Text(safetext.Escape(capital(f.Why)))}
		}
		var steps []Step
		if f.Look != "" {
			steps = append(steps, lookStep("See what fills it", f.Look))
		}
		if f.Fix != "" {
			steps = append(steps, Step{Mend, Text(safetext.Escape(capital(f.Fix))), f.Command, Text(safetext.Escape(capital(f.Cost)))})
		}
		if f.Stops == doctor.NoMemory {
			steps = append(steps, Step{Mend, "Or make room: have its owner delete what is not needed", "", ""}, prevent("Locks on a Redis of their own are not hit by what others store"))
		}
		t.Steps = ranked(append(steps, lookStep("See all that was found", "redislock doctor"))...)
		all = append(all, t)
	}
	return all
}

// capital begins a sentence with a capital, unless it begins with a command.
func capital(text string) string {
	if text == "" || strings.HasPrefix(text, "redis") {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// All returns everything that needs a person, the worst first: the troubles that a Memory has found in the locks, and
// those of the jobs and of the server.
func All(locks []Trouble, jobs []redislock.CronStatus, report doctor.Report, now time.Time) []Trouble {
	all := append(OfServer(report), locks...)
	others := all
	if why := Stops(all); why != "" {
		for i, t := range all {
			if t.Kind == NoLeader || t.Kind == NotServed {
				all[i].Means = append([]Text{says("%s: that may be why. Mend that first.", upper(why))}, t.Means...)
			}
		}
	}
	for _, job := range jobs {
		all = append(all, OfJob(job, now, others...)...)
	}
	Sort(all)
	for i := range all {
		all[i].Means, all[i].Steps = onceTheFence(slices.Clone(all[i].Means), slices.Clone(all[i].Steps))
	}
	return all
}

// About returns the troubles that concern a lock but are not found in its own state: the trouble of its job, and reasons why no lock
// can be taken now.
func About(name string, all []Trouble) (about []Trouble) {
	for _, t := range all {
		if t.Job != "" && "cron:"+t.Job == name || t.stops != "" && t.Kind != WasAway {
			about = append(about, t)
		}
	}
	return about
}

// Stops says why no lock can be taken now. It is empty if none of these troubles is a reason.
func Stops(all []Trouble) Text {
	for _, t := range all {
		if t.stops != "" && t.Kind != WasAway {
			return t.stops
		}
	}
	return ""
}
