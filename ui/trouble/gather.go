package trouble

import (
	"slices"
	"strings"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/safetext"
)

const (
	// many is from how many troubles of one cause on they are told as one.
	many = 3
	// maxNamed is how many of their locks are named.
	maxNamed = 5
)

// cause is what troubles have in common that are told as one. Those with the zero cause are told each by itself.
type cause struct {
	kind Kind
	how  How             // of an end
	who  redislock.Owner // the process; zero where it is not one process
	at   int64           // of what happened to all at once, in milliseconds
}

// process is an owner without what may differ between its locks.
func process(o redislock.Owner) redislock.Owner {
	return redislock.Owner{Client: o.Client, Host: o.Host, PID: o.PID}
}

// gather tells troubles of one cause as one: a process that is stopped with forty locks is one trouble and not forty, and so is a
// Redis that lost its data. The order is that of [Sort] among them, and any otherwise.
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

// together is one trouble for some of one cause.
func together(c cause, some []Trouble) Trouble {
	Sort(some)
	first := some[0]
	t := Trouble{Kind: c.kind, Level: first.Level, Lock: first.Lock, Since: first.Since}
	var until time.Time
	var names []string
	for i, one := range some {
		t.Waiting += one.Waiting
		if one.Since.Before(t.Since) {
			t.Since = one.Since
		}
		if one.until.After(until) {
			until = one.until
		}
		if i > 0 {
			t.Others = append(t.Others, one.Lock)
		}
		if i < maxNamed {
			names = append(names, safetext.Text(one.Lock))
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
		t.Title = says("%s does not renew its holds of %d locks", who, n)
		t.Means = []Text{first.Means[0], says("They end by themselves, the last at %s. If the process goes on later, only the fences keep its writes out.", moment(until))}
		t.Steps = slices.Concat([]Step{look(c.who)}, goOn(c.who), []Step{{"Wait until they have ended, and see who has the locks then", "redislock top"}, breakStep(first.Lock, "Do not wait for that: take the lock away that most wait for")})
	case c.kind == WaitsLong:
		t.Title = says("%s for long for %d locks: %s holds them", count(t.Waiting, "waits", "wait"), n, who)
		t.Means = []Text{first.Means[0]}
		t.Steps = []Step{look(c.who), askStep(first.Lock), breakStep(first.Lock, "Take the lock away that most wait for, if it must be")}
	case c.how == Vanish:
		t.Title = says("%d locks that were held are gone with their keys", n)
		t.Means = []Text{
			"They went together: somebody deleted them, or Redis has lost data (a restart, a failover, an eviction).",
			says("Who held them learns of it at the next renewal at the latest, and others may have had the locks before that. Look for writes of the old holders that came after %s.", moment(t.Since)),
		}
		t.Steps = []Step{{"See whether Redis restarted, failed over or evicts", "redislock doctor"}, {"See who has the locks now", "redislock top"}}
	default:
		t.Title = says("%s lost %d locks", who, n)
		if c.how == Lapsed {
			t.Title += ": their leases ran out"
		}
		t.Means = []Text{first.Means[0], says("Look for writes of that process that came after %s, each with the fence of its hold or a smaller one.", moment(t.Since))}
		t.Steps = append([]Step{look(c.who)}, goOn(c.who)...)
	}
	t.Means = append(t.Means, locks)
	return t
}
