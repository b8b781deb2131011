package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
)

// The subjects with which the budgets compare this library, by their names in the log.
const (
	unfenced  = "floor: unfenced"
	twoNoops  = "floor: two no-op EVALSHA"
	bare      = "floor: PUBLISH to receive"
	plainHDEL = "redislock, release by plain HDEL"
	bsm       = "bsm/redislock"
	ruei      = "rueidislock"
	redsync   = "redsync"

	oursCanEnd = peer.Ours + ", a context that can end"

	floorUnfencedPlain = "floor: SET NX PX, compare-and-delete"
	floorPing          = "floor: two PING"
)

// Budget is a bound that the library has to keep.
type Budget struct {
	What    string
	Limit   float64
	AtLeast bool   // the limit is the least; otherwise it is the most
	Unit    string // behind the limit and the value, such as "× the floor"
	Section string // the section that measures it
	Value   float64
}

// Verdict is "pass", "red" or "not measured".
func (b Budget) Verdict() string {
	switch {
	case math.IsNaN(b.Value):
		return "not measured"
	case b.AtLeast && b.Value >= b.Limit, !b.AtLeast && b.Value <= b.Limit:
		return "pass"
	}
	return "red"
}

// Bound is the limit in words.
func (b Budget) Bound() string {
	sign := "≤"
	if b.AtLeast {
		sign = "≥"
	}
	return sign + " " + bound(b.Limit) + b.Unit
}

// bound writes a limit without digits that say nothing.
func bound(v float64) string {
	if v >= 1000 {
		return thousands(v)
	}
	return fmt.Sprintf("%g", v)
}

// Measured is the value in words.
func (b Budget) Measured() string {
	if math.IsNaN(b.Value) {
		return "–"
	}
	return number(b.Value) + b.Unit
}

// Command measures this row again.
func (b Budget) Command() string { return "make bench ONLY=" + b.Section }

// Budgets are all rows, in the order of the design, computed from the log.
func (r *Run) Budgets() []Budget {
	at := func(section, subject, quantity string, x float64) float64 {
		return r.median(section, subject, quantity, x)
	}
	serverPair := func(subject string, x float64) float64 {
		return at("server", subject, "server µs per pair", x) / at("server", unfenced, "server µs per pair", x)
	}
	latency := func(subject string) float64 {
		return at("pair", subject, "µs per pair", 0) / at("pair", twoNoops, "µs per pair", 0)
	}
	handoffs := func(than string) float64 {
		return at("handoff", peer.Ours, "hand-offs per second", 0) / at("handoff", than, "hand-offs per second", 0)
	}
	const wait, hold = 10_000, 100_000
	per := func(section, quantity string, n float64) float64 { return at(section, peer.Ours, quantity, n) / n }
	rows := []Budget{
		{"server time of a pair of scripts, names in use", 1.4, false, " × unfenced", "server", serverPair(peer.Ours, 0)},
		{"server time of that pair, fresh names", 1.6, false, " × unfenced", "server", serverPair(peer.Ours, 1)},
		{"server time of that pair with a release by plain HDEL, names in use", 1.05, false, " × unfenced", "server", serverPair(plainHDEL, 0)},
		{"latency of an uncontended pair, one caller", 1.1, false, " × two no-op EVALSHA", "pair", latency(peer.Ours)},
		{"latency of that pair, under a context that can end", 1.15, false, " × two no-op EVALSHA", "pair", latency(oursCanEnd)},
		{
			"allocations of that pair, beside those of two no-op EVALSHA", 6, false, " more", "pair",
			at("pair", peer.Ours, "allocations per pair", 0) - at("pair", twoNoops, "allocations per pair", 0),
		},
		{
			"release in one process to acquired in another, idle", 1.3, false, " × PUBLISH → receive", "wake",
			at("wake", peer.Ours, "µs from release to acquired", 0) / at("wake", bare, "µs from release to acquired", 0),
		},
		{"fair hand-offs per second, 4 Clients × 8 waiters, one name", 1.5, true, " × rueidislock", "handoff", handoffs(ruei)},
		{"fair hand-offs per second there", 1, true, " × redsync, which barges", "handoff", handoffs(redsync)},
		{"Jain's index there", 0.99, true, "", "handoff", at("handoff", peer.Ours, "Jain's index", 0)},
		{"slowest wait there", 3, false, " × the median", "handoff", at("handoff", peer.Ours, "slowest wait / median", 0)},
		{"commands sent per hand-off, 2 waiters", 2.1, false, "", "crowd", at("crowd", peer.Ours, "commands per hand-off", 2)},
		{"commands sent per hand-off, 10,000 waiters", 2.1, false, "", "crowd", at("crowd", peer.Ours, "commands per hand-off", wait)},
		{"any one script, 10,000 waiters dead or cancelled", 500, false, " µs", "worst", r.largestScript()},
		{"memory of one of 10,000 waiters, beside its caller's stack", 1, false, " KiB", "waiting", at("waiting", peer.Ours, "KiB per waiter beside its stack", wait)},
		{"goroutines of ours for each waiter", few, false, "", "waiting", at("waiting", peer.Ours, "goroutines per waiter", wait)},
		{"connections for each waiter", few, false, "", "waiting", per("waiting", "connections", wait)},
		{"memory of one of 100,000 held locks", 0.6, false, " KiB", "holding", at("holding", peer.Ours, "KiB per lock", hold)},
		{"locks lost among them", 0, false, "", "holding", r.most("holding", peer.Ours, "locks lost", hold)},
		{"goroutines for each held lock", few, false, "", "holding", per("holding", "goroutines", hold)},
	}
	return slices.Concat(rows, r.callerBudgets(), r.quorumBudgets(), r.turnBudgets())
}

// callerBudgets are the budgets of callers on separate names, by one Client, beside the best peer.
func (r *Run) callerBudgets() (rows []Budget) {
	for _, c := range []struct{ callers, limit float64 }{{1, 0.95}, {4, 1.1}, {16, 1.4}, {64, 1.8}, {256, 2}, {1024, 2}} {
		pairs := func(subject string) float64 { return r.median("callers", subject, "pairs per second", c.callers) }
		what := fmt.Sprintf("pairs per second, %s callers on own names, one Client", thousands(c.callers))
		if c.callers == 1 {
			what = "pairs per second, one caller"
		}
		rows = append(rows, Budget{what, c.limit, true, " × the best peer", "callers", pairs(peer.Ours) / r.best("callers", "pairs per second", c.callers)})
	}
	return rows
}

// best is the greatest median of a peer.
func (r *Run) best(section, quantity string, x float64) float64 {
	best := math.NaN()
	for _, s := range r.subjects(section, quantity) {
		if v := r.median(section, s, quantity, x); kindOf(s) == other && !(best > v) {
			best = v
		}
	}
	return best
}

// few is the number that counts as none for each: a Client has a handful of goroutines and its pool of connections,
// however many callers wait or hold.
const few = 0.01

// largestScript is the largest of the medians over rounds. So a single disturbed round does not count, but a kind of
// waiters that is always slow does.
func (r *Run) largestScript() float64 {
	most := math.NaN()
	for _, s := range r.Log.Subjects("worst") {
		if kindOf(s) != ours {
			continue
		}
		for _, x := range r.Log.Xs("worst", "largest script, µs") {
			if m := r.median("worst", s, "largest script, µs", x); !math.IsNaN(m) && !(most > m) {
				most = m
			}
		}
	}
	return most
}

// most is the largest value of all rounds, for failures that must not happen even once.
func (r *Run) most(section, subject, quantity string, x float64) float64 {
	return measure.Quantile(r.Log.Values(measure.Key{Section: section, Subject: subject, Quantity: quantity, X: x}), 1)
}

// BudgetTable is Markdown.
func (r *Run) BudgetTable() string {
	var b strings.Builder
	b.WriteString("| what | budget | measured | | section |\n|---|---|--:|---|---|\n")
	for _, row := range r.Budgets() {
		verdict := row.Verdict()
		if verdict == "red" {
			verdict = "**red**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | `%s` |\n", row.What, row.Bound(), number(row.Value), verdict, row.Section)
	}
	return b.String()
}

// BudgetText is the same for a terminal, with what was measured only.
func (r *Run) BudgetText() string {
	var b strings.Builder
	for _, row := range r.Budgets() {
		if row.Verdict() != "not measured" {
			fmt.Fprintf(&b, "%-6s %-62s %-28s %-28s %s\n", row.Verdict(), row.What, row.Bound(), row.Measured(), row.Command())
		}
	}
	return b.String()
}
