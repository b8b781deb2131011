package main

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/glob"
	"example.com/redislock/ui/doctor"
	"example.com/redislock/ui/history"
	"example.com/redislock/ui/trouble"
)

// advise says in words what the state of a lock means, and what can be done next, in lines of at most width. The flags lead to the
// same Redis. More is what is known of the lock that this look at it does not show.
func advise(info redislock.Info, flags string, width int, more ...trouble.Trouble) string {
	means, steps := trouble.Explain(info, more...)
	var b strings.Builder
	if len(means) > 0 {
		fmt.Fprintf(&b, "\n%s\n", heading.Render("What it means"))
	}
	for _, text := range means {
		b.WriteString(indented(text.Say(info.Now), "  ", width))
	}
	return b.String() + stepsInWords(steps, info.Now, flags, width)
}

// stepsInWords are steps below a heading for each kind: what only looks, what mends, what takes something away.
func stepsInWords(steps []trouble.Step, now time.Time, flags string, width int) string {
	var b strings.Builder
	for i, s := range steps {
		if i == 0 || s.Action != steps[i-1].Action {
			fmt.Fprintf(&b, "\n%s\n", heading.Render(s.Action.Heading()))
		}
		b.WriteString(stepInWords(s, now, flags, width))
	}
	return b.String()
}

// stepInWords is a step: what it is, what it costs, and then what to type on a line of its own.
func stepInWords(s trouble.Step, now time.Time, flags string, width int) string {
	text, warn, line := stepParts(s, now, flags)
	out := indented(text, "  ", width)
	if warn != "" {
		for l := range strings.Lines(indented(warn, "    ", width)) {
			out += uneasy.Render(strings.TrimSuffix(l, "\n")) + "\n"
		}
	}
	if line != "" {
		out += "      " + line + "\n"
	}
	return out
}

// stepParts are what a step is, what it costs, and what to type: the last sentence leads to that.
func stepParts(s trouble.Step, now time.Time, flags string) (text, warn, line string) {
	text, warn, line = s.Text.Say(now), s.Warn.Say(now), s.Line(flags)
	end := "."
	if line != "" {
		end = ":"
	}
	if warn == "" {
		return text + end, "", line
	}
	return text + ".", "! " + warn + end, line
}

// indented is a paragraph in lines no longer than width, each behind an indentation. Without a width it is one line.
func indented(text, indent string, width int) string {
	if width <= 0 {
		return indent + text + "\n"
	}
	return indent + strings.Join(wrapped(text, width-len(indent)), "\n"+indent) + "\n"
}

func typed(name string) string { return trouble.Typed(name) }

// watchCommand is the command that watches a lock.
func watchCommand(name string) string {
	if isPattern(name) {
		return "redislock watch --name " + typed(name)
	}
	return "redislock watch " + typed(name)
}

// troublesNow returns the troubles that a single look can find: those of these locks, deadlocks, losses of the last minutes from a
// history, those of jobs, and a full Redis. Of the troubles of locks and jobs it returns those whose lock wanted matches; for a job
// that is cron:NAME. Those of the server are always returned. Parts that the user may not read, or that take too long, are left out.
func (l *link) troublesNow(infos []redislock.Info, jobs jobsOf, wanted wantedNames) (all []trouble.Trouble, m *trouble.Memory, now time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	m = &trouble.Memory{}
	waits := false
	for _, info := range infos {
		m.See(info)
		if info.Now.After(now) {
			now = info.Now
		}
		waits = waits || slices.ContainsFunc(info.Places, func(p redislock.Place) bool { return len(p.Under) > 0 })
	}
	if waits {
		if g, err := l.client.Deadlocks(ctx); err == nil {
			l.seeCycles(ctx, m, g.Cycles)
		}
	}
	if now.IsZero() {
		now = l.time(ctx)
	}
	_ = history.Open(l.rdb, l.prefix).Read(ctx, history.Since(now.Add(-trouble.Recent)), func(e history.Entry) {
		if end, bad := trouble.Told(e); bad && wanted(e.Name) {
			m.Note(e.Name, end)
		}
	})
	var runs []redislock.CronStatus
	for status, err := range jobs(ctx) {
		if err == nil {
			runs = append(runs, status)
		}
	}
	return wanted.of(trouble.All(m.Troubles(now), runs, doctor.Memory(ctx, l.rdb), now)), m, now
}

// now is the time of Redis.
func (l *link) now() time.Time {
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	return l.time(ctx)
}

// time is the time of Redis, or of this machine if Redis does not tell it.
func (l *link) time(ctx context.Context) time.Time {
	if info, err := l.client.Inspect(ctx, "cron:*"); err == nil { // a user may be allowed this and not TIME
		return info.Now
	}
	return time.Now()
}

// jobsOf are the jobs that a command is about.
type jobsOf func(context.Context) iter.Seq2[redislock.CronStatus, error]

// jobOfLock is the job whose lock has that name, if it is the lock of a job.
func (l *link) jobOfLock(name string) jobsOf {
	return func(ctx context.Context) iter.Seq2[redislock.CronStatus, error] {
		return func(yield func(redislock.CronStatus, error) bool) {
			if job, is := strings.CutPrefix(name, "cron:"); is {
				yield(l.client.CronStatus(ctx, job))
			}
		}
	}
}

// wantedNames says which locks a command is about.
type wantedNames func(name string) bool

// matching are the names that match a pattern, or all where it is empty. It must be one that [redislock.Client.List] takes.
func matching(pattern string) wantedNames {
	match, err := glob.Compile(pattern)
	if err != nil {
		return func(string) bool { return false }
	}
	return match.MatchString
}

// of leaves the troubles of these locks, of their jobs, and of the server.
func (wanted wantedNames) of(all []trouble.Trouble) []trouble.Trouble {
	return slices.DeleteFunc(all, func(t trouble.Trouble) bool {
		return (t.Lock != "" || t.Job != "") && !(t.Lock != "" && (wanted(t.Lock) || slices.ContainsFunc(t.Others, wanted)) || t.Job != "" && wanted("cron:"+t.Job))
	})
}

// seeCycles has a memory know deadlocks that were looked at twice, and who waits behind those in them.
func (l *link) seeCycles(ctx context.Context, m *trouble.Memory, cycles []redislock.Cycle) {
	for _, info := range l.locksOf(ctx, cycles) {
		m.See(info)
	}
	m.SeeDeadlocks(cycles)
}

// maxInspected is how many locks of deadlocks are looked at for those who wait behind.
const maxInspected = 50

// locksOf are the locks of deadlocks as they are now.
func (l *link) locksOf(ctx context.Context, cycles []redislock.Cycle) (infos []redislock.Info) {
	var names []string
	for _, c := range cycles {
		for _, e := range c {
			if !slices.Contains(names, e.Lock) {
				names = append(names, e.Lock)
			}
		}
	}
	for _, name := range names[:min(len(names), maxInspected)] {
		if info, err := l.client.Inspect(ctx, name); err == nil {
			infos = append(infos, info)
		}
	}
	return infos
}
