package redislock

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxUnder is how many holds a request names under which it is made, the innermost first. It bounds what such a request is longer.
const maxUnder = 16

// maxCrowd is how many holds and places of one lock a look for deadlocks takes in. It bounds what a crowd costs.
const maxCrowd = 2000

// WaitGraph says who waits for whom among the callers that hold one lock and wait for another; see [Client.Deadlocks].
type WaitGraph struct {
	// Edges are all of them, sorted by the lock that is held, then by the one that is waited for.
	Edges []WaitEdge
	// Cycles are the circles among the edges. All in a cycle wait until one of its holds is broken.
	Cycles []Cycle
}

// WaitEdge says that the owner of one hold waits for another hold to end.
type WaitEdge struct {
	// Lock is the lock that is held, and Hold its hold.
	Lock string
	Hold Hold
	// For is the lock that is waited for, and Place the place in its queue.
	For   string
	Place Place
	// Blocker is the hold of For that is in the way.
	Blocker Hold
	// Waited is for how long, by the server's clock; zero for a [Lock.Upgrade].
	Waited time.Duration
}

// Cycle is a deadlock: the Blocker of each edge is the Hold of the next one, and that of the last is the Hold of the first.
type Cycle []WaitEdge

// Youngest is the edge of the one that began to wait last. To break its Hold undoes the least, and ends the deadlock. All callers
// that look find the same one. A [Lock.Upgrade], of which the server does not know when it began, counts as the oldest.
func (c Cycle) Youngest() WaitEdge {
	if len(c) == 0 {
		return WaitEdge{}
	}
	return slices.MaxFunc(c, func(a, b WaitEdge) int {
		return cmp.Or(a.Place.Since.Compare(b.Place.Since), cmp.Compare(a.Place.ID, b.Place.ID))
	})
}

// String is the cycle in words, on one line.
func (c Cycle) String() string {
	parts := make([]string, len(c))
	for i, e := range c {
		parts[i] = fmt.Sprintf("%s holds %q and has waited %v for %q", e.Place.Owner, e.Lock, e.Waited.Round(time.Millisecond), e.For)
	}
	return strings.Join(parts, "; ")
}

// DeadlockError is the [ErrDeadlock] of a wait that was given up to end a deadlock ([WithDeadlockCheck]).
type DeadlockError struct {
	// Cycle is the deadlock. The caller that gets this error is its [Cycle.Youngest].
	Cycle Cycle
}

// Error says who holds and waits for what.
func (e *DeadlockError) Error() string { return "deadlock over several locks: " + e.Cycle.String() }

// Is makes a DeadlockError an [ErrDeadlock].
func (e *DeadlockError) Is(target error) bool { return target == ErrDeadlock }

// Deadlocks finds out who waits for whom, over all locks of the prefix and all processes, and which of them wait in a circle. It
// knows that somebody holds one lock and waits for another if the second was asked for under the context of the first
// ([Lock.Context], [Lock.With], the context of a body), in one process or with contexts handed on; at most 16 holds of a context
// are known. A wait under any other context is no edge.
//
// The locks are looked at one after the other, so a waiter may have got its lock meanwhile. A cycle that is returned was looked
// at twice, and all of it existed at one time. A wait for a [Semaphore] counts as part of a cycle only if all who hold it wait in
// one. A wait that a [WithWait] or a context bounds ends by itself.
//
// Deadlocks goes through all keys of the server as [Client.List] does, of each master of a cluster, and needs the same rights. It
// keeps in memory all locks that are held or waited for, the first 2,000 holds and places of each. It changes nothing:
// [Client.BreakHolds] breaks a hold.
func (c *Client) Deadlocks(ctx context.Context) (WaitGraph, error) {
	g, err := c.waitGraph(ctx)
	if err != nil {
		return WaitGraph{}, fmt.Errorf("redislock: deadlocks: %w", err)
	}
	return g, nil
}

func (c *Client) waitGraph(ctx context.Context) (WaitGraph, error) {
	var locks []Info
	for info, err := range c.List(ctx, "") {
		switch {
		case err != nil && info.Name == "":
			return WaitGraph{}, err
		case err == nil && !info.Idle():
			locks = append(locks, info)
		}
	}
	for i, info := range locks {
		if info.Waiting > len(info.Places) || info.Holders > len(info.Holds) { // List shows the first of many
			whole, err := c.crowd(ctx, info.Name)
			if err != nil {
				return WaitGraph{}, err
			}
			locks[i] = whole
		}
	}
	g := WaitGraphOf(locks)
	if len(g.Cycles) == 0 {
		return g, nil
	}
	// A place has one ID for as long as it lasts. A place that is there at the second look was there all the time in between, with the
	// holds under which it waits, if these are still there too: and so beside all the others.
	among := stuck(g.Edges)
	var again []Info
	for _, info := range locks {
		if !slices.ContainsFunc(among, func(e WaitEdge) bool { return e.Lock == info.Name || e.For == info.Name }) {
			continue
		}
		now, err := c.crowd(ctx, info.Name)
		if err != nil {
			return WaitGraph{}, err
		}
		now.Places = slices.DeleteFunc(now.Places, func(p Place) bool {
			return !slices.ContainsFunc(info.Places, func(o Place) bool { return o.ID == p.ID })
		})
		again = append(again, now)
	}
	g.Cycles = WaitGraphOf(again).Cycles
	return g, nil
}

// crowd is a lock with its holds and places, the first maxCrowd of both together.
func (c *Client) crowd(ctx context.Context, name string) (Info, error) {
	info, err := c.inspect(ctx, name, 0)
	for err == nil && info.More() && len(info.Holds)+len(info.Places) < maxCrowd {
		info, err = c.inspectMore(ctx, info)
	}
	return info, err
}

// WaitGraphOf is the graph of what [Client.List] or [Client.Inspect] has shown of locks. It uses only the holds and places in
// them, and sends nothing. The locks were not looked at in one moment, so a cycle is a deadlock only if all its holds and places
// (by their IDs) are there in a second look too: [Client.Deadlocks] sees to that.
func WaitGraphOf(locks []Info) WaitGraph {
	if !slices.ContainsFunc(locks, func(info Info) bool {
		return slices.ContainsFunc(info.Places, func(p Place) bool { return len(p.Under) > 0 })
	}) {
		return WaitGraph{}
	}
	of := map[string]string{} // the lock of a hold
	holds := map[string]Hold{}
	for _, info := range locks {
		for _, h := range info.Holds {
			if !h.Kept { // nobody waits under it
				of[h.ID], holds[h.ID] = info.Name, h
			}
		}
	}
	var g WaitGraph
	for _, info := range locks {
		for _, p := range info.Places {
			for _, under := range p.Under {
				h, held := holds[under]
				if !held {
					continue // it has ended, or is of another prefix
				}
				for _, blocker := range info.Holds {
					if p.Since.IsZero() && slices.Contains(p.Under, blocker.ID) {
						continue // an upgrade waits for the others
					}
					e := WaitEdge{Lock: of[under], Hold: h, For: info.Name, Place: p, Blocker: blocker}
					if !p.Since.IsZero() {
						e.Waited = max(info.Now.Sub(p.Since), 0)
					}
					g.Edges = append(g.Edges, e)
				}
			}
		}
	}
	slices.SortFunc(g.Edges, func(a, b WaitEdge) int {
		return cmp.Or(cmp.Compare(a.Lock, b.Lock), cmp.Compare(a.For, b.For), cmp.Compare(a.Hold.ID, b.Hold.ID), cmp.Compare(a.Place.ID, b.Place.ID), cmp.Compare(a.Blocker.ID, b.Blocker.ID))
	})
	g.Cycles = cyclesOf(stuck(g.Edges))
	return g
}

// stuck returns the edges that can lead to a deadlock: those whose wait does not end unless a stuck hold ends. A wait for a mode
// with a capacity ends with any of the holds, every other one with all of them.
func stuck(edges []WaitEdge) []WaitEdge {
	edges = slices.Clone(edges)
	for {
		waiting := map[string]bool{} // the holds whose owner waits
		for _, e := range edges {
			waiting[e.Hold.ID] = true
		}
		free := map[string]bool{} // the places that will be granted the lock
		for _, e := range edges {
			if e.Place.Mode.wire.Capacity > 0 && !waiting[e.Blocker.ID] {
				free[e.Place.ID] = true
			}
		}
		before := len(edges)
		edges = slices.DeleteFunc(edges, func(e WaitEdge) bool { return !waiting[e.Blocker.ID] || free[e.Place.ID] })
		if len(edges) == before {
			return edges
		}
	}
}

// cyclesOf are cycles among these edges: at least one through each hold that is in any.
func cyclesOf(edges []WaitEdge) (cycles []Cycle) {
	from := map[string][]WaitEdge{}
	for _, e := range edges {
		from[e.Hold.ID] = append(from[e.Hold.ID], e)
	}
	covered := map[string]bool{}
	for _, first := range edges {
		if covered[first.Hold.ID] {
			continue
		}
		if c := shortest(from, first.Hold.ID); c != nil {
			cycles = append(cycles, c)
			for _, e := range c {
				covered[e.Hold.ID] = true
			}
		}
	}
	return cycles
}

// shortest is a shortest cycle through a hold, or nil if there is none.
func shortest(from map[string][]WaitEdge, start string) Cycle {
	type step struct {
		edge     WaitEdge
		previous *step
	}
	seen := map[string]bool{}
	var next []*step
	for _, e := range from[start] {
		next = append(next, &step{edge: e})
	}
	for len(next) > 0 {
		s := next[0]
		next = next[1:]
		at := s.edge.Blocker.ID
		if at == start {
			var c Cycle
			for ; s != nil; s = s.previous {
				c = append(c, s.edge)
			}
			slices.Reverse(c)
			return c
		}
		if seen[at] {
			continue
		}
		seen[at] = true
		for _, e := range from[at] {
			next = append(next, &step{edge: e, previous: s})
		}
	}
	return nil
}

// appendUnder writes the IDs of the holds under which a request is made (those of the context, and own), behind a blank.
func appendUnder(b []byte, ctx context.Context, own *hold) []byte {
	all := carriedBy(ctx)
	if own != nil {
		all = append(all, &own.first)
	}
	n := 0
	for i, l := range all {
		if n == maxUnder || l.hold.loss() != nil || slices.ContainsFunc(all[:i], func(o *Lock) bool { return o.hold == l.hold }) {
			continue
		}
		b = append(b, ' ')
		if n > 0 {
			b[len(b)-1] = ','
		}
		b = append(b, publicID(l.hold.lease.Token())...)
		n++
	}
	return b
}

// underOf reads the IDs that appendUnder has written.
func underOf(info string) []string {
	lines := strings.SplitN(info, "\n", 4)
	if len(lines) < 4 {
		return nil
	}
	text := processOf(lines[2])[2]
	if text == "" {
		return nil
	}
	ids := strings.Split(text, ",")
	return ids[:min(len(ids), maxUnder)]
}
