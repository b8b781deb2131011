package trouble

import (
	"slices"
	"strings"

	"example.com/redislock"
	"example.com/redislock/internal/safetext"
)

// Explain says what the state of a lock means and what can be done next, whether there is trouble or not. What a look at one lock does
// not show is given with it, as far as it is known: deadlocks that it is part of, holds that were lost lately, the trouble of its job.
func Explain(info redislock.Info, more ...Trouble) (means []Text, steps []Step) {
	if text := Purpose(info.Name); text != "" {
		means = append(means, text)
	}
	var known before
	for _, t := range more {
		if t.Kind == Ended {
			known.ended = later(known.ended, t.Since)
		}
	}
	now := slices.DeleteFunc(ofLock(info, known), func(t Trouble) bool { return because(t, more) })
	lately := slices.IndexFunc(more, func(t Trouble) bool { return t.Kind == Ended })
	if lately < 0 {
		lately = len(more)
	}
	found := slices.Concat(more[:lately], now, more[lately:]) // what is over comes last
	for _, t := range found {
		means = append(means, sentence(t))
		means = append(means, t.Means...)
	}
	means = append(means, plainly(info, found)...)
	return means, next(info, found)
}

// sentence is a title with its time.
func sentence(t Trouble) Text {
	text := upper(t.Title)
	switch {
	case t.Since.IsZero():
	case t.Kind == Ended || t.Kind == JobFailed:
		text += Text(", " + age(t.Since) + " ago")
	default:
		text += Text(", for " + age(t.Since))
	}
	return text + "."
}

// upper begins a sentence, but for a name: that stays as it is.
func upper(text Text) Text {
	for _, word := range []string{"nobody", "deadlock", "the "} {
		if strings.HasPrefix(string(text), word) {
			return Text(strings.ToUpper(word[:1])) + text[1:]
		}
	}
	return text
}

// plainly is what there is to say of holds that are in no trouble.
func plainly(info redislock.Info, found []Trouble) (lines []Text) {
	if len(info.Holds) == 0 {
		switch {
		case slices.ContainsFunc(found, func(t Trouble) bool { return t.Kind != Ended }):
			return nil
		case info.Waiting > 0:
			return []Text{"The lock is free and about to go to the first who waits: at the latest when that one looks again, within 2s."}
		}
		return []Text{"Nobody holds it and nobody waits. Only the fence of its last holder is remembered, for about an hour."}
	}
	for _, h := range info.Holds {
		switch late, never := late(h, info.Now); {
		case h.Kept:
			lines = append(lines, says("%s has given it back: it is kept until %s all the same, and then free, by itself. That process may have ended.", Who(h.Owner), moment(h.Deadline)))
		case h.Revoked: // said already
		case !h.Deadline.After(info.Now):
			lines = append(lines, says("The lease of %s is over: it is gone, paused or cut off. Whoever asks next gets the lock.", Who(h.Owner)))
		case late && never && info.Waiting == 0:
			lines = append(lines, says("%s has never renewed its hold. It took the lock WithoutRenewal, or is paused, gone or cut off. The lock is free at %s, by itself.", Who(h.Owner), moment(h.Deadline)))
		}
	}
	h := present(info)
	is, never := late(h, info.Now)
	switch {
	case h.Kept || h.Revoked || is || !h.Deadline.After(info.Now):
	case slices.ContainsFunc(found, func(t Trouble) bool { return t.Kind == WaitsLong }): // it says so
	case h.Lease == 0 || never:
		lines = append(lines, "A holder that lives renews its lease again and again: if the deadline has moved on when you look again, the process is alive, and works or hangs with the lock in its hands. If not, the lock is free at the deadline, by itself.")
	default:
		lines = append(lines, says("A holder that lives renews its lease again and again. %s did so %s ago: the process is alive, and works or hangs with the lock in its hands.", Who(h.Owner), age(h.Renewed())))
	}
	return lines
}

// next are the steps for the trouble that there is, and then those that there always are.
func next(info redislock.Info, found []Trouble) (steps []Step) {
	have := map[string]bool{}
	add := func(more ...Step) {
		for _, s := range more {
			kind := strings.Join(strings.Fields(s.Command + " " + string(s.Text))[:2], " ")
			if !have[kind] {
				have[kind] = true
				steps = append(steps, s)
			}
		}
	}
	for _, t := range found {
		add(t.Steps...)
	}
	if len(info.Holds) == 0 {
		return steps
	}
	h := present(info)
	if h.Kept {
		add(watch(info.Name), breakStep(info.Name, "End it sooner, if it must be"))
		return steps
	}
	add(look(h.Owner), askStep(info.Name), watch(info.Name), breakStep(info.Name, "Take it away, if it must be"))
	return append(steps, Step{"After a break the old holder may go on for a moment, or longer if it is paused: only the fence keeps its writes out", ""})
}

// Purpose is what a lock is for that the library has named; empty for others.
func Purpose(name string) Text {
	kind, rest, found := strings.Cut(name, ":")
	if !found {
		return ""
	}
	shown := safetext.Text(rest)
	switch kind {
	case "cron":
		return says("This is the lock of the job %s while it runs; redislock cron-status %s shows its last run.", shown, Typed(rest))
	case "tick":
		return says("This decides who runs the tick %s (job@time).", shown)
	case "elect":
		return says("This is the election %s: the holder is the leader, those who wait are the candidates.", shown)
	case "group":
		return says("These are the places of the group %s of jobs: the holders run, those who wait have not begun.", shown)
	case "once":
		return says("This is held by who does %s, which is done once; the others wait for the end.", shown)
	case "share":
		return says("This is held by who fetches the value %s for all.", shown)
	}
	return ""
}
