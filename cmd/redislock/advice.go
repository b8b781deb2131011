package main

import (
	"fmt"
	"strings"
	"time"

	"example.com/redislock"
	"example.com/redislock/ui/trouble"
)

// advise says what the state of a lock means and what can be done next, in lines of at most width. The flags lead to the same
// Redis. The deadlocks are those that the lock is part of, as far as they are known.
func advise(info redislock.Info, flags string, width int, deadlocks ...trouble.Trouble) string {
	means, steps := trouble.Explain(info, deadlocks...)
	var b strings.Builder
	if len(means) > 0 {
		fmt.Fprintf(&b, "\n%s\n", heading.Render("What it means"))
	}
	for _, text := range means {
		b.WriteString(indented(text.Say(info.Now), "  ", width))
	}
	if len(steps) > 0 {
		fmt.Fprintf(&b, "\n%s\n", heading.Render("What can be done"))
	}
	for _, s := range steps {
		b.WriteString(stepInWords(s, info.Now, flags, width))
	}
	return b.String()
}

// stepInWords is a step, with what to type on a line of its own.
func stepInWords(s trouble.Step, now time.Time, flags string, width int) string {
	if s.Command == "" {
		return indented(s.Text.Say(now)+".", "  ", width)
	}
	return indented(s.Text.Say(now)+":", "  ", width) + "      " + s.Line(flags) + "\n"
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
