package trouble

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/safetext"
)

// maxTold is how many of the waits in a cycle are described one by one.
const maxTold = 10

// OfCycle is the trouble of a deadlock. Its Lock is the one to break, and its Others are the other locks of the cycle. The given
// states of locks, as far as they are known, show who waits behind the cycle.
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

// waitBehind says who waits for the locks of a deadlock without being part of it, and how many these are.
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

// ofWait says what one party of a cycle holds and waits for.
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

// named is the name of a lock, with the metadata of its holder or waiter.
func named(lock, metadata string) string {
	if metadata == "" {
		return safetext.Text(lock)
	}
	return safetext.Text(lock) + " (" + safetext.Text(metadata) + ")"
}

// about reports whether a trouble is about that lock.
func about(t Trouble, lock string) bool { return t.Lock == lock || slices.Contains(t.Others, lock) }

// Instead is the lock to break, if one of the troubles of a lock is a deadlock that is better ended by a break of another.
func Instead(name string, troubles []Trouble) (other string, is bool) {
	for _, t := range troubles {
		if t.Kind == Cycle && t.Lock != name {
			return t.Lock, true
		}
	}
	return "", false
}

// because reports whether a trouble follows from one of these deadlocks: its waiters wait because of the deadlock.
func because(t Trouble, deadlocks []Trouble) bool {
	return (t.Kind == WaitsLong || t.Kind == Grows) && slices.ContainsFunc(deadlocks, func(d Trouble) bool { return d.Kind == Cycle && about(d, t.Lock) })
}

// About returns the troubles of a lock, as of the last [Memory.Troubles]: deadlocks that it is part of, the findings of the last look
// at it, and ends that were not as they should be.
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

// SeeDeadlocks stores deadlocks that the caller has confirmed by looking twice. From then on the looks at locks are not searched for
// deadlocks.
func (m *Memory) SeeDeadlocks(cycles []redislock.Cycle) { m.sure, m.sureOf = true, cycles }

// findDeadlocks finds the cycles in the results of the last looks. Locks are looked at one after the other. So a cycle counts only
// when each of its locks was looked at again after it was first seen, and the whole cycle is still there.
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

// anyUnder reports whether any waiter holds a lock meanwhile. Mostly none does, and then the search is not needed.
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

// madeOf is a key of a cycle. It does not depend on where the cycle begins.
func madeOf(c redislock.Cycle) string {
	var parts []string
	for _, e := range c {
		parts = append(parts, e.Hold.ID+" "+e.Place.ID)
	}
	slices.Sort(parts)
	return strings.Join(parts, "\n")
}
