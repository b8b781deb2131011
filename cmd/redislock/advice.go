package main

import (
	"fmt"
	"strings"
	"time"

	"example.com/redislock/cmd/redislock/internal/safetext"
)

// longHeld is from when on a lock that others wait for is one to look after.
const longHeld = time.Minute

// advise says in words what the state of a lock means, and what can be done next.
func advise(info readable) string {
	var b strings.Builder
	list := func(title string, lines []string) {
		if len(lines) > 0 {
			fmt.Fprintf(&b, "\n%s\n", heading.Render(title))
		}
		for _, line := range lines {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	list("What it means", meaning(info))
	list("What can be done", remedies(info))
	return b.String()
}

func meaning(info readable) []string {
	lines := purpose(info.name)
	if len(info.Holds) == 0 {
		if info.Waiting > 0 {
			return append(lines, "The lock is free and about to go to the first who waits: at the latest when that one looks again, within 2s.")
		}
		return append(lines, "Nobody holds it and nobody waits. Only the fence of its last holder is remembered, for about an hour.")
	}
	first := info.Holds[0]
	for _, h := range info.Holds {
		switch {
		case h.Kept:
			lines = append(lines, fmt.Sprintf("%s has given it back: it is kept until %s all the same, and then free, by itself. That process may have ended.", who(h.Owner), moment3(h.Deadline)))
		case h.Revoked:
			lines = append(lines, fmt.Sprintf("%s was robbed of it: another found the hold too old. It gets the lock when that process gives up, and at the deadline if it is paused or gone.", who(h.Owner)))
		case !h.Deadline.After(info.Now):
			lines = append(lines, fmt.Sprintf("The lease of %s is over: it is gone, paused or cut off. Whoever asks next gets the lock.", who(h.Owner)))
		}
	}
	if !allKept(info.Info) {
		lines = append(lines, "A holder that lives renews its lease again and again: if the deadline has moved on when you look again, the process is\n  alive, and works or hangs with the lock in its hands. If not, the lock is free at the deadline, by itself.")
	}
	if held := info.Now.Sub(first.Since); info.Waiting > 0 && held > longHeld {
		lines = append(lines, fmt.Sprintf("%d have been waiting while it has been held for %s.", info.Waiting, rounded(held)))
	}
	return lines
}

// purpose is what a lock is for that the library has named.
func purpose(name string) []string {
	kind, rest, found := strings.Cut(name, ":")
	if !found {
		return nil
	}
	rest = visible(rest)
	switch kind {
	case "cron":
		return []string{fmt.Sprintf("This is the lock of the job %s while it runs; redislock cron-status %s shows its last run.", rest, typed(name[len("cron:"):]))}
	case "tick":
		return []string{fmt.Sprintf("This decides who runs the tick %s (job@time).", rest)}
	case "elect":
		return []string{fmt.Sprintf("This is the election %s: the holder is the leader, those who wait are the candidates.", rest)}
	case "once":
		return []string{fmt.Sprintf("This is held by who does %s, which is done once; the others wait for the end.", rest)}
	case "share":
		return []string{fmt.Sprintf("This is held by who fetches the value %s for all.", rest)}
	}
	return nil
}

func remedies(info readable) []string {
	if len(info.Holds) == 0 {
		return nil
	}
	name, h := typed(info.name), present(info.Info)
	watch := fmt.Sprintf("Watch it move:                    %s", watchCommand(info.name))
	if h.Kept {
		return []string{watch, fmt.Sprintf("End it sooner, if it must be:     redislock break %s --reason '...'", name)}
	}
	return []string{
		fmt.Sprintf("On %s, see what process %d does: ps -fp %d, and the log of %s.", h.Owner.Host, h.Owner.PID, h.Owner.PID, h.Owner.Client),
		fmt.Sprintf("Ask for it; nothing is taken:     redislock ask %s --why '...'", name),
		watch,
		fmt.Sprintf("Take it away, if it must be:      redislock break %s --reason '...'", name),
		"After a break the old holder may go on for a moment, or longer if it is paused: only the fence keeps its writes out.",
	}
}

// typed is a name as one types it in a shell, NAME if it cannot be typed.
func typed(name string) string {
	if !safetext.Clear(name) || strings.HasPrefix(name, "-") {
		return "NAME"
	}
	return shellWord(name)
}

// watchCommand is what one types to watch a lock.
func watchCommand(name string) string {
	if isPattern(name) {
		return "redislock watch --name " + typed(name)
	}
	return "redislock watch " + typed(name)
}
