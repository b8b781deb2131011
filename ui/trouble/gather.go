package trouble

import (
	"slices"
	"strings"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/safetext"
)

const (
	// many is how many troubles of one cause are shown as one.
	many = 3
	// maxNamed is how many of their locks are then named.
	maxNamed = 5
)

// cause is what troubles that are shown as one have in common. Troubles with the zero cause are shown one by one.
type cause struct {
	kind Kind
	how  How             // of an end
	who  redislock.Owner // the process; zero if the cause is not one process
	at   int64           // when it happened to all of them at once, in milliseconds
}

// process is an owner without the fields that may differ between its locks.
func process(o redislock.Owner) redislock.Owner {
	return redislock.Owner{Client: o.Client, Host: o.Host, PID: o.PID}
}

// gather makes one trouble of many that have one cause: a stopped process with forty locks is one trouble and not forty, and so
// is a Redis that lost its data. The locks of one cause are in the order of [Sort]; otherwise the order is undefined.
func gather(all []Trouble) (out []Trouble) {
	same := map[cause][]Trouble{}
	for _, t := range all {
		if t.cause == (cause{}) {
			out = append(out, t)
		} else {
			same[t.cause] = append(same[t.cause], t)
		}
	}
	for c, some := range same {
		if len(some) < many {
			out = append(out, some...)
		} else {
			out = append(out, together(c, some))
		}
	}
	return out
}

// together makes one trouble of some that have one cause.
func together(c cause, some []Trouble) Trouble {
	Sort(some)
	first := some[0]
	t := Trouble{Kind: c.kind, Level: first.Level, Lock: first.Lock, Since: first.Since}
	var until, ends time.Time // the last and the first end
	var names []string
	for i, one := range some {
		t.Waiting += one.Waiting
		if one.Since.Before(t.Since) {
			t.Since = one.Since
		}
		if one.until.After(until) {
			until = one.until
		}
		if i == 0 || one.until.Before(ends) {
			ends = one.until
		}
		if i > 0 {
			t.Others = append(t.Others, one.Lock)
		}
		if i < maxNamed {
			name := safetext.Text(one.Lock)
			if one.Waiting > 0 {
				name += " (" + count(one.Waiting, "waits", "wait") + ")"
			}
			names = append(names, name)
		}
	}
	locks := Text("The locks: " + strings.Join(names, ", "))
	if more := len(some) - len(names); more > 0 {
		locks += says(" and %d more", more)
	}
	locks += "."
	who, n := Who(c.who), len(some)
	switch {
	case c.kind == NotRenewed:
		t.Title = says("%s does not renew its holds of %d locks, the first of which ends at %s", who, n, moment(ends))
		t.when = first.when
		t.Means = []Text{first.Means[0], says("Until then they are its own. They end by themselves, the last at %s.", moment(until))}
		t.Steps = ranked(slices.Concat([]Step{look(c.who, "which holds them")}, goOn(c.who, ends), []Step{
			{Mend, says("Or wait until they have ended, at %s, and see who has the locks then", moment(until)), "redislock top", ""},
			breakOf(first.Lock, who, says("Do not wait for that: take %s away, the first of them", safetext.Text(first.Lock))),
		})...)
	case c.kind == WaitsLong:
		t.Title = says("%s for long for %d locks: %s holds them", count(t.Waiting, "waits", "wait"), n, who)
		t.Means = []Text{first.Means[0]}
		t.Steps = first.Steps // of the lock for which most wait
	case c.how == Vanish:
		t.Title = says("%d locks that were held are gone with their keys", n)
		t.Means = []Text{
			"They went together: somebody deleted them, or Redis has lost data (a restart, a failover, an eviction).",
			says("The holders learn of it by their next renewal, and others may have had the locks before that. Look for writes of the old holders that came after %s.", moment(t.Since)),
		}
		t.Steps = []Step{whatRedisDid, lookStep("See who has the locks now", "redislock top")}
	default:
		t.Title = says("%s lost %d locks", who, n)
		if c.how == Lapsed {
			t.Title += ": their leases ran out"
		}
		t.Means = []Text{first.Means[0]}
		t.Steps = []Step{lookLate(c.who), lookStep("See who has the locks now", "redislock top"), lookStep(says("Look for writes of that process that came after %s, in its log and in what is written", moment(t.Since)), "")}
	}
	t.Means = append(t.Means, locks)
	return t
}
