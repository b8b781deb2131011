package report

import (
	"fmt"
	"slices"
	"strings"
)

// obstacles say why a budget is not kept, by its row. They were found by profiles of the processors (pprof) and of the heap (with
// each allocation, 10,000 waiters and 10,000 locks), and by counting system calls. The appendix has those of the red rows.
var obstacles = map[string]string{
	"latency of that pair, under a context that can end":       goroutine,
	"pairs per second, one caller":                             goroutine,
	"pairs per second, 4 callers on own names, one Client":     goroutine,
	"pairs per second, 16 callers on own names, one Client":    "Go-redis sends each request or pipeline on a connection of its own, with a write and a read for each; rueidis sends those of all 16 callers through a few.",
	"pairs per second, 64 callers on own names, one Client":    fixed,
	"pairs per second, 256 callers on own names, one Client":   fixed,
	"pairs per second, 1,024 callers on own names, one Client": fixed,

	"release in one process to acquired in another, idle": "The script of a hand-over finds the next in the queue, writes the new owner and tells it: some 20 µs of the server where its " +
		"memory is warm, and more after 20 ms in which nothing happened. `PUBLISH` is a lookup. The waiter then makes a handle with a lease before its caller has the lock.",
	"fair hand-offs per second, 4 Clients × 8 waiters, one name": "The next in the queue is in another Client three times out of four, so nearly each hand-off has a message, and its " +
		"holder joins again by a request of its own. Most of the process's time are reads and writes, of go-redis and the kernel, and the parking and waking of goroutines.",
	"memory of one of 10,000 waiters, beside its caller's stack": "Half of a KiB is the acquisition with its settings and its place; the rest are a channel, entries in three tables " +
		"(by token, by name, by who waits), the texts of key, token, nonce and holder, and what Go takes to listen to two channels.",
	"memory of one of 100,000 held locks": "Half of a KiB is the hold: its handle, the two clocks of four times, its lease, its task in the scheduler. The rest are its key, token and nonce, " +
		"an entry in the table of holds, and its last fence.",
	"pairs of a quorum of 3, how many times as fast": "A fence that a majority agrees on takes a second round where the wished one was not given, and each server has a script with a queue " +
		"where redsync sends a plain `SET NX`. The floor is the same two rounds by go-redis alone.",

	"hand-offs per second, 4 Clients × 8 waiters, WithTurn(1ms)": parking,
	"those hand-offs beside others'":                             parking,
	"longest wait of one of 4 processes × 8: the turns of the others": "A turn ends after its ms, and then its release is read, handed over and heard by processes that share this " +
		"machine's processors with 32 callers who never rest. What is above the turns is the time until they are scheduled.",
	"latency of a pair within a linger": "Each grant has a fence of its own, and fences are times in µs: there cannot be more than one pair in a µs. A quarter of the time are looks at the clock.",
	"two Clients in turn on one name, WithLinger(50ms)": "A name that was recalled a few times does not linger for 30 s, and is then as strict; the first recalls, each a message and a release " +
		"more, are in the row.",
}

const (
	// goroutine says what a context that can end costs.
	goroutine = "A caller whose context can end is let go at that moment, also while go-redis waits for a stuck server, so another goroutine sends and reads for it. " +
		"To start it and to wake the caller takes a tenth of a pair with four callers and more with one. Without it a cancelled caller would wait for go-redis's read timeout."
	// fixed says what is left if many requests leave together.
	fixed = "What is left is go-redis's writing and parsing of each request in a pipeline, the script itself, and, from hundreds of callers on, Go's " +
		"garbage collector, which goes through all their stacks. The server and the process have one processor each here."
	// parking says what a hand-off within the process consists of.
	parking = "A third is the runtime's parking and waking of the next caller's goroutine; a look at the clock, the handle and the mutexes are a tenth each."
)

// inTheWay is the heading of the obstacles in the appendix.
const inTheWay = "What stands in the way of the red budgets"

// obstructed lists the obstacles of the red rows, each once, with its rows.
func (r *Run) obstructed() string {
	var reasons []string
	rows := map[string][]string{}
	for _, row := range r.Budgets() {
		if row.Verdict() != "red" {
			continue
		}
		why := obstacles[row.What]
		if why == "" {
			why = unknown
		}
		if !slices.Contains(reasons, why) {
			reasons = append(reasons, why)
		}
		rows[why] = append(rows[why], row.What)
	}
	if len(reasons) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n## " + inTheWay + "\n\nFound by profiles of the processors and of the heap, and by counting system calls.\n\n")
	for _, why := range reasons {
		fmt.Fprintf(&b, "* *%s:* %s\n", strings.Join(rows[why], "; "), why)
	}
	return b.String()
}
