// Package trouble finds troubles that need a person, in the state of locks, jobs and the server: long waits, holders that do not
// renew, deadlocks, queues that only grow, overdue jobs, elections without a leader, locks that were lost lately, a server in
// danger. Each is said in words: what is seen, what it means, what can be done, and the command for it.
//
// One look finds most of it ([OfLock], [OfJob], [OfServer]). A Memory finds what only several looks show ([Memory.See]), and
// deadlocks, which only several locks show ([OfCycle]). [All] puts all troubles together, and [About] picks those that concern one
// lock. The package works on plain values: it sends nothing to Redis, and its times are by the clock of Redis.
//
// The page, redislock top, ls and show all say what this package says.
package trouble

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/safetext"
)

// Kind is the kind of a trouble.
type Kind string

// The kinds.
const (
	NotRenewed Kind = "not-renewed" // a holder has not renewed when it should have
	Stolen     Kind = "stolen"      // a hold is being stolen, and its owner has not given it up
	WaitsLong  Kind = "waits-long"  // a waiter waits for longer than is usual for this lock
	NotServed  Kind = "not-served"  // nobody holds the lock, and the waiters do not get it
	Grows      Kind = "grows"       // the queue only grows
	NoLeader   Kind = "no-leader"   // an election without a leader
	Ended      Kind = "ended"       // a hold was lost, stolen or broken lately
	Damaged    Kind = "damaged"     // the key cannot be read
	Overdue    Kind = "overdue"     // a job has not begun when it should have
	JobFailed  Kind = "job-failed"  // a job's last run failed, or died
	Full       Kind = "full"        // Redis has no memory left: most acquires are refused
	Server     Kind = "server"      // the doctor has found a danger
	WasFull    Kind = "was-full"    // Redis was full, and has room again
	WasAway    Kind = "was-away"    // Redis did not answer for longer than leases may last
	Cycle      Kind = "cycle"       // a deadlock: some wait for each other in a circle
)

// Level is how bad a trouble is.
type Level int

// The levels. With a Danger, work stands still or is not safe. A Warning may become a Danger.
const (
	Warning Level = 1 + iota
	Danger
)

// String is the level as one word.
func (l Level) String() string {
	if l == Danger {
		return "danger"
	}
	return "warning"
}

// MarshalText is String, for JSON.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Trouble is something that needs a person. Texts of others are escaped in it.
type Trouble struct {
	Kind  Kind
	Level Level
	// Lock and Job are the unescaped names of the lock or job that the trouble is about. Both are empty if it is about
	// the server.
	Lock, Job string
	// Others are further locks that it is about: the other locks of a Cycle, of which Lock is the one to break, or all
	// locks of one cause.
	Others []string
	// Title says in half a line what is seen. Since is the time since when, by the clock of Redis; zero if that is not
	// known.
	Title Text
	Since time.Time
	// Waiting is how many callers wait because of it.
	Waiting int
	// Means says what that means, and Steps what can be done: first steps that only look, then those that mend, then those that take
	// something away.
	Means []Text
	Steps []Step

	cause cause
	lasts bool      // it is about the configuration of the server, and no event
	until time.Time // the end of the hold that is not renewed
	when  Text      // what happened at Since, if the kind does not say it
	stops Text      // why acquires are refused, or were until Since; empty if they are not
}

// When puts Since into words, such as "for 5m" or "3m ago". It is empty if Since is not known.
func (t Trouble) When() Text {
	if t.Since.IsZero() {
		return ""
	}
	long := Text(age(t.Since))
	switch {
	case t.when != "":
		return t.when + long + " ago"
	case t.Kind == Ended, t.Kind == JobFailed:
		return long + " ago"
	case t.over():
		return "until " + long + " ago"
	case t.Kind == WaitsLong:
		return "the first for " + long
	case t.Kind == Overdue:
		return "by " + long
	}
	return "for " + long
}

// over reports whether the trouble is past, and only what it has left is to be seen to.
func (t Trouble) over() bool { return t.Kind == WasAway || t.Kind == WasFull }

// Sort puts the worst first, among those the one for which most wait, then the oldest. A full Redis comes before its consequences, and
// the configuration of the server after events.
func Sort(all []Trouble) {
	slices.SortStableFunc(all, func(a, b Trouble) int {
		return cmp.Or(cmp.Compare(btoi(b.Kind == Full), btoi(a.Kind == Full)), cmp.Compare(btoi(a.lasts), btoi(b.lasts)), cmp.Compare(b.Level, a.Level), cmp.Compare(b.Waiting, a.Waiting), a.Since.Compare(b.Since), cmp.Compare(a.Lock, b.Lock), cmp.Compare(a.Job, b.Job))
	})
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Who shows an owner on one line, without its metadata.
func Who(o redislock.Owner) string {
	o.Client, o.Host, o.Metadata, o.Trace = safetext.Text(o.Client), safetext.Text(o.Host), "", ""
	return o.String()
}

// Typed is a name quoted for a shell, or NAME if it cannot be typed.
func Typed(name string) string {
	if !safetext.Clear(name) || strings.HasPrefix(name, "-") {
		return "NAME"
	}
	return ShellWord(name)
}

// ShellWord is a text quoted for a shell. The text must have no hidden characters.
func ShellWord(word string) string {
	if word == "" || strings.HasPrefix(word, "=") || strings.ContainsAny(word, " \t\n\"'\\$&|;<>()*?[]#~`!{}^") {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}

// Length is a duration for people: its two largest units, or a fraction of a second.
func Length(d time.Duration) string {
	switch d = max(d, 0); {
	case d >= 24*time.Hour:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d >= 10*time.Second:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Millisecond).String()
	}
}
