package report

import (
	"example.com/redislock/bench/internal/peer"
)

// quorumBudgets are the budgets of package quorum.
func (r *Run) quorumBudgets() []Budget {
	pair := func(subject string) float64 { return r.median("quorum", subject, "µs per pair", 0) }
	return []Budget{
		{
			"latency of an uncontended pair, quorum of 3", 2.5, false, " × a pair on one server", "quorum",
			pair(peer.Quorum) / pair(peer.OneServer),
		},
		{"pairs of a quorum of 3, how many times as fast", 1.5, true, " × redsync over the same three", "quorum", pair(peer.RedsyncMajority) / pair(peer.Quorum)},
		{"Jain's index of its hand-offs, 4 Clients × 8 waiters", 0.99, true, "", "quorum", r.median("quorum", peer.Quorum, "Jain's index", 32)},
	}
}

// turnBudgets are the budgets of WithTurn and WithLinger.
func (r *Run) turnBudgets() []Budget {
	const (
		clients, inProcesses = 4, 8 // places in the tables
		processes, turn      = 4, 1 // ms
	)
	handoffs := func(subject string) float64 { return r.median("turns", subject, "hand-offs per second", clients) }
	again := func(quantity string) float64 {
		return r.median("turns", peer.Linger, "re-acquire, "+quantity+" per pair", 0)
	}
	inTurn := func(subject string) float64 {
		return r.median("turns", subject, "two clients in turn, µs per pair", 0)
	}
	beside := func(quantity string) float64 {
		return r.median("turns", peer.Together, "readers beside each other, "+quantity, 0)
	}
	return []Budget{
		{"hand-offs per second, 4 Clients × 8 waiters, WithTurn(1ms)", 500_000, true, "", "turns", handoffs(peer.Turn1)},
		{"those hand-offs beside others'", 50, true, " × the fastest peer", "turns", handoffs(peer.Turn1) / r.best("turns", "hand-offs per second", clients)},
		{
			"longest wait of one of 4 processes × 8: the turns of the others", turn * (processes - 1), false, " ms", "turns",
			r.median("turns", peer.Turn1, "longest wait of a process, ms", inProcesses),
		},
		{"commands sent per pair within a linger", few, false, "", "turns", again("commands")},
		{"latency of a pair within a linger", 1, false, " µs", "turns", again("µs")},
		{"allocations of a pair within a linger: the handle", 1 + few, false, "", "turns", again("allocations")},
		{"two Clients in turn on one name, WithLinger(50ms)", 1.05, false, " × strict", "turns", inTurn(peer.Linger) / inTurn(peer.Strict)},
		{"pairs per second of readers of one Client beside each other", 1_000_000, true, "", "turns", beside("pairs per second")},
		{"commands sent per such pair", few, false, "", "turns", beside("commands per pair")},
	}
}
