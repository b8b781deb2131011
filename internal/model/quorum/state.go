package quorum

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// The sizes of what is searched: so many nodes, of which a majority counts, and at most so many attempts.
const (
	Nodes    = 3
	Majority = Nodes/2 + 1
	Attempts = 3
)

// Link is what one attempt has on one node.
type Link struct {
	Stage Stage
	// Fence is that of its hold, as the node said.
	Fence int8
	// Confirmed says that the node has the fence of the attempt, and that the vote counts.
	Confirmed bool
}

// Stage is how far a Link is.
type Stage uint8

// The stages; doc.go draws them.
const (
	None Stage = iota
	Asked
	Queued
	Granted // by the node; the attempt does not know it yet
	Vote    // the attempt counts on it
	Yielding
	Leaving
	Gone
)

// Node is one server, with what each attempt has on it.
type Node struct {
	// Last is the last fence that it gave.
	Last int8
	// Holder is the attempt that holds the lock here, -1 if none does. Held is the fence of that hold.
	Holder, Held int8
	// Fresh says that it came back without its data, and has not been up for longer than the longest lease.
	Fresh bool
	Links [Attempts]Link
}

// Attempt is one acquire, and the hold that comes of it. Their numbers are the order of their tickets.
type Attempt struct {
	Phase Phase
	// Fence is the one that is to be confirmed, or was; 0 if none is chosen.
	Fence int8
	// After is the greatest fence of the grants that were complete when it began.
	After int8
	// Was says that it was granted the lock.
	Was bool
}

// Phase is how far an Attempt is.
type Phase uint8

// The phases; doc.go draws them.
const (
	Idle Phase = iota
	Seeking
	Holding
	Over
)

// State is everything. It is comparable.
type State struct {
	Nodes    [Nodes]Node
	Attempts [Attempts]Attempt
	// Left are the faults that may still happen.
	Left Faults
}

// Faults are how many there may be of each.
type Faults struct {
	Bounds   int8 // renewals that do not arrive, so that the bound of a vote passes
	Restarts int8 // of a node that comes back without its data
	Flushes  int8 // of a node that loses its data without a restart
	Steps    int8 // holds that lapse before the bound that their owners know, because a clock was stepped
	Strays   int8 // inquiries that come when nobody waits any more
	Cancels  int8 // callers that give up
}

// canonical is the same state with its nodes in a fixed order: which is which makes no difference.
func (s State) canonical() State {
	slices.SortFunc(s.Nodes[:], func(a, b Node) int {
		if c := cmp.Or(cmp.Compare(a.Last, b.Last), cmp.Compare(a.Holder, b.Holder), cmp.Compare(a.Held, b.Held), bools(a.Fresh, b.Fresh)); c != 0 {
			return c
		}
		for k := range a.Links {
			x, y := a.Links[k], b.Links[k]
			if c := cmp.Or(cmp.Compare(x.Stage, y.Stage), cmp.Compare(x.Fence, y.Fence), bools(x.Confirmed, y.Confirmed)); c != 0 {
				return c
			}
		}
		return 0
	})
	return s
}

func bools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// votes is how many nodes an attempt counts on.
func (s *State) votes(k int) (n int) {
	for i := range s.Nodes {
		if s.Nodes[i].Links[k].Stage == Vote {
			n++
		}
	}
	return n
}

// confirmed is how many of them have confirmed its fence.
func (s *State) confirmed(k int) (n int) {
	for i := range s.Nodes {
		if l := &s.Nodes[i].Links[k]; l.Stage == Vote && l.Confirmed {
			n++
		}
	}
	return n
}

// holds reports whether an attempt counts itself as the holder.
func (s *State) holds(k int) bool {
	return s.Attempts[k].Phase == Holding // settle ends that with the majority
}

// String is the state, for people.
func (s State) String() string {
	var b strings.Builder
	for i, n := range s.Nodes {
		fmt.Fprintf(&b, "node %d: last %d", i, n.Last)
		if n.Holder >= 0 {
			fmt.Fprintf(&b, ", held by %d with %d", n.Holder, n.Held)
		}
		if n.Fresh {
			b.WriteString(", came back with nothing")
		}
		for k, l := range n.Links {
			if l.Stage != None {
				fmt.Fprintf(&b, "; %d %s %d %v", k, [...]string{"", "asked", "queued", "granted", "vote", "yielding", "leaving", "gone"}[l.Stage], l.Fence, l.Confirmed)
			}
		}
		b.WriteByte('\n')
	}
	for k, a := range s.Attempts {
		fmt.Fprintf(&b, "attempt %d: %s, fence %d, after %d\n", k, [...]string{"idle", "seeking", "holding", "over"}[a.Phase], a.Fence, a.After)
	}
	return b.String()
}
