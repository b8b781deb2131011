package trouble

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/safetext"
)

// maxTold is how many of those in a cycle are told one by one.
const maxTold = 10

// OfCycle is a deadlock: some wait for each other. Its Lock is the one to break, its Others are the other locks in it. The locks, as far as
// they are known, tell who waits behind those in it.
func OfCycle(c redislock.Cycle, locks ...redislock.Info) Trouble {
	last := c.Youngest()
	t := Trouble{Kind: Cycle, Level: Danger, Lock: last.Lock, Waiting: len(c)}
	switch {
	case len(c) == 1:
		t.Title = "deadlock: " + Text(Who(c[0].Hold.Owner)) + " waits for itself"
	case len(c) == 2:
		t.Title = says("deadlock: %s and %s wait for each other", Who(c[0].Hold.Owner), Who(c[1].Hold.Owner))
	default:
		t.Title = says("deadlock: %d wait for each other in a circle", len(c))
	}
	for i, e := range c {
		if e.Place.Since.After(t.Since) {
			t.Since = e.Place.Since
		}
		if e.Lock != t.Lock && !slices.Contains(t.Others, e.Lock) {
			t.Others = append(t.Others, e.Lock)
		}
		switch {
		case i < maxTold:
			t.Means = append(t.Means, ofWait(e))
		case i == maxTold:
			t.Means = append(t.Means, says("And %d more.", len(c)-maxTold))
		}
	}
	behind, more := waitBehind(c, locks)
	t.Waiting += behind
	t.Means = append(t.Means, more...)
	t.Means = append(t.Means, "All of them renew their holds, so no lease ends this. Nobody gets on until one gives up, which a program does by itself only if it waits for a limited time.")
	t.Steps = ranked(
		lookStep("See who waits for whom", "redislock deadlocks"),
		look(last.Hold.Owner, "which began to wait last"),
		breakOf(last.Lock, Who(last.Hold.Owner), says("Break %s, which %s holds: it began to wait last, and the others get on then", safetext.Text(last.Lock), Who(last.Hold.Owner))),
		prevent("Take the locks in one order everywhere, or all at once (AcquireAll). WithDeadlockCheck has the youngest give up by itself, and a context with an end bounds a wait"),
	)
	return t
}

// waitBehind says who waits for the locks of a deadlock without being in it, and how many they are.
func waitBehind(c redislock.Cycle, locks []redislock.Info) (n int, means []Text) {
	for _, info := range locks {
		if !slices.ContainsFunc(c, func(e redislock.WaitEdge) bool { return e.For == info.Name }) {
			continue
		}
		inside, out := 0, 0
		for _, p := range info.Places {
			if slices.ContainsFunc(c, func(e redislock.WaitEdge) bool { return e.Place.ID == p.ID }) {
				inside++
				continue
			}
			if out++; n+out <= maxTold {
				means = append(means, says("Behind them waits %s for %s%s. It gets on when they do.", Who(p.Owner), named(info.Name, p.Owner.Metadata), string(waitsFor(p))))
			}
		}
		n += max(info.Waiting-inside, 0)
	}
	if told := len(means); n > told {
		means = append(means, says("Behind them %s.", count(n-told, "more waits", "more wait")))
	}
	return n, means
}

func waitsFor(p redislock.Place) Text {
	if p.Since.IsZero() {
		return ""
	}
	return Text(", for " + age(p.Since))
}

// ofWait says what one of those in a cycle holds and waits for.
func ofWait(e redislock.WaitEdge) Text {
	wait := Text(", and waits to become its only holder.")
	switch {
	case !e.Place.Since.IsZero():
		wait = says(", and has waited for %s for %s.", named(e.For, e.Place.Owner.Metadata), age(e.Place.Since))
	case e.For != e.Lock:
		wait = says(", and waits to become the only holder of %s.", safetext.Text(e.For))
	}
	return says("%s holds %s, for %s", Who(e.Hold.Owner), named(e.Lock, e.Hold.Owner.Metadata), age(e.Hold.Since)) + wait
}

// named is the name of a lock, with the metadata of who holds it or waits for it.
func named(lock, metadata string) string {
	if metadata == "" {
		return safetext.Text(lock)
	}
	return safetext.Text(lock) + " (" + safetext.Text(metadata) + ")"
}

// about reports whether a trouble is one of that lock.
func about(t Trouble, lock string) bool { return t.Lock == lock || slices.Contains(t.Others, lock) }

// because reports whether a trouble is there because of a deadlock that is told of: who waits there waits for that.
func because(t Trouble, deadlocks []Trouble) bool {
	return (t.Kind == WaitsLong || t.Kind == Grows) && slices.ContainsFunc(deadlocks, func(d Trouble) bool { return d.Kind == Cycle && about(d, t.Lock) })
}

// About are the troubles of a lock, as of the last [Memory.Troubles]: deadlocks that it is part of, what the last look at it has shown, and
// ends that were not as they should be.
func (m *Memory) About(name string, now time.Time) (all []Trouble) {
	for _, t := range m.deadlocks {
		if about(t, name) {
			all = append(all, t)
		}
	}
	if p := m.locks[name]; p != nil {
		for _, t := range p.found {
			if !because(t, m.deadlocks) {
				all = append(all, t)
			}
		}
	}
	return append(all, m.Ends(name, now)...)
}

// SeeDeadlocks takes in deadlocks that somebody has made sure of, by looking twice. From then on the looks at locks are not searched for any.
func (m *Memory) SeeDeadlocks(cycles []redislock.Cycle) { m.sure, m.sureOf = true, cycles }

// findDeadlocks finds the cycles in what the last looks have shown. Locks are looked at one after the other: a cycle counts when each of
// its locks was looked at once more since it was first seen, and all of it is still there.
func (m *Memory) findDeadlocks() {
	var locks []redislock.Info
	if m.sure || m.anyUnder() {
		for _, p := range m.locks {
			if !p.last.Idle() {
				locks = append(locks, p.last)
			}
		}
	}
	first := map[string]int{}
	m.deadlocks = nil
	if m.sure {
		for _, c := range m.sureOf {
			m.deadlocks = append(m.deadlocks, OfCycle(c, locks...))
		}
		return
	}
	for _, c := range redislock.WaitGraphOf(locks).Cycles {
		key := madeOf(c)
		seen, known := m.cycles[key]
		if !known {
			seen = m.looks
		}
		first[key] = seen
		if known && !slices.ContainsFunc(c, func(e redislock.WaitEdge) bool { return m.locks[e.Lock].look <= seen || m.locks[e.For].look <= seen }) {
			m.deadlocks = append(m.deadlocks, OfCycle(c, locks...))
		}
	}
	m.cycles = first
	slices.SortFunc(m.deadlocks, func(a, b Trouble) int { return cmp.Compare(a.Lock, b.Lock) })
}

// anyUnder reports whether anybody waits who holds a lock meanwhile. Mostly nobody does, and then many locks cost little.
func (m *Memory) anyUnder() bool {
	for _, p := range m.locks {
		for _, place := range p.last.Places {
			if len(place.Under) > 0 {
				return true
			}
		}
	}
	return false
}

// madeOf tells a cycle from others, wherever it is said to begin.
func madeOf(c redislock.Cycle) string {
	var parts []string
	for _, e := range c {
		parts = append(parts, e.Hold.ID+" "+e.Place.ID)
	}
	slices.Sort(parts)
	return strings.Join(parts, "\n")
}
