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

// OfJob returns the troubles that the record of a job shows at this time of Redis. If one of the other troubles has acquires refused,
// that is probably why a job is overdue, and its trouble says so.
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
			first := Step{Mend, "Nothing is to be mended for the job then. If it cannot wait for its next time, its work can be begun by hand", "", ""}
			if why == full {
				first.Text = "Make room in Redis first. Then the job begins at its next time. If it cannot wait for that, its work can be begun by hand"
			}
			add(Overdue, Danger, s.Next, says("the job %s is overdue (%s)", job, why), []Text{
				"That is probably because its lock could not be taken. Whether its processes are well otherwise is not known: see their logs.", last, missed(s, now),
			}, look(s.Node, role), first)
			all[len(all)-1].when = "due "
		} else {
			add(Overdue, Danger, s.Next, Text("the job "+job+" is overdue"), []Text{
				"No process that schedules it is there, or they are paused, hang, or do not reach Redis; or Redis refused them at that time, which their logs say.", last,
				"Or the job is not wanted any more: Redis remembers a job for 400 days after it ran last.", missed(s, now),
			}, look(s.Node, role), Step{Mend, "Start a process that runs the job. If the old one is gone, its log says why", "", ""},
				Step{Forget, says("Have Redis forget the job %s. It mends nothing", job), "redislock cron-status --reset " + Typed(s.Job), "Redis forgets the job: it is no longer overdue, and nobody is told, even if it is still wanted"})
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

// missed says what becomes of the times of a job that were missed, and when the next one is, as far as two of its times show.
func missed(s redislock.CronStatus, now time.Time) Text {
	text := Text("Missed times are not run later (only a process that was paused may run the last of them), and none is run twice. ")
	apart := s.Next.Sub(s.Tick)
	switch {
	case s.Tick.IsZero() || apart <= 0 || apart > 400*24*time.Hour:
		return text + "When its next time is, only its schedule says: Redis does not know that."
	case apart < soon:
		return text + says("Its last two times were %s apart, so the next is probably near.", Length(apart))
	}
	next := s.Next.Add(apart * (now.Sub(s.Next)/apart + 1))
	return text + says("Its last two times were %s apart, so the next is probably at %s.", Length(apart), moment(next))
}

// soon is how far apart the times of a job are of which the next one needs no waiting for.
const soon = 10 * time.Minute

// stopped is why acquires were refused at that time or since. It is empty if no reason is known.
func stopped(all []Trouble, at time.Time) Text {
	for _, t := range all {
		if t.stops != "" && (!t.over() || !at.After(t.Since)) {
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
	oneCause := slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool { return f.Stops == doctor.NoMemory && f.Check == "memory" })
	for _, f := range r.Findings {
		if f.Level != doctor.Danger || oneCause && f.Stops == doctor.NoMemory && f.Check != "memory" { // one cause
			continue
		}
		t := Trouble{Kind: Server, Level: Danger, Since: f.Since, Title: Text(safetext.Escape(f.Check + ": " + f.Found)), lasts: slices.Contains(setUp, f.Check)}
		switch f.Stops {
		case doctor.NoMemory:
			t.Kind, t.Title, t.stops = Full, Text("Redis is "+safetext.Escape(f.Found)), full
			if cause, is := strings.CutPrefix(f.Found, "refused: "); is {
				t.Title = Text("Redis is full, most acquires are refused: " + safetext.Escape(cause))
			}
		case doctor.NoAnswer:
			t.stops = "Redis does not answer"
		}
		if f.Node != "" { // acquires of locks on other nodes may not be refused
			t.stops = ""
			t.Title = ofNode(f.Node, t.Title)
		}
		if f.Why != "" {
			t.Means = []Text{Text(safetext.Escape(capital(f.Why)))}
		}
		t.Steps = ranked(append(StepsOf(f), lookStep("See all that was found", "redislock doctor"))...)
		all = append(all, t)
	}
	return all
}

// ofNode is a title about one of several servers.
func ofNode(node string, title Text) Text { return Text(safetext.Text(node)+", ") + title }

// StepsOf returns what a finding of the doctor proposes, as steps.
func StepsOf(f doctor.Finding) (steps []Step) {
	if f.Look != "" {
		steps = append(steps, lookStep("See what fills it", f.Look))
	}
	if f.Fix != "" {
		steps = append(steps, Step{Mend, Text(safetext.Escape(capital(f.Fix))), f.Command, Text(safetext.Escape(capital(f.Cost)))})
	}
	if f.Look != "" && f.Command != "" {
		steps = append(steps, Step{Mend, "Or make room: have its owner delete what is not needed", "", ""})
	}
	if f.Stops == doctor.NoMemory && f.Check == "memory" {
		steps = append(steps, prevent("Give the locks a Redis of their own: there nothing else can use up the memory"))
	}
	return ranked(steps...)
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
				all[i].Means = append([]Text{says("%s: that may be why. See to Redis first.", why)}, t.Means...)
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

// About returns the troubles that concern a lock but are not found in its own state: the trouble of its job, and reasons why acquires
// are refused now.
func About(name string, all []Trouble) (about []Trouble) {
	for _, t := range all {
		if t.Job != "" && "cron:"+t.Job == name || t.stops != "" && !t.over() {
			about = append(about, t)
		}
	}
	return about
}

// Stops says that acquires are refused now, and why, such as "Redis is full: most acquires are refused". It is empty if none of these
// troubles is a reason.
func Stops(all []Trouble) Text {
	for _, t := range all {
		switch {
		case t.stops == "" || t.over():
		case t.Kind == Full:
			return t.stops + ": most acquires are refused"
		default:
			return t.stops + ": no lock can be taken"
		}
	}
	return ""
}
