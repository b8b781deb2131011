package simulation_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// plan is what is to happen in a run. It is drawn from a seed. A failing plan is made smaller before it is shown (shrink_test.go), so
// each part has its own seed, and leaving out a part changes nothing in the others.
type plan struct {
	Seed    uint64
	Clients int
	quorumPlan
	Ops    []operation
	Faults []fault
	// Turns says that most acquires of an exclusive lock take it in turns, and have it linger.
	Turns bool `json:",omitempty"`
	// Readers says that most readers take it in turns, too.
	Readers bool `json:",omitempty"`
	// Tangled says that locks are taken under other locks, in any order, and that paths are locked.
	Tangled bool `json:",omitempty"`
	// Gathered says that most operations are latches, barriers, a condition and a limit that changes.
	Gathered bool `json:",omitempty"`
	// Rush says that all are of the condition, those who wait before those who signal.
	Rush bool `json:",omitempty"`
}

// operation is something that a process does.
type operation struct {
	Number int
	Client int
	At     time.Duration
	Kind   string
	Name   string
	Seed   uint64
	Things int `json:",omitempty"` // what it brings in a rush
}

// fault is something that befalls a process, the network or the server. One that lasts is over after For.
type fault struct {
	At, For time.Duration
	Kind    string
	Client  int
	Node    int  // the server
	Here    bool `json:",omitempty"` // in the place of Node: the node of the event that the fault waited for
	Seed    uint64
	// After is the event that the fault waits for, from At on: the name of a script of that process, "granted" for a script that grants
	// it the lock, or "handed over" for a script of any process that grants the lock to another, to which the fault then happens. If it
	// is empty, the fault happens at At.
	After string
	key   string // the key of that event
	conn  *conn  // the connection by which it came
}

// source is the random source of a part of a plan.
func source(seed, of uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, of)) }

// upTo is a time from least to most, in which all orders of magnitude are equally likely.
func upTo(draw *rand.Rand, least, most time.Duration) time.Duration {
	span := math.Log(float64(most) / float64(least))
	return least + time.Duration(float64(least)*(math.Exp(draw.Float64()*span)-1))
}

// weighted is one of the keys, with a probability by its weight.
func weighted(draw *rand.Rand, all []weight) string {
	sum := 0
	for _, w := range all {
		sum += w.weight
	}
	at := draw.IntN(sum)
	for _, w := range all {
		if at -= w.weight; at < 0 {
			return w.what
		}
	}
	panic("unreachable")
}

type weight struct {
	what   string
	weight int
}

var operations = []weight{
	{"acquire", 30},
	{"do", 10},
	{"try", 4},
	{"read", 10},
	{"write", 5},
	{"semaphore", 8},
	{"all", 4},
	{"handoff", 4},
	{"keep", 4},
	{"nested", 3},
	{"panic", 2},
	{"break", 3},
	{"inspect", 2},
	{"ask", 2},
	{"watch", 2},
	{"once", 4},
	{"share", 4},
	{"cron", 4},
	{"elect", 3},
	{"weak", 3},
	{"first", 2},
	{"close", 1},
}

var faults = []weight{
	{"cut", 6},
	{"cut all", 4},
	{"half-open", 5},
	{"deaf", 5},
	{"late", 7},
	{"silent", 6},
	{"slow", 3},
	{"double", 8},
	{"kill subscriptions", 4},
	{"stop", 4},
	{"restart empty", 2},
	{"snapshot", 2},
	{"clock", 3},
	{"evict", 2},
	{"forget scripts", 4},
	{"OOM", 3},
	{"MISCONF", 2},
	{"BUSY", 2},
	{"LOADING", 2},
	{"READONLY", 2},
	{"gone", 4},
	{"observer panics", 1},
	{"observer hangs", 1},
	{"stopped", 6},
	{"overtaken", 8},
	{"forged", 4},
	{"forged by a reader", 2},
}

var lateness, loss = []string{"late", "late", "double", "silent"}, []string{"evict", "evict", "clock", "restart empty", "snapshot"}

var moments = []string{"acquire", "granted", "handed over", "handed over", "release", "renew", "check"}

// planOf draws a plan.
func planOf(seed uint64) plan {
	if seed%quorumEvery == 0 {
		return planOfQuorum(seed)
	}
	draw := source(seed, 1)
	p := plan{Seed: seed, Clients: 2 + min(draw.IntN(7), draw.IntN(7)), Turns: seed%4 == 1, Readers: seed%16 == 9} // not drawn at random, so that the other seeds stay as they were
	span := upTo(draw, 200*time.Millisecond, 40*time.Second)
	kinds := operations
	if draw.IntN(3) == 0 { // few kinds of operations, and so more of each
		kinds = nil
		for range 1 + draw.IntN(4) {
			kinds = append(kinds, operations[draw.IntN(len(operations))])
		}
		kinds = append(kinds, operations[0])
	}
	for i := range 5 + draw.IntN(36) {
		op := operation{Number: i + 1, Client: draw.IntN(p.Clients), At: time.Duration(draw.Int64N(int64(span))), Kind: weighted(draw, kinds), Seed: draw.Uint64()}
		op.Name = []string{"a", "b"}[min(draw.IntN(2), draw.IntN(2))]
		switch op.Kind {
		case "read", "write":
			op.Name = "rw"
		case "semaphore":
			op.Name = "sem"
		case "break", "inspect", "ask", "watch":
			op.Name = []string{"a", "b", "rw", "sem", "elect:e"}[draw.IntN(5)]
		case "once", "share", "cron", "elect", "weak", "first", "all", "close":
			op.Name = op.Kind
		}
		p.Ops = append(p.Ops, op)
	}
	switch seed % 16 {
	case 3:
		p.tangle()
	case 7:
		p.gather()
	}
	if draw.IntN(5) == 0 || p.Rush && seed/32%2 == 0 { // after a fault it is often not known what became of a signal
		return p
	}
	some := faults
	switch draw.IntN(6) {
	case 0, 1, 2: // one or two kinds of faults
		some = nil
		for range 1 + draw.IntN(2) {
			some = append(some, faults[draw.IntN(len(faults))])
		}
	case 3: // a late copy, and a server that has forgotten the original
		some = []weight{{lateness[draw.IntN(len(lateness))], 1}, {loss[draw.IntN(len(loss))], 1}}
	}
	for range 1 + draw.IntN(8) {
		f := fault{
			At: time.Duration(draw.Int64N(int64(span))), For: upTo(draw, 50*time.Millisecond, 20*time.Second),
			Kind: weighted(draw, some), Client: draw.IntN(p.Clients), Seed: draw.Uint64(),
		}
		if slices.Contains(loss, f.Kind) || draw.IntN(3) == 0 {
			f.After = moments[draw.IntN(len(moments))]
		}
		p.Faults = append(p.Faults, f)
	}
	return p
}

// end is the time at which the last fault is over and the last operation has begun.
func (p plan) end() (end time.Duration) {
	for _, f := range p.Faults {
		end = max(end, f.At+f.For)
	}
	for _, op := range p.Ops {
		end = max(end, op.At)
	}
	return end
}
