package report

import (
	"fmt"
	"slices"
	"strings"
)

// unknown is written if a peer wins a row and no reason is given.
const unknown = "no reason known yet"

// reasons say why a peer is better in a quantity of a section. The page names the peers before a reason. The key is
// "section/quantity", or "section/quantity/peer" for a reason of one peer only. The latter is searched first, also under the peer of
// which a setting is a variant ("redsync, 1 ms" is one of "redsync").
var reasons = map[string]string{
	"pair/µs per pair":          alone,
	"pair/allocations per pair": handles,
	"pair/bytes per pair":       handles,

	"callers/server µs per pair/bsm/redislock": plainly, "callers/server µs per pair/redsync": plainly,
	"callers/pairs per second/bsm/redislock": alone, "callers/pairs per second/redsync": alone, "callers/pairs per second/rueidislock": pipelined,
	"callers/client CPU µs per pair/bsm/redislock": alone, "callers/client CPU µs per pair/redsync": alone,
	"callers/client CPU µs per pair/rueidislock": pipelined,
	"server/server µs per pair/bsm/redislock":    plainly, "server/server µs per pair/redsync": plainly,
	"wake/µs from release to acquired/rueidislock": "A release is a plain delete that costs the server a few µs; ours finds the next in the queue, counts who " +
		"listens there and makes it the owner in the same script. Theirs still has to ask for the lock then, and may lose it to another.",

	"handoff/hand-offs per second/bsm/redislock": barging, "handoff/hand-offs per second/redsync": barging,
	"handoff/wait p50, µs/bsm/redislock": barging, "handoff/wait p50, µs/redsync": barging,
	"handoff/wait p99, µs/bsm/redislock": barging, "handoff/wait p99, µs/redsync": barging,
	"handoff/server µs per hand-off/bsm/redislock": barging, "handoff/server µs per hand-off/redsync": barging,
	"handoff/hand-offs per second/rueidislock": noQueue, "handoff/wait p50, µs/rueidislock": noQueue,
	"handoff/wait p99, µs/rueidislock": noQueue, "handoff/server µs per hand-off/rueidislock": noQueue,

	"crowd/hand-offs per second/bsm/redislock": barging, "crowd/hand-offs per second/redsync": barging,
	"crowd/wait p50, µs/bsm/redislock": barging, "crowd/wait p50, µs/redsync": barging,
	"crowd/wait p99, µs/bsm/redislock": barging, "crowd/wait p99, µs/redsync": barging,
	"crowd/server µs per hand-off/bsm/redislock": barging, "crowd/server µs per hand-off/redsync": barging,
	"crowd/commands per hand-off/bsm/redislock": barging, "crowd/commands per hand-off/redsync": barging,
	"crowd/slowest wait / median": turns, "crowd/slowest wait, µs": turns, "crowd/Jain's index": turns,
	"crowd/commands per hand-off/rueidislock":  joining,
	"crowd/hand-offs per second/rueidislock":   noQueue,
	"crowd/wait p50, µs/rueidislock":           noQueue,
	"crowd/wait p99, µs/rueidislock":           noQueue,
	"crowd/server µs per hand-off/rueidislock": noQueue,

	"cluster/hand-offs per second/bsm/redislock": barging, "cluster/hand-offs per second/redsync": barging,
	"cluster/hand-offs per second/rueidislock": noQueue,
	"cluster/pairs per second/rueidislock":     pipelined,

	"quorum/µs per pair/redsync": threeScripts, "quorum/µs per pair/rueidislock": oneServer,
	"quorum/allocations per pair": handles, "quorum/bytes per pair": handles,
	"quorum/pairs per second/redsync": threeScripts, "quorum/pairs per second/rueidislock": oneServer,
	"quorum/hand-offs per second/redsync": barging, "quorum/hand-offs per second/rueidislock": oneServer,
	"quorum/wait p50, µs/redsync": barging, "quorum/wait p50, µs/rueidislock": oneServer,
	"quorum/wait p99, µs/redsync": barging, "quorum/wait p99, µs/rueidislock": oneServer,
	"quorum/commands per hand-off/redsync": barging, "quorum/commands per hand-off/rueidislock": oneServer,
	"quorum/server µs per hand-off/redsync": barging, "quorum/server µs per hand-off/rueidislock": oneServer,
	"quorum/µs from release to acquired/rueidislock": oneServer,

	"turns/hand-offs per second": barging, "turns/wait p50, µs": barging, "turns/wait p99, µs": barging,
	"turns/slowest wait / median":         otherTurns,
	"turns/slowest wait, µs":              otherTurns,
	"turns/longest wait of a process, ms": otherTurns,

	"readers/sections per second/bsm/redislock": barging,
	"readers/writers' sections per second": "All sections are alone there, the readers' too, so a writer's share is as large as anybody's. " +
		"Here a writer waits for the readers before it.",
	"recovery/ms past the end of the lease": "A waiter that asks every millisecond meets the end of a lease to the millisecond; ours asks when the " +
		"server's deadline is past, and a round trip later. It costs them 1,000 requests per second and waiter.",
	"recovery/ms from death to acquired": "They do not renew, so less of the lease is left when the holder dies. The time past the end of the lease " +
		"says who is late.",
	"waiting/connections": connections, "holding/connections": connections,
	"waiting/KiB per waiter beside its stack": "A waiter here has a place in a queue, with what is needed to find it again and to give it up.",
	"waiting/requests per second while waiting": "Each name that a Client waits for is checked every two seconds, whatever happens: a message may be lost. " +
		"Theirs sleeps until its lock's key expires or is told, and a lost notice costs it that long.",
	"holding/server time for renewals, %": "Its renewal is a plain command on a string, twice in its validity; ours also looks whether the hold was " +
		"revoked, by a script, three times in a lease.",
	"first/µs per call": "`First` returns when its context ends, also while the network is stuck, so a goroutine of its own waits for the answer.",
}

const (
	// plainly says why a pair of plain commands is cheaper for the server.
	plainly = "Neither fence nor queue: a plain `SET NX PX`, which is no script and costs about half of the same in one, and a compare-and-delete. " +
		"Our request is larger too: it says who asks, and where to tell of a grant."
	// handles says what a lock in the process consists of.
	handles = "A handle here has a lease, a fence and a place among the renewals; theirs is a token and a name. A lock of a quorum is one on each of three servers."
	// alone says why one caller or a few are served faster by the peer.
	alone = "With a few callers nothing is saved by sending together, and a pair without fence and queue has less to do. A caller of ours is also let go when " +
		"its context ends, even while the network is stuck, so another goroutine waits for the answer, which takes time of its own while processors are idle."
	// pipelined says what rueidis does with a few callers.
	pipelined = "All commands of all callers go through a few connections, so some callers at once share system calls from the start; " +
		"ours do from the fifth request under way on."
	// noQueue says what a lock without a queue and a fence saves in a hand-over.
	noQueue = "A release is a delete that all who wait hear of; the quickest has the lock, and that may be the one who gave it back. No place in a queue " +
		"is written or looked up. Jain's index and the slowest wait say what that costs the others."
	// turns says what a window shows of very many waiters.
	turns = "With as many waiters as hand-offs in the window nobody has had more than a turn or two, so fairness and the slowest wait say little. With " +
		"two waiters a single pause of the machine is the slowest wait."
	// threeScripts says what a pair of a quorum costs beside one of redsync.
	threeScripts = "A plain `SET NX` asks for a free lock, and nothing is agreed between the servers. Ours has a place in a queue on each, a fence that a " +
		"majority agrees on, and a Client with renewals and messages for each server."
	// oneServer says what a majority of keys saves.
	oneServer = "Three keys on one server: one pipeline asks for all of them and no other server has to agree. If that server is lost, so is the lock. " +
		"There is neither a queue nor a fence: who gives a lock back mostly has it again, as Jain's index and the slowest wait say."
	// otherTurns says what a waiter must wait for with turns.
	otherTurns = "A process that has the turn keeps the lock from the others for as long as that, while the median wait is a few µs. All clients share this " +
		"machine's processors with the server."
	// connections says what a pool of connections is for.
	connections = "Under go-redis commands have a pool of connections, and pipelines, which only ours sends, another of ten. One more is for the messages: the " +
		"price of waiting without asking. rueidis has a few, and sends everything through them."
	// joining says why a window with very many waiters counts more commands.
	joining = "Those that join in the window are counted with it."
	// barging says why a lock without a queue can change hands quickly.
	barging = "No queue: who gives the lock back takes it again at once, while the others sleep between their tries. Most of these are no hand-offs to " +
		"another caller, and cost no message. Jain's index and the slowest wait say what the others get."
)

// reason returns the reason, or that it is not known.
func (l loss) reason() string {
	key := l.section + "/" + l.quantity
	family, _, _ := strings.Cut(l.peer, ", ")
	for _, k := range []string{key + "/" + l.peer, key + "/" + family, key} {
		if why := reasons[k]; why != "" {
			return why
		}
	}
	return unknown
}

// Unexplained are the rows in which a peer wins and no reason is known, as "section/quantity/peer".
func (r *Run) Unexplained() (all []string) {
	for _, c := range r.chapters() {
		for _, l := range r.losses(c) {
			key := l.section + "/" + l.quantity + "/" + l.peer
			if l.reason() == unknown && !slices.Contains(all, key) {
				all = append(all, key)
			}
		}
	}
	return all
}

// better says where a peer is better, and why: each reason once, with the peers and the rows that it is about.
func (r *Run) better() string {
	type lost struct{ title, quantity string }
	type span struct{ least, most float64 }
	type finding struct {
		peers []string
		rows  []lost
		spans map[lost]span
	}
	var order []string
	cases := map[string]*finding{}
	for _, c := range r.chapters() {
		for _, l := range r.losses(c) {
			why, row := l.reason(), lost{c.title, l.quantity}
			of := cases[why]
			if of == nil {
				order = append(order, why)
				of = &finding{spans: map[lost]span{}}
				cases[why] = of
			}
			if family, _, _ := strings.Cut(l.peer, ", "); !slices.Contains(of.peers, family) {
				of.peers = append(of.peers, family)
			}
			before, seen := of.spans[row]
			if !seen {
				of.rows = append(of.rows, row)
				before = span{l.ahead, l.ahead}
			}
			of.spans[row] = span{min(before.least, l.ahead), max(before.most, l.ahead)}
		}
	}
	if len(order) == 0 {
		return "Nowhere in this run.\n"
	}
	var b strings.Builder
	b.WriteString("Each reason once, with the peers and the rows that it is about. Behind a row stands by how much this library is ahead there: below 1 it is behind.\n\n")
	for _, why := range order {
		of := cases[why]
		fmt.Fprintf(&b, "* **%s.** %s", strings.Join(of.peers, ", "), finish(why))
		title := ""
		for _, row := range of.rows {
			if row.title == title {
				b.WriteString("; ")
			} else {
				fmt.Fprintf(&b, "\n  * %s: ", row.title)
			}
			title = row.title
			low, high := times(of.spans[row].least), times(of.spans[row].most)
			if low != high {
				low += " to " + high
			}
			b.WriteString(row.quantity + " " + low)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// finish begins a sentence with a capital and ends it with a full stop.
func finish(text string) string {
	text = strings.ToUpper(text[:1]) + text[1:]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}
