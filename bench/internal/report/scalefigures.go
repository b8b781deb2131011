package report

import (
	"fmt"
	"math"
	"time"

	"example.com/redislock/bench/internal/fleet"
)

// leases are the leases on the page.
var leases = []time.Duration{30 * time.Second, 2 * time.Minute, 15 * time.Minute}

// The resources that can be used up first, and what to do about each.
const (
	byProcessor   = "processor time of the server, by renewals"
	byMemory      = "memory of the server"
	byNetwork     = "network"
	byConnections = "connections of a master"
)

var remedies = map[string]string{
	byProcessor: "Longer leases: twice as long is half as many renewals. More shards: names spread evenly over them. Fewer locks: one for what is used together, " +
		"or `Stripes` for many small things. `AcquireWeak` or `First` for work that is only wasteful when it runs twice: it is not renewed.",
	byMemory:  "More shards. `WithRetention` down to five minutes where names are used once. `Stripes`, which have a bounded number of keys whatever the number of things.",
	byNetwork: "Longer leases, and more shards, each with a link of its own.",
	byConnections: "One Client for a process, not one for each part of it. Smaller pools (`PoolSize`). More locks for each process. A higher `maxclients`. More shards do not help: " +
		"every Client is connected to every master. Beyond that, several clusters, and a rule in front of them that says which has a name.",
}

// one returns a fleet on one core.
func (s *scale) one(held float64, lease time.Duration, together int) fleet.Fleet {
	return fleet.Fleet{Held: held, Lease: lease.Seconds(), Shards: 1, Together: together, Trip: s.figures["trip"] / 1e6, Cost: s.Cost}
}

// shares is how much of each resource of a master its locks take, with this many Clients in the whole fleet.
func (s *scale) shares(perShard, clients float64) []use {
	renewals := perShard * 3 / standard
	return []use{
		{byProcessor, s.one(perShard, leases[0], fleet.Together(perShard/clients, 1)).Utilisation() / planned},
		{byMemory, perShard * s.figures["lock"] / s.memoryLimit()},
		{byNetwork, renewals * (s.figures["renewal in"] + s.figures["stream"]) / network},
		{byConnections, clients * s.figures["connections"] / float64(s.Run.Facts.MaxClients)},
	}
}

// memoryLimit is half of the machine's memory, as a copy for a new replica can take as much again.
func (s *scale) memoryLimit() float64 { return float64(s.Run.Facts.Memory) / 2 }

func (s *scale) compute() {
	f := s.figures
	add := func(what string, micros, in, out float64) {
		s.Core = append(s.Core, rate{what, micros, 1e6 / micros, in, out})
	}
	add("renewal, alone in its request", f["renewal alone"], f["renewal in"], f["renewal out"])
	add(fmt.Sprintf("renewal, in requests of %d", fleet.MaxBatch), f["renewal together"], f["renewal in"], f["renewal out"])
	add("acquire and release, one caller", f["pair alone"], f["pair in"], f["pair out"])
	add("acquire and release, 256 callers of one Client", f["pair"], f["pair in"], f["pair out"])
	add("hand-off, 4 Clients × 8 waiters", f["hand-off"], f["hand-off in"], f["hand-off out"])
	s.Core = append(s.Core, rate{"check of a wait", f["check"], 1e6 / f["check"], math.NaN(), math.NaN()})

	for _, l := range leases {
		limit := func(together int) float64 { return s.one(0, l, together).Limit(planned) }
		s.Holds = append(s.Holds, holdRow{l, limit(1), limit(fleet.Together(locksEach, 1)), limit(fleet.MaxBatch)})
	}
	s.Limits = []limit{
		{byProcessor, fmt.Sprintf("%.0f %% of a core, lease of %g s", 100*planned, standard), s.Holds[0].Each, remedies[byProcessor]},
		{byMemory, size1024(s.memoryLimit()) + ", half of this machine's", s.memoryLimit() / f["lock"], remedies[byMemory]},
		{byNetwork, "1 Gbit/s, with the stream to one replica", network / (f["renewal in"] + f["stream"]) * standard / 3, remedies[byNetwork]},
		{
			byConnections, fmt.Sprintf("%s (`maxclients`), %s of a Client", thousands(float64(s.Run.Facts.MaxClients)), number(f["connections"])),
			float64(s.Run.Facts.MaxClients) / f["connections"] * locksEach, remedies[byConnections],
		},
	}
	for _, held := range []float64{1e4, 1e6, 1e8} {
		whole := s.one(held, leases[0], 1)
		z := size{
			Held: held, Renewals: whole.Renewals(), Memory: held * f["lock"], Clients: held / locksEach,
			In: whole.Renewals() * f["renewal in"], Out: whole.Renewals() * f["renewal out"], Stream: whole.Renewals() * f["stream"],
			ClientMemory: locksEach * 1024 * f["KiB per lock"], Connections: held / locksEach * f["connections"],
			Uses: s.shares(held, held/locksEach), Shards: s.shards(held, locksEach, leases[0]),
		}
		for _, u := range z.Uses {
			if u.Share > z.First.Share {
				z.First = u
			}
		}
		z.Do = remedies[z.First.What]
		if last := z.Uses[len(z.Uses)-1]; last.Share > 1 && last.What != z.First.What {
			z.Next, z.DoNext = last, remedies[last.What]
		}
		s.Sizes = append(s.Sizes, z)
		n := need{Held: held}
		for _, l := range leases {
			n.Shards = append(n.Shards, s.one(held, l, 1).Needed(planned), s.shards(held, locksEach, l), s.one(held, l, fleet.MaxBatch).Needed(planned))
		}
		s.Needs = append(s.Needs, n)
	}
	for _, l := range append([]time.Duration{10 * time.Second}, leases...) {
		full := s.one(0, l, fleet.MaxBatch)
		full.Held = s.one(0, l, 1).Limit(planned)
		away := full.Outage(resubscribed)
		s.Outages = append(s.Outages, outage{l, away})
		if l.Seconds() == standard {
			s.Tight = away < float64(s.Run.Facts.NodeTimeout)/1e3+election
		}
	}
	s.BacklogSeconds = float64(s.Run.Facts.Backlog) / f["stream"] / s.one(s.Holds[0].Alone, leases[0], 1).Renewals()
	s.Shrink, s.NodeTimeout, s.Backlog = shrink, float64(s.Run.Facts.NodeTimeout)/1e3, float64(s.Run.Facts.Backlog)
	s.Kept, s.Least, s.Fresh, s.Lease, s.LocksEach = keptFor, keptLeast, 1000, standard, locksEach
	s.Waits = planned * checkPause * 1e6 / f["check"]
}

// shards is how many shards are needed if each Client holds this many locks. The more shards there are, the fewer renewals
// share a request.
func (s *scale) shards(held, each float64, lease time.Duration) int {
	for n := 1; ; n++ {
		f := s.one(held, lease, fleet.Together(each, n))
		if f.Shards = n; f.Utilisation() <= planned || f.Together == 1 {
			return max(n, f.Needed(planned))
		}
	}
}

// crowd is a fleet of many Clients.
func (s *scale) crowd() {
	f := s.figures
	for _, each := range []float64{1, 10, 100} {
		held := manyClients * each
		n := s.shards(held, each, leases[0])
		whole := s.one(held, leases[0], fleet.Together(each, n))
		s.Crowds = append(s.Crowds, crowd{each, held, whole.Renewals(), whole.Together, whole.Utilisation(), n})
	}
	f["crowd connections"] = 2 * manyClients // one for requests, and one for messages
	f["crowd memory"] = f["crowd connections"] * f["connection"]
	f["crowd connects"] = f["crowd connections"] * f["connect"] / 1e6
	f["crowd checks"] = manyClients / checkPause * f["check"] / 1e6
	f["crowd tick"] = manyClients * f["pair alone"] / 2 / 1e6
	s.ManyClients = manyClients
}

// lose simulates outages of a shard with a million locks.
func (s *scale) lose() {
	f := s.one(1e6, leases[0], fleet.Together(locksEach, 1))
	f.Each = locksEach
	const at = 2 * standard
	for _, away := range []float64{1, 5, 10, 15, 20, 25, 30} {
		r := f.Simulate(at+away+2*standard, fleet.Trouble{At: at, For: away, Spread: resubscribed, Doubt: min(standard/6, mostDoubt)}, 1)
		s.Losses = append(s.Losses, absence{away, r})
	}
	s.LossBusy, s.LossTogether = f.Utilisation(), f.Together
}

// prove simulates the cases of the formulas: half and 80 % of a core, more than a core, and a server that is away.
func (s *scale) prove() {
	small := func(together int, busy, times float64) fleet.Fleet {
		f := s.one(0, leases[0]/shrink, together)
		f.Held = math.Floor(f.Limit(busy) * times)
		return f
	}
	add := func(what string, f fleet.Fleet, trouble fleet.Trouble) {
		s.Proofs = append(s.Proofs, proof{what, f.Utilisation(), f.Simulate(simulated, trouble, 1)})
	}
	alone, together := small(1, planned, 1), small(fleet.MaxBatch, planned, 1)
	add("as planned, each renewal alone", alone, fleet.Trouble{})
	add(fmt.Sprintf("as planned, in requests of %d", fleet.MaxBatch), together, fleet.Trouble{})
	add("as busy as may be, each alone", small(1, busiest, 1), fleet.Trouble{})
	add("1.3 times as many locks as that", small(1, busiest, 1.3), fleet.Trouble{})
	spread := resubscribed / shrink
	bound := together.Outage(spread)
	for _, part := range []float64{0.95, 1.3} {
		add(fmt.Sprintf("as planned, in requests of %d; the server is away for %.2f of the bound", fleet.MaxBatch, part), together,
			fleet.Trouble{At: simulated / 3, For: part * bound, Spread: spread})
	}
}
