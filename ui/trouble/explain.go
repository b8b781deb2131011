package trouble

import (
	"cmp"
	"slices"
	"strings"

	"example.com/redislock"
	"example.com/redislock/internal/safetext"
)

// Explain says what the state of a lock means and what can be done next, whether there is trouble or not. The other troubles that are
// known and that this look does not show are given too: those of earlier looks ([Memory.About]), deadlocks, lost holds, the trouble of
// its job, a full Redis ([About]). No sentence is in it twice.
func Explain(info redislock.Info, more ...Trouble) (means []Text, steps []Step) {
	if text := Purpose(info.Name); text != "" {
		means = append(means, text)
	}
	found := Found(info, more...)
	for i, t := range found {
		told := sentence(t)
		if i == 0 && t.stops != "" && !t.over() && len(info.Holds) == 0 {
			told = "It is free, but " + told
		}
		means = append(means, told)
		means = append(means, t.Means...)
	}
	means = append(means, plainly(info, found)...)
	return onceTheFence(once(means), next(info, found))
}

// once leaves each text in the first place only.
func once(texts []Text) (out []Text) {
	for _, text := range texts {
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

// Found returns the troubles that [Explain] explains, the present before the past. If a trouble of this look is known already, the
// known one is returned.
func Found(info redislock.Info, more ...Trouble) []Trouble {
	var known before
	for _, t := range more {
		if t.Kind == Ended {
			known.ended = later(known.ended, t.Since)
		}
	}
	has := func(all []Trouble, kind Kind) bool {
		return slices.ContainsFunc(all, func(t Trouble) bool { return t.Kind == kind && t.Lock == info.Name })
	}
	seen := slices.DeleteFunc(ofLock(info, known), func(t Trouble) bool { return because(t, more) })
	var now, past []Trouble
	for _, t := range more {
		switch {
		case t.Kind == Ended:
			past = append(past, t)
		case (t.Kind == NotRenewed || t.Kind == Stolen) && !has(seen, t.Kind): // a look would show it, so it is over
		default:
			now = append(now, t)
		}
	}
	for _, t := range seen {
		if !has(more, t.Kind) {
			now = append(now, t)
		}
	}
	slices.SortStableFunc(now, func(a, b Trouble) int { return cmp.Compare(btoi(b.stops != ""), btoi(a.stops != "")) })
	return append(now, past...)
}

// onceTheFence leaves the explanation of the fence in the first place only.
func onceTheFence(means []Text, steps []Step) ([]Text, []Step) {
	told := false
	cut := func(t *Text) {
		first, rest, found := strings.Cut(string(*t), theFence)
		switch {
		case !found:
		case told:
			*t = Text(strings.ReplaceAll(string(*t), theFence, ""))
		default:
			*t, told = Text(first+theFence+strings.ReplaceAll(rest, theFence, "")), true
		}
	}
	for i := range means {
		cut(&means[i])
	}
	for i := range steps { // in the order of reading
		cut(&steps[i].Text)
		cut(&steps[i].Warn)
	}
	return means, steps
}

// sentence is a title with its time.
func sentence(t Trouble) Text {
	text := upper(t.Title)
	if when := t.When(); when != "" {
		text += ", " + when
	}
	return text + "."
}

// upper begins a sentence with a capital, unless it begins with a name.
func upper(text Text) Text {
	for _, word := range []string{"nobody", "deadlock", "the ", "its key"} {
		if strings.HasPrefix(string(text), word) {
			return Text(strings.ToUpper(word[:1])) + text[1:]
		}
	}
	return text
}

// plainly describes holds that are in no trouble.
func plainly(info redislock.Info, found []Trouble) (lines []Text) {
	if len(info.Holds) == 0 {
		switch {
		case slices.ContainsFunc(found, func(t Trouble) bool { return t.Kind != Ended }):
			return nil
		case info.Waiting > 0:
			return []Text{"The lock is free and about to go to the first who waits: at the latest when that one looks again, within 2s."}
		}
		return []Text{"Nobody holds it and nobody waits."}
	}
	well := len(found) == 0
	for _, h := range info.Holds {
		switch late, never := late(h, info.Now); {
		case h.Kept:
			lines = append(lines, says("%s has given it back: it is kept until %s all the same, and then free, by itself. That process may have ended.", Who(h.Owner), moment(h.Deadline)))
		case h.Revoked: // the trouble says so
		case !h.Deadline.After(info.Now):
			well = false
			lines = append(lines, says("The lease of %s is over: it is gone, paused or cut off. Whoever asks next gets the lock.", Who(h.Owner)))
		case late && never && info.Waiting == 0: // that is no trouble either
			well = false
			lines = append(lines, says("%s has never renewed its hold. Its program takes the lock for a fixed time, or it is paused, gone or cut off. The lock is free at %s, by itself.", Who(h.Owner), moment(h.Deadline)))
		}
	}
	if well {
		lines = append([]Text{"Nothing is known to be wrong."}, lines...)
	}
	h := present(info)
	is, never := late(h, info.Now)
	switch {
	case h.Kept || h.Revoked || is || !h.Deadline.After(info.Now):
	case slices.ContainsFunc(found, func(t Trouble) bool { return t.Kind == WaitsLong }): // that trouble says so
	case h.Lease == 0 || never:
		lines = append(lines, "A holder that lives renews its lease again and again: if the deadline has moved on when you look again, the process is alive, and works, or hangs while it holds the lock. If not, the lock is free at the deadline, by itself.")
	default:
		lines = append(lines, says("A holder that lives renews its lease again and again. %s did so %s ago: the process is alive, and works, or hangs while it holds the lock.", Who(h.Owner), age(h.Renewed())))
	}
	return lines
}

// next returns the steps of the troubles, and those that are always possible. A trouble proposes itself to break the lock if that
// mends it. Without a trouble the break is among the steps that are possible with any lock.
func next(info redislock.Info, found []Trouble) []Step {
	var steps []Step
	for _, t := range found {
		for _, s := range t.Steps {
			if s.Command == "" || s.Command != show(info.Name) || s.Action != Look { // the reader has that output before him
				steps = append(steps, s)
			}
		}
	}
	if len(info.Holds) == 0 || len(found) > 0 && !slices.ContainsFunc(found, func(t Trouble) bool { return t.stops == "" || t.over() }) {
		return ranked(steps...) // nobody holds it, or the holder is not the trouble
	}
	h := present(info)
	if !h.Kept { // the process of a kept hold may have ended
		steps = append(steps, look(h.Owner, "which holds it now"))
	}
	steps = append(steps, watch(info.Name))
	switch {
	case len(found) > 0:
	case h.Kept:
		steps = append(steps, endKept(info.Name))
	default:
		ask := askStep(info)
		ask.Action = Take // there is nothing to mend
		steps = append(steps, ask, breakStep(info, "Or take it away"))
	}
	return ranked(steps...)
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
