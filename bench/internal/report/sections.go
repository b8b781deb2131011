package report

import (
	"example.com/redislock/bench/internal/peer"
)

// chapter is a section of the run on the page.
type chapter struct {
	id, title string
	about     string               // what was measured, and what a row means
	axis      func(float64) string // the name of a place; nil if there is only one
	shown     []float64            // places that the page shows for all but the first quantity; nil: all. Of the first quantity, and in the appendix, all places are shown
	also      []string             // further settings of this library with their own rows
	charts    []chart
}

// chapters are in the order of the appendix, and of the table on the page.
var chapters = []chapter{
	{id: "pair", title: "An uncontended pair, one caller", also: []string{oursCanEnd}, about: "One caller takes a lock that nobody wants and gives it back, again and again. " +
		"Its context cannot end; under one that can, as in a server's handler, this library lets the caller go at once, which is a row of its own. " +
		"Allocations and bytes are those of the whole process."},
	{
		id: "callers", title: "Many callers, each on a name of its own", axis: count("caller", "callers"), shown: []float64{1, 256},
		about: "All callers share one client. The server's time is that of all commands by `INFO commandstats`; the client's is the processor time of the process.",
		charts: []chart{
			{file: "throughput.svg", title: "Throughput", section: "callers", quantity: "pairs per second", x: "callers, each on a name of its own", yLog: true},
			{file: "throughput-server.svg", title: "Server time against callers", section: "callers", quantity: "server µs per pair", x: "callers, each on a name of its own", yLog: true},
		},
	},
	{
		id: "server", title: "Server time of a pair of scripts", axis: freshness,
		about: "The scripts alone, 100 in a pipeline, by `INFO commandstats`: what the lock itself costs the server, without sockets. " +
			"A name is *in use* if it was locked lately, *fresh* if never.",
	},
	{id: "worst", title: "The largest script", axis: count("place", "places"), about: "What one script takes at the most, where 10,000 waiters are dead or have given up. Redis serves nobody else meanwhile."},
	{
		id: "wake", title: "Wake-up of an idle waiter", about: "From the release in one client to the acquired lock in another, which had waited for some 20 ms with nothing else going on. " +
			"The floor is a bare `PUBLISH` to a subscriber in the same rhythm: an idle machine takes longer to wake up than a busy one.",
		charts: []chart{{file: "wake.svg", title: "Release to acquired elsewhere, share of the wake-ups", section: "wake", quantity: "µs from release to acquired", x: "µs from release to acquired", cdf: true}},
	},
	{
		id: "handoff", title: "Hand-offs: 4 clients, 8 waiters each, one name", axis: count("ms of work", "ms of work"), shown: []float64{0},
		about: "32 callers want one lock all the time. Jain's index is 1 where all had it equally often, 1/32 where one had it always. " +
			"Commands are what clients send; what runs inside scripts is not counted. A failure is an acquire that gave up or broke.",
	},
	{
		id: "crowd", title: "Hand-offs among more and more waiters", axis: count("waiter", "waiters"), shown: []float64{10, 10_000}, about: "The same without work in between, spread over 4 clients.",
		charts: []chart{
			{file: "handoffs.svg", title: "Hand-offs", section: "crowd", quantity: "hand-offs per second", x: "waiters for one lock", yLog: true},
			{file: "handoffs-server.svg", title: "Server time against waiters", section: "crowd", quantity: "server µs per hand-off", x: "waiters for one lock", yLog: true},
		},
	},
	{id: "readers", title: "Readers and writers", axis: clientsOf, shown: []float64{8}, also: []string{peer.Together}, about: "95 % of the sections only read, each with 1 ms of work: 32 callers, in four clients of one process and in four processes. " +
		"Where a library has no shared mode its readers exclude each other. *In turns* is with `WithTurn(1ms)`, by which the readers of a process come in under one hold until somebody else waits. " +
		"Commands are those that the clients sent, from their start on; messages are what the server published: who is granted the lock, and who is to give it up."},
	{id: "waiting", title: "What waiting costs a process", axis: count("waiter", "waiters"), about: "10,000 waiters in one process, and nothing happens. A caller's own goroutine and its stack are not counted."},
	{id: "holding", title: "What holding costs a process", axis: count("lock", "locks"), about: "Locks that are held and renewed in time, with a lease of 30 s. A lock is lost if its owner was told so, or the server no longer has it."},
	{id: "recovery", title: "Recovery from a holder's death", about: "The holder's process dies and gives nothing back; its lock would have lasted 2 s more at the most. Until a waiter has it."},
	{id: "first", title: "First, the weak kind", about: "`First` against a plain `SET NX`, one caller: is this the first time that this key is seen?"},
	{id: "batch", title: "FirstOf, many keys at once", axis: count("key", "keys"), about: "1,000 keys in one call, against a pipeline of as many `SET NX`."},
	{id: "cluster", title: "A cluster of three masters", about: "Without replicas. A message on the cluster bus is one that a master passes on to the others: a classic `PUBLISH` goes to all of them, a sharded one to nobody."},
	{id: "servers", title: "On each server", about: "This library alone, on the servers that `make servers` fetches: an idle pair by one caller, pairs by 256 callers of one client, and hand-offs among 32 waiters in four. " +
		"`io-threads 2` has the server read and write by a second thread; the commands themselves are still those of one."},
	{
		id: "quorum", title: "A majority of three servers", axis: callersOf, about: "Package quorum over three servers, beside redsync over the same three, rueidislock with a " +
			"majority of three keys on one of them, and this library over one of them. All servers are on one machine: what a quorum costs its network, and what it gains " +
			"by three servers' processors, is not seen here. Commands and server time are those of all three together. The floor is go-redis with a goroutine for each server: twice a request to all of them, " +
			"and the answers of two awaited.",
	},
	{
		id: "turns", title: "Turns and linger", axis: clientsOf, shown: []float64{0, 4, 8}, about: "Locks that are granted within the process (`WithTurn`, `WithLinger`), beside the strict way and the peers: 32 callers of one name, over " +
			"four clients of one process, in one client, and in four processes. The longest wait of a process is the longest time in which none of its callers had the lock. *Re-acquire* is one caller who takes again what he gave back " +
			"a moment ago. *Readers beside each other* are eight callers of one client who read one name, while nobody writes. *In turn* two clients take one name, one after the other: after three recalls it does not linger for 30 s, so there are no recalls in the window. *What another client gave back* is a new name each time, where the first client's lock lingers and the second has to recall it: what waiting for a recall costs, and what an idle linger costs others.",
	},
	{id: "footprint", title: "What one of each costs", axis: plain, about: "The server's own time with its system calls (`used_cpu_*_main_thread`), its memory and the network: what [scale.md](scale.md) is computed from. " +
		"Renewals are in requests of 1, 16 and 256; a pair is by 1 and by 256 callers."},
}

// directions say which values of a quantity are good. A quantity that is not here is not compared.
var directions = map[string]direction{
	"µs per pair": lower, "allocations per pair": lower, "bytes per pair": lower,
	"pairs per second": higher, "server µs per pair": lower, "client CPU µs per pair": lower,
	"largest script, µs": lower, "µs from release to acquired": lower,
	"hand-offs per second": higher, "Jain's index": higher, "wait p50, µs": lower, "wait p99, µs": lower, "slowest wait, µs": lower,
	"slowest wait / median": lower, "commands per hand-off": lower, "server µs per hand-off": lower, "failures": lower,
	"sections per second": higher, "readers' sections per second": higher, "writers' sections per second": higher,
	"KiB per waiter beside its stack": lower, "goroutines per waiter": lower, "connections": lower, "requests per second while waiting": lower,
	"KiB per lock": lower, "goroutines": lower, "server time for renewals, %": lower, "locks lost": lower,
	"ms from death to acquired": lower, "ms past the end of the lease": lower, "µs per call": lower, "µs per key": lower,
	"pub/sub messages on the cluster bus per hand-off": lower,
	"longest wait of a process, ms":                    lower, "Jain's index over processes": higher,
	"re-acquire, µs per pair": lower, "re-acquire, allocations per pair": lower, "re-acquire, commands per pair": lower,
	"two clients in turn, µs per pair": lower, "two clients in turn, recalls per pair": lower, "commands per section": lower,
	"µs to acquire what another client gave back, p50": lower, "µs to acquire what another client gave back, p99": lower,
	"readers beside each other, pairs per second": higher, "readers beside each other, allocations per pair": lower,
	"readers beside each other, commands per pair": lower,
	"µs per pair, one caller":                      lower, "pairs per second, 256 callers": higher, "hand-offs per second, 32 waiters": higher,
}

func count(one, many string) func(float64) string {
	return func(x float64) string {
		if x == 1 {
			return "1 " + one
		}
		return thousands(x) + " " + many
	}
}

func plain(x float64) string {
	if x == 0 {
		return "all"
	}
	return thousands(x)
}

func callersOf(x float64) string {
	switch x {
	case 0:
		return "one caller"
	case 32:
		return "one name, 4 clients × 8"
	}
	return count("caller, own name", "callers, own names")(x)
}

func clientsOf(x float64) string {
	switch x {
	case 0:
		return "" // the name of the quantity says it
	case 1:
		return "1 client × 32"
	case 8:
		return "4 processes × 8"
	}
	return "4 clients × 8"
}

func freshness(x float64) string {
	if x == 0 {
		return "names in use"
	}
	return "fresh names"
}
