package simulation_test

import "time"

// Some of the seeds are of a quorum: processes with a Client for each of three servers, sometimes five, and a Locker over them.
const quorumEvery = 8

// quorumPlan is the additional part of a plan for a quorum.
type quorumPlan struct {
	Nodes   int             `json:",omitempty"`
	Longest time.Duration   `json:",omitempty"` // lease
	Durable bool            `json:",omitempty"` // the servers answer after their disk has it
	Skews   []time.Duration `json:",omitempty"` // of their clocks
}

func (p plan) quorum() bool { return p.Nodes > 0 }

var quorumOperations = []weight{
	{"acquire", 30},
	{"do", 12},
	{"try", 8},
	{"nested", 3},
	{"panic", 2},
	{"inspect", 2},
	{"close", 1},
}

// quorumFaults are faults of a process, of its way to one node, or of one node.
var quorumFaults = []weight{
	{"cut", 4},
	{"cut all", 4},
	{"half-open", 4},
	{"deaf", 5},
	{"late", 6},
	{"silent", 6},
	{"slow", 4},
	{"double", 6},
	{"kill subscriptions", 4},
	{"mute", 8},
	{"divided", 6},
	{"stop", 5},
	{"restart empty", 6},
	{"snapshot", 3},
	{"flush", 2},
	{"clock", 4},
	{"evict", 3},
	{"forget scripts", 2},
	{"OOM", 2},
	{"MISCONF", 2},
	{"BUSY", 2},
	{"LOADING", 2},
	{"READONLY", 2},
	{"gone", 4},
	{"observer panics", 1},
	{"observer hangs", 1},
	{"stopped", 6},
	{"overtaken", 5},
	{"forged", 2},
}

var quorumMoments = []string{"acquire", "granted", "granted", "handed over", "handed over", "release", "renew", "check", "confirm", "confirm", "ask"}

// planOfQuorum draws a plan of a quorum.
func planOfQuorum(seed uint64) plan {
	draw := source(seed, 9)
	p := plan{Seed: seed, Clients: 2 + min(draw.IntN(4), draw.IntN(4))}
	p.Nodes, p.Longest, p.Durable = 3, upTo(draw, 2*time.Second, 20*time.Second), draw.IntN(4) == 0
	if draw.IntN(6) == 0 {
		p.Nodes = 5
	}
	p.Skews = make([]time.Duration, p.Nodes)
	if draw.IntN(2) == 0 {
		for i := range p.Skews {
			if draw.IntN(2) == 0 {
				p.Skews[i] = upTo(draw, 100*time.Microsecond, time.Hour)
			}
		}
	}
	span := upTo(draw, 200*time.Millisecond, 20*time.Second)
	crowds := 0
	if draw.IntN(2) == 0 { // several ask at once, and the requests reach the nodes in different orders
		crowds = 1 + draw.IntN(4)
	}
	for i := range 4 + draw.IntN(16) {
		at := time.Duration(draw.Int64N(int64(span)))
		if crowds > 0 {
			at = span*time.Duration(draw.IntN(crowds))/time.Duration(crowds) + time.Duration(draw.Int64N(int64(2*time.Millisecond)))
		}
		p.Ops = append(p.Ops, operation{
			Number: i + 1, Client: draw.IntN(p.Clients), At: at, Kind: weighted(draw, quorumOperations),
			Name: []string{"a", "b"}[min(draw.IntN(2), draw.IntN(2), draw.IntN(2))], Seed: draw.Uint64(),
		})
	}
	some := quorumFaults
	switch draw.IntN(8) {
	case 0, 1:
		return p
	case 2, 3: // one or two kinds of faults
		some = nil
		for range 1 + draw.IntN(2) {
			some = append(some, quorumFaults[draw.IntN(len(quorumFaults))])
		}
	case 4: // one node after the other
		p.Faults = erosion(p, span)
		return p
	case 5:
		p.Longest = max(p.Longest, 5*time.Second)
		p.Faults = amnesia(p)
		return p
	}
	for range 1 + draw.IntN(8) {
		f := fault{
			At: time.Duration(draw.Int64N(int64(span))), For: upTo(draw, 50*time.Millisecond, 20*time.Second),
			Kind: weighted(draw, some), Client: draw.IntN(p.Clients), Node: draw.IntN(p.Nodes), Seed: draw.Uint64(),
		}
		if draw.IntN(3) == 0 {
			f.After, f.Here = quorumMoments[draw.IntN(len(quorumMoments))], draw.IntN(3) > 0
		}
		p.Faults = append(p.Faults, f)
	}
	return p
}

// erosion has faults of one node after the other.
func erosion(p plan, span time.Duration) (all []fault) {
	draw := source(p.Seed, 10)
	at := time.Duration(0)
	for node := range 1 + draw.IntN(2*p.Nodes) {
		kind := []string{"mute", "stop", "restart empty", "restart empty", "silent", "divided", "snapshot"}[draw.IntN(7)]
		f := fault{At: at, For: upTo(draw, 200*time.Millisecond, span), Kind: kind, Client: draw.IntN(p.Clients), Node: (node + draw.IntN(2)) % p.Nodes, Seed: draw.Uint64()}
		if draw.IntN(2) == 0 {
			f.After, f.Here = quorumMoments[draw.IntN(len(quorumMoments))], draw.IntN(3) > 0
		}
		all = append(all, f)
		at += upTo(draw, time.Millisecond, max(span/4, 2*time.Millisecond))
	}
	return all
}

// amnesia lets a process hold the lock on a bare majority, of which one node comes back without its data, and the process does not
// learn of it.
func amnesia(p plan) (all []fault) {
	draw := source(p.Seed, 10)
	missing := draw.IntN(p.Nodes)
	client, seed := draw.IntN(p.Clients), draw.Uint64()
	silent := func(node int, after string, seed uint64) {
		all = append(all, fault{For: upTo(draw, 5*time.Second, 20*time.Second), Kind: "silent", Client: client, Node: node, After: after, Seed: seed})
	}
	for i := range p.Nodes / 2 {
		silent((missing+i)%p.Nodes, "", draw.Uint64())
	}
	forgets := (missing + p.Nodes/2 + draw.IntN(p.Nodes/2+1)) % p.Nodes
	silent(forgets, "renew", seed)
	return append(all, fault{For: upTo(draw, 10*time.Millisecond, 500*time.Millisecond), Kind: "restart empty", Client: client, Node: forgets, After: "renew", Seed: seed})
}
