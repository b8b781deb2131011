package trouble

import (
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
)

// ring makes locks whose holders wait for each other in a circle, each for a second longer than the next.
func ring(names ...string) (locks []redislock.Info) {
	for i, name := range names {
		before := (i + len(names) - 1) % len(names)
		info := held(name, time.Hour, 5*time.Second)
		info.Holds[0].ID = "h-" + name
		info.Holds[0].Owner.Metadata = "for " + name
		info.Waiting = 1
		info.Places = []redislock.Place{{ID: "p-" + name, Owner: owner, Since: zero.Add(-2*time.Minute - time.Duration(before)*time.Second), Under: []string{"h-" + names[before]}}}
		locks = append(locks, info)
	}
	return locks
}

func TestADeadlockIsATroubleWhenASecondLookHasSeenAllOfIt(t *testing.T) {
	var m Memory
	locks := ring("a", "b", "c")
	kinds := func() (kinds []Kind) {
		for _, t := range m.Troubles(zero) {
			kinds = append(kinds, t.Kind)
		}
		slices.Sort(kinds)
		return kinds
	}
	waits := []Kind{WaitsLong} // three waits for one process, shown as one
	for _, info := range locks {
		m.See(info)
	}
	for range 2 { // another call of Troubles is not another look
		if got := kinds(); !slices.Equal(got, waits) {
			t.Errorf("after one look: %v", got)
		}
	}
	m.See(locks[0])
	m.See(locks[1])
	if got := kinds(); !slices.Equal(got, waits) {
		t.Errorf("with one of the locks looked at once: %v", got)
	}
	m.See(locks[2])
	found := m.Troubles(zero)
	if len(found) != 1 || found[0].Kind != Cycle || found[0].Lock != "a" || !slices.Equal(found[0].Others, []string{"b", "c"}) || found[0].Waiting != 3 {
		t.Fatalf("after two: %+v", found)
	}
	for _, name := range []string{"a", "b", "c"} {
		about := m.About(name, zero)
		if len(about) != 1 {
			t.Fatalf("%s: %v", name, about)
		}
		means, steps := Explain(locks[0], about...)
		if len(means) == 0 || !strings.HasPrefix(string(means[0]), "Deadlock: 3 wait for each other in a circle, for ") || !slices.ContainsFunc(steps, func(s Step) bool { return s.Command == "redislock break a --reason '...'" }) || slices.ContainsFunc(steps, func(s Step) bool { return s.Action == Take && s.Command != "redislock break a --reason '...'" }) || strings.Contains(string(means[1]), "waits for long") {
			t.Errorf("%s: %v, %v", name, means, steps)
		}
	}
	if len(m.About("d", zero)) != 0 {
		t.Error("a lock that is in none")
	}
	text := all(found[0])
	for _, want := range []string{"cycle danger deadlock: 3 wait", "holds a (for a), for ", "and has waited for b for ", "redislock break a --reason", "redislock deadlocks", "AcquireAll"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q: %s", want, text)
		}
	}
	gone := locks[1]
	gone.Places, gone.Waiting = nil, 0
	m.See(gone)
	if got := kinds(); slices.Contains(got, Cycle) {
		t.Errorf("when one has given up: %v", got)
	}
}

func TestADeadlockOfTwoIsSaidByTheirNamesAndEscaped(t *testing.T) {
	locks := ring("a\x1b", "b c")
	locks[0].Holds[0].Owner.Metadata = "m\x1b\n"
	g := redislock.WaitGraphOf(locks)
	if len(g.Cycles) != 1 {
		t.Fatalf("%+v", g)
	}
	text := all(OfCycle(g.Cycles[0]))
	if strings.Contains(text, "\x1b") || !strings.Contains(text, "deadlock: api (pid 12 on node-3) and api (pid 12 on node-3) wait for each other") || !strings.Contains(text, "redislock break NAME --reason") {
		t.Errorf("%q", text)
	}
}
