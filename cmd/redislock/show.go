package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"example.com/redislock"
	"example.com/redislock/ui/trouble"
)

const showHelp = `Shows everything that Redis knows of the lock NAME: the holders, with host, process and metadata, since when they hold it, and the end
of their leases; the waiters in order, and for how long they wait; and the last fence. It says what that means, and what can be done
next: first what only looks, then what mends, then what takes something away. It changes nothing. Of the lock of a job (cron:NAME) it
says whether the job is overdue, failed or died. It says so if Redis is full and refuses most acquires. If a history is kept
(redislock ui --history, or the Observer of package ui/history), it says which holds were lost or broken in the last ten minutes.

With --output json the troubles of the lock, of its job and of a Redis that is full are in the field troubles: kind, level, title, what it
means, and the steps with their commands. It is empty if nothing is known to be wrong. The exit status is that of the text.

If a waiter holds another lock, redislock show goes through all keys of the server to see whether there is a deadlock, for two seconds
at most. redislock deadlocks has no such limit.

It shows the first 50 holders and the first 50 waiters, and how many more there are. --all shows all of them, in steps that do not
block Redis. The times are those of Redis' clock. The fence of a holder is greater than those of all holders before it.

`

func newShow() *cobra.Command {
	var (
		s server
		o output
		m several
	)
	all := false
	cmd := &cobra.Command{
		Use:                   "show [flags] NAME",
		Short:                 "Show who holds a lock, who waits, and what that means",
		Long:                  showHelp + exits(map[int]string{exitUnknown: "nothing is known of a lock of that name"}, 0, exitUnknown, exitUsage, exitUnavailable, exitDenied),
		Example:               "  redislock show orders/7\n  redislock show cron:nightly-report\n  redislock show --output json orders/7 | jq '.holds[].pid'",
		Args:                  cobra.ExactArgs(1),
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().BoolVar(&all, "all", false, "show all holders and waiters")
	o.flags(cmd.Flags())
	s.flags(cmd.Flags())
	m.flags(cmd.Flags(), "show the lock")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if many, err := m.given(cmd.Flags()); err != nil {
			return err
		} else if many {
			return showOverQuorum(cmd, &s, &o, &m, args[0])
		}
		p, l, err := begin(cmd, &s, &o)
		if err != nil {
			return err
		}
		defer l.close()
		info, err := l.inspect(args[0])
		for all && err == nil && info.More() {
			info, err = l.inspectMore(info)
		}
		if err != nil {
			return err
		}
		more := l.moreOf(info)
		unknown := info.Idle() && info.Fence == 0 && len(more) == 0
		switch {
		case o.json():
			lock := jsonLock(info)
			lock.Troubles = jsonTroubles(trouble.Found(info, more...), info.Now, s.again())
			err = o.write(p, lock)
		case !unknown:
			_, err = io.WriteString(p, describe(forPeople(info), 0, trouble.Stops(more))+advise(info, s.again(), p.width, more...))
		}
		if err == nil && unknown {
			err = exitWith(exitUnknown, "nothing is known of a lock %q under the prefix %q on Redis at %s: nobody holds it, and nobody has for about an hour; redislock ls --all lists those that are known",
				args[0], s.prefix, l.addr)
		}
		return err
	}
	return cmd
}

// moreOf is what a look at one lock does not show: deadlocks that it is part of, the trouble of its job, a full Redis, and what
// became of its last holds, where a history is kept that this user may read.
func (l *link) moreOf(info redislock.Info) []trouble.Trouble {
	all, m, now := l.troublesNow([]redislock.Info{info}, l.jobOfLock(info.Name), func(name string) bool { return name == info.Name })
	return append(m.About(info.Name, now), trouble.About(info.Name, all)...)
}

func (l *link) inspect(name string) (info redislock.Info, err error) {
	err = l.within(context.Background(), func(ctx context.Context) error {
		info, err = l.client.Inspect(ctx, name)
		return err
	})
	return info, err
}

// inspectMore adds the next holders and waiters to those in info.
func (l *link) inspectMore(info redislock.Info) (more redislock.Info, err error) {
	err = l.within(context.Background(), func(ctx context.Context) error {
		more, err = l.client.InspectMore(ctx, info)
		return err
	})
	return more, err
}

// describe is a lock in full, as it was so long ago. Stops says that acquires are refused, if that is so.
func describe(info readable, old time.Duration, stops trouble.Text) string {
	now := info.Now.Add(old)
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	fact := func(what, text string) { line("    %-9s %s", what, text) }

	line("%s: %s", heading.Render(info.Name), inBrief(info.Info, stops))
	if info.Fence > 0 || !info.Idle() {
		line("  last fence  %d", info.Fence)
	}
	if len(info.Limit.Rules) > 0 {
		line("  limit       %s", limitInWords(info.Info, now))
	}
	for i, h := range info.Holds {
		if i == 0 {
			line("\n%s", heading.Render("Held by"))
		}
		line("  %s", heading.Render(who(h.Owner)))
		if h.Owner.Metadata != "" {
			fact("metadata", h.Owner.Metadata)
		}
		fact("since", moment3(h.Since)+", for "+rounded(now.Sub(h.Since)))
		if h.Kept {
			fact("kept", "given back by its owner, kept until "+moment3(h.Deadline)+", "+lease(h, now))
		} else {
			fact("deadline", moment3(h.Deadline)+", "+lease(h, now))
		}
		fact("fence", fmt.Sprint(h.Fence))
		fact("mode", modeOf(h.Mode, h.Weight))
		if h.Owner.Trace != "" {
			fact("trace", h.Owner.Trace)
		}
		if h.Owner.Turns {
			fact("turns", "another goroutine of this process may have it by now, or none, if it lingers after a release")
		}
		if h.Revoked {
			fact("", bad.Render("stolen; waits to be given up"))
		}
	}
	if more := info.Holders - len(info.Holds); more > 0 {
		line("  and %d more", more)
	}
	for i, p := range info.Places {
		if i == 0 {
			line("\n%s", heading.Render("Waiting, in order"))
		}
		wait := "a reader that waits to become the writer"
		if !p.Since.IsZero() {
			wait = "for " + rounded(now.Sub(p.Since))
		}
		text := fmt.Sprintf("%4d  %s, %s, %s", i+1, who(p.Owner), wait, modeOf(p.Mode, p.Weight))
		if p.Owner.Metadata != "" {
			text += ": " + p.Owner.Metadata
		}
		if p.Owner.Trace != "" {
			text += " (trace " + p.Owner.Trace + ")"
		}
		line("%s", text)
	}
	if more := info.Waiting - len(info.Places); more > 0 {
		line("      and %d more", more)
	}
	return b.String()
}

// inBrief is the state of a lock in a few words.
func inBrief(info redislock.Info, stops trouble.Text) string {
	state := good.Render("free")
	switch {
	case info.Holders > 0 && info.Waiting > 0:
		state = uneasy.Render("held")
	case info.Holders > 0:
		state = good.Render("held")
	case info.Waiting > 0:
		state = uneasy.Render("free, and waited for")
	}
	if info.Holders > 1 {
		state += fmt.Sprintf(" by %d", info.Holders)
	}
	if info.Waiting > 0 {
		state += fmt.Sprintf(", %d waiting", info.Waiting)
	}
	if stops != "" {
		state += bad.Render(", but " + stops.String())
	}
	return state
}

func lease(h redislock.Hold, now time.Time) string {
	switch left := h.Deadline.Sub(now); {
	case left <= 0:
		return bad.Render("over")
	case h.Kept:
		return "in " + rounded(left)
	default:
		return "in " + rounded(left) + " unless it is renewed"
	}
}

// givenBack says of a hold that its owner has given it back; "" of others.
func givenBack(h redislock.Hold) string {
	if !h.Kept {
		return ""
	}
	return ", given back by its owner, kept until " + moment3(h.Deadline)
}

// allKept reports whether all shown holders have given the lock back.
func allKept(info redislock.Info) bool {
	return len(info.Holds) > 0 && present(info).Kept
}

// present is the first hold that its owner has not given back, or else the first of all. There must be one.
func present(info redislock.Info) redislock.Hold {
	for _, h := range info.Holds {
		if !h.Kept {
			return h
		}
	}
	return info.Holds[0]
}

func modeOf(m redislock.Mode, weight int) string {
	if weight > 1 {
		return fmt.Sprintf("%s, weight %d", m, weight)
	}
	return m.String()
}

// moment3 is a time in the zone of this machine, to the millisecond.
func moment3(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05.000 -07:00") }
