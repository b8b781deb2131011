package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"

	"example.com/redislock"
	"example.com/redislock/ui/trouble"
)

const lsHelp = `Lists the locks that are held or waited for and whose names match PATTERN: * is any text, also with a slash, ? is any one
character, [a-c] is one of these characters, and \ quotes the next character. Without PATTERN it lists all of them. Quote PATTERN, or
the shell may replace it by names of files.

The columns are: the name; the holder, or the oldest of several; the mode; for how long it is held; how long its lease lasts unless it
is renewed; the number of waiters; and the metadata of the holder. The holder is "given back" if the lock is only kept until its time
is over. It is "in turns" if another goroutine of its process may have the lock by now, or none. If standard output is no terminal,
each lock is a line of plain text without headings, with one tab between the columns. Then the fourth column is the time since when the
lock is held, in UTC, and the fifth is the lease in seconds. The texts of the fourth column sort as the times do. A terminal also gets
a line with the totals and the address of the Redis, and below it what is in trouble: the locks and jobs that match PATTERN (a job by the
name of its lock, cron:NAME), and a Redis that is full. It looks only once: queues that only grow, waits that are longer than is usual for their lock, elections for which nobody stands, and locks that were
lost where no history is kept show only to one who looks for a while, as redislock top does.

With --output json each lock is an object on a line, with at most 10 of its holders and 10 of its waiters. What is wrong with a lock or
its job is in its field troubles, which is empty if nothing is: kind, level, title, what it means, and the steps with their commands. A
lock or a job in trouble has an object also if the lock is idle. What is wrong with the server is said on standard error, in the
field trouble of a message.

It goes through all keys of the server in small steps, which do not block Redis. A lock that begins or ends meanwhile may be missing. A
key that another program has written to, or that has another type, is reported on standard error. Then the other locks are listed, and
the exit status is 69. The names that the library itself makes begin with cron:, tick:, elect:, once: and share:.

With --quorum the holder of a lock is the one that has it on a majority of the masters, and the number of waiters is that of the master
with the longest queue. If no majority has granted a lock, and some masters have, it is shown without a holder: redislock show says
which master has granted it to whom.

`

func newLs() *cobra.Command {
	var (
		s   server
		o   output
		m   several
		all bool
		by  string
	)
	cmd := &cobra.Command{
		Use:                   "ls [flags] [PATTERN]",
		Aliases:               []string{"list"},
		Short:                 "List the locks in use",
		Long:                  lsHelp + exits(nil, 0, exitUsage, exitUnavailable, exitDenied),
		Example:               "  redislock ls\n  redislock ls --sort waiting 'orders/*'\n  redislock ls --output json | jq -r 'select(.waiting > 10).name'",
		Args:                  cobra.MaximumNArgs(1),
		DisableFlagsInUseLine: true,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVarP(&all, "all", "a", false, "also list idle locks, whose last fence is kept for about an hour")
	f.StringVar(&by, "sort", "name", "by name, since (held for longest first) or waiting (most first)")
	m.flags(f, "list the locks")
	o.flags(f)
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		order, err := orderBy(by)
		if err != nil {
			return err
		}
		inUse := func(info redislock.Info) bool { return all || !info.Idle() }
		if several, err := m.given(f); err != nil {
			return err
		} else if several {
			return lsOverQuorum(cmd, &s, &o, &m, strings.Join(args, ""), inUse, order)
		}
		p, l, err := begin(cmd, &s, &o)
		if err != nil {
			return err
		}
		defer l.close()
		pattern := strings.Join(args, "")
		wanted := inUse
		if o.json() { // idle locks may be in trouble
			wanted = func(redislock.Info) bool { return true }
		}
		infos, failed, err := l.list(context.Background(), pattern, wanted)
		if err != nil {
			return err
		}
		slices.SortFunc(infos, order)
		v := voice{cmd.ErrOrStderr(), o.json()}
		switch {
		case o.json():
			if err := l.lsJSON(p, &o, v, infos, failed, inUse, pattern, s.again()); err != nil {
				return err
			}
		case len(infos) > 0:
			if err := p.locks(infos, 0); err != nil {
				return err
			}
		case p.tables && len(failed) == 0:
			v.say("%s under the prefix %q on Redis at %s", noLocks(pattern), s.prefix, l.addr)
		}
		if p.tables && !o.json() {
			below := l.inTrouble(infos, pattern, p.width)
			if len(infos) > 0 {
				below = totals(infos, l.addr, s.prefix) + below
			}
			if _, err := io.WriteString(p, below); err != nil {
				return err
			}
		}
		return v.failures(failed)
	}
	return cmd
}

// noLocks says that there are none.
func noLocks(pattern string) string {
	if pattern == "" {
		return "no locks in use"
	}
	return "no locks in use match " + visible(pattern)
}

// totals is the line below a table of locks.
func totals(infos []redislock.Info, addr, prefix string) string {
	held, waiting := 0, 0
	for _, info := range infos {
		held += min(info.Holders, 1)
		waiting += info.Waiting
	}
	return "\n" + faint.Render(fmt.Sprintf("%s, %d held, %d waiting; prefix %s on Redis at %s", number(len(infos), "lock"), held, waiting, visible(prefix), addr)) + "\n"
}

// lsJSON writes the locks in use and those in trouble, each with its troubles. What is wrong with the server is of no lock: it is
// said on standard error.
func (l *link) lsJSON(p *page, o *output, v voice, infos []redislock.Info, failed []failure, inUse func(redislock.Info) bool, pattern, flags string) error {
	found, _, now := l.troublesNow(infos, l.client.CronJobs, matching(pattern))
	of, known, matches := map[string][]trouble.Trouble{}, map[string]bool{}, matching(pattern)
	for _, info := range infos {
		known[info.Name] = true
	}
	for _, f := range failed {
		known[f.name] = true
	}
	for _, t := range found {
		if t.Lock == "" && t.Job == "" {
			v.tell(message{Trouble: &jsonTroubles([]trouble.Trouble{t}, now, flags)[0]}, "%s: %s", t.Level, inALine(t, now))
			continue
		}
		names := append([]string{t.Lock}, t.Others...)
		if t.Job != "" {
			names = []string{"cron:" + t.Job}
		}
		for _, name := range names {
			if !matches(name) {
				continue
			}
			t.Others, t.Steps = nil, trouble.Overview(t.Steps) // each of them has the trouble
			if of[name] = append(of[name], t); !known[name] {  // Redis has forgotten the lock
				infos, known[name] = append(infos, redislock.Info{Name: name, Now: now}), true
			}
		}
	}
	for _, info := range infos {
		if len(of[info.Name]) == 0 && !inUse(info) {
			continue
		}
		lock := jsonLock(info)
		lock.Troubles = jsonTroubles(of[info.Name], now, flags)
		if err := o.write(p, lock); err != nil {
			return err
		}
	}
	return nil
}

// maxListed is how many locks in trouble are named below a table.
const maxListed = 5

// inTrouble is what is below a table of locks where something needs a person: locks and jobs that match the pattern, whether they
// are in the table or not, and the server.
func (l *link) inTrouble(infos []redislock.Info, pattern string, width int) string {
	found, _, now := l.troublesNow(infos, l.client.CronJobs, matching(pattern))
	return troublesBelow(found, now, width)
}

// troublesBelow are troubles, each in a few lines.
func troublesBelow(found []trouble.Trouble, now time.Time, width int) string {
	if len(found) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n" + indented("In trouble; redislock top, or redislock show NAME, says what that means and what can be done:", "", width))
	for i, t := range found {
		if i == maxListed {
			fmt.Fprintf(&b, "  …and %d more\n", len(found)-i)
			break
		}
		b.WriteString("  " + levelStyle(t.Level).Render(fmt.Sprintf("%-8s", t.Level)) + strings.TrimLeft(indented(inALine(t, now), "          ", width), " "))
	}
	return b.String()
}

// levelStyle is how the word of a level catches the eye.
func levelStyle(level trouble.Level) lipgloss.Style {
	if level == trouble.Danger {
		return bad
	}
	return uneasy
}

// inALine is a trouble in a sentence: the lock that it is about, what is seen, and for how long.
func inALine(t trouble.Trouble, now time.Time) string {
	text, long := inTwoParts(t, now)
	return text + long
}

// inTwoParts is inALine, with for how long apart.
func inTwoParts(t trouble.Trouble, now time.Time) (text, long string) {
	text = t.Title.Say(now)
	if about := aboutOf(t); about != "" {
		text = about + ": " + text
	}
	if when := t.When(); when != "" {
		long = ", " + when.Say(now)
	}
	return text, long
}

// aboutOf is the lock that a trouble is about, as redislock show takes it; empty of the server.
func aboutOf(t trouble.Trouble) string {
	switch {
	case t.Job != "":
		return visible("cron:" + t.Job)
	case t.Lock != "" && len(t.Others) > 0:
		return visible(t.Lock) + fmt.Sprintf(" and %d more", len(t.Others))
	case t.Lock != "":
		return visible(t.Lock)
	}
	return ""
}

// begin checks what every command that shows something has: its output, and its Redis.
func begin(cmd *cobra.Command, s *server, o *output) (*page, *link, error) {
	p, err := pageOf(cmd, o)
	if err != nil {
		return nil, nil, err
	}
	l, err := s.connect()
	return p, l, err
}

// orderBy is how --sort has locks compared; those that are equal are by name.
func orderBy(by string) (func(a, b redislock.Info) int, error) {
	name := func(a, b redislock.Info) int { return cmp.Compare(a.Name, b.Name) }
	switch by {
	case "name":
		return name, nil
	case "since":
		return func(a, b redislock.Info) int {
			if (len(a.Holds) == 0) != (len(b.Holds) == 0) {
				return len(b.Holds) - len(a.Holds)
			}
			if len(a.Holds) == 0 {
				return name(a, b)
			}
			return cmp.Or(a.Holds[0].Since.Compare(b.Holds[0].Since), name(a, b))
		}, nil
	case "waiting":
		return func(a, b redislock.Info) int { return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), name(a, b)) }, nil
	default:
		return nil, exitWith(exitUsage, "--sort (%s): must be name, since or waiting", by)
	}
}

var lockHeadings = []string{"NAME", "HOLDER", "MODE", "HELD", "LEASE", "WAITING", "METADATA"}

// locks shows a row for each lock, as it was so long ago.
func (p *page) locks(infos []redislock.Info, old time.Duration) error {
	rows := make([][]cell, len(infos))
	for i, info := range infos {
		rows[i] = lockRow(forPeople(info), old, !p.tables)
	}
	return p.rows(lockHeadings, rows)
}

// lockRow is a lock in a row: for people, or precise.
func lockRow(info readable, old time.Duration, precise bool) []cell {
	row := []cell{{info.Name, heading}, {"-", faint}, {"-", faint}, {"-", faint}, {"-", faint}, {strconv.Itoa(info.Waiting), plain}, {"-", faint}}
	switch {
	case info.Waiting > 0:
		row[5].style = uneasy
	case info.Holders == 0:
		row[0].style = faint
	}
	if len(info.Holds) == 0 {
		return row
	}
	first, ends, stolen := info.Holds[0], info.Holds[0].Deadline, false
	for _, h := range info.Holds {
		stolen = stolen || h.Revoked
		if h.Deadline.Before(ends) {
			ends = h.Deadline
		}
	}
	now := info.Now.Add(old)
	row[1] = cell{who(first.Owner), plain}
	if first.Kept {
		row[1].text += ", given back"
	}
	if first.Owner.Turns {
		row[1].text += ", in turns"
	}
	if info.Holders > 1 {
		row[1].text += fmt.Sprintf(" and %d more", info.Holders-1)
	}
	row[2] = cell{first.Mode.String(), plain}
	row[3] = cell{rounded(now.Sub(first.Since).Round(time.Second)), plain}
	row[4] = cell{rounded(ends.Sub(now).Round(100 * time.Millisecond)), good}
	switch {
	case stolen:
		row[4] = cell{"stolen", bad}
	case !ends.After(now):
		row[4] = cell{"lapsed", bad}
	case allKept(info.Info):
		row[4].text = "kept " + row[4].text
	}
	if first.Owner.Metadata != "" {
		row[6] = cell{first.Owner.Metadata, plain}
	}
	if precise {
		row[3].text = first.Since.UTC().Format(sortable)
		row[4].text = strconv.FormatFloat(ends.Sub(now).Seconds(), 'f', 3, 64)
	}
	return row
}
