package report

import (
	"fmt"
	"slices"
	"strings"
)

// unknown stands where a peer wins a row and nobody has said why.
const unknown = "no reason known yet"

// reasons say why a peer is better in a quantity of a section. The key is "section/quantity", or
// "section/quantity/peer" where it is so for one of them only; that one is looked for first, and then for the peer whose
// variant it is ("redsync, 1 ms" is one of "redsync").
var reasons = map[string]string{
	"pair/µs per pair":          plainly + " The rest of the difference is a larger request: who asks, and where it is told of a grant.",
	"pair/allocations per pair": "A handle here has a lease, a fence and a place among the renewals; theirs is a token and a name.",
	"pair/bytes per pair":       "A handle here has a lease, a fence and a place among the renewals; theirs is a token and a name.",

	"callers/server µs per pair/bsm/redislock": plainly, "callers/server µs per pair/redsync": plainly,
	"callers/pairs per second/bsm/redislock": alone, "callers/pairs per second/redsync": alone, "callers/pairs per second/rueidislock": pipelined,
	"callers/client CPU µs per pair/bsm/redislock": alone, "callers/client CPU µs per pair/redsync": alone,
	"callers/client CPU µs per pair/rueidislock": pipelined,
	"server/server µs per pair/bsm/redislock":    plainly, "server/server µs per pair/redsync": plainly,
	"wake/µs from release to acquired/rueidislock": "Its release is a plain delete that costs the server a few µs; ours finds the next in the queue, counts who " +
		"listens there and makes it the owner in the same script. Theirs then still has to ask for the lock, and may lose it to another.",

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
	"quorum/allocations per pair": threeHandles, "quorum/bytes per pair": threeHandles,
	"quorum/pairs per second/redsync": threeScripts, "quorum/pairs per second/rueidislock": oneServer,
	"quorum/hand-offs per second/redsync": barging, "quorum/hand-offs per second/rueidislock": oneServer,
	"quorum/wait p50, µs/redsync": barging, "quorum/wait p50, µs/rueidislock": oneServer,
	"quorum/wait p99, µs/redsync": barging, "quorum/wait p99, µs/rueidislock": oneServer,
	"quorum/commands per hand-off/redsync": barging, "quorum/commands per hand-off/rueidislock": oneServer,
	"quorum/server µs per hand-off/redsync": barging, "quorum/server µs per hand-off/rueidislock": oneServer,
	"quorum/µs from release to acquired/rueidislock": oneServer,

	"turns/hand-offs per second": barging, "turns/wait p50, µs": barging, "turns/wait p99, µs": barging,
	"turns/slowest wait / median":         "The median wait is a few µs with turns, and the slowest contains the turns of the other clients.",
	"turns/slowest wait, µs":              otherTurns,
	"turns/longest wait of a process, ms": otherTurns,

	"readers/sections per second/bsm/redislock": barging,
	"readers/writers' sections per second":      "All of their sections are alone, the readers' too, so a writer's share is as large as anybody's. Here a writer waits for the readers before it.",
	"recovery/ms past the end of the lease":     "A waiter that asks every millisecond meets the end of a lease to the millisecond; ours asks when the server's deadline is past, and a round trip later. It costs them 1,000 requests per second and waiter.",
	"recovery/ms from death to acquired":        "They do not renew, so less of the lease is left when the holder dies. Counted from the end of the lease the next row says who is late.",
	"waiting/connections":                       "One connection more, for the messages: the price of waiting without asking.",
	"waiting/KiB per waiter beside its stack":   "A waiter here has a place in a queue, with what is needed to find it again and to give it up.",
	"waiting/requests per second while waiting": "Each name that a Client waits for is checked every two seconds, whatever happens: a message may be lost. Theirs sleeps until its lock's key expires or is told, and a lost notice costs it that long.",
	"holding/connections":                       "go-redis opens a connection for each request that is under way, up to its pool's size; rueidis has a few and sends everything through them.",
	"holding/server time for renewals, %":       "Its renewal is a plain command on a string, twice in its validity; ours also looks whether the hold was revoked, by a script, three times in a lease.",
	"first/µs per call":                         "`First` returns when its context ends, also while the network is stuck, so a goroutine of its own waits for the answer.",
}

const (
	// plainly is why a pair of plain commands is cheaper for the server.
	plainly = "It has neither fence nor queue: a plain `SET NX PX`, which is no script and costs about half of the same in one, and a compare-and-delete."
	// alone is why a single caller or a few are served faster by it.
	alone = "With a few callers: " + plainly + " And a caller of ours is let go when his context ends, also while the network is stuck, " +
		"so another goroutine waits for the answer, which takes time of its own while processors are idle."
	// pipelined is what rueidis does with a few callers.
	pipelined = "rueidis sends all commands of all callers through a few connections, so some callers at once share system calls from the start; " +
		"ours do from the third request under way on."
	// noQueue is what a lock without a queue and a fence saves in a hand-over.
	noQueue = "A release there is a delete and tells all who wait; who is quickest has the lock, also the same again. No place in a queue is " +
		"written or looked up. Jain's index and the slowest wait of the same row say what that costs the others."
	// turns is what a window says of very many waiters.
	turns = "With as many waiters as hand-offs in the window nobody has had more than a turn or two: fairness and the slowest wait then say little; with " +
		"two waiters a single pause of the machine is the slowest wait."
	// threeScripts is what a pair of a quorum costs beside redsync's.
	threeScripts = "Its request for a free lock is a plain `SET NX`, and nothing is agreed between the servers; ours has a place in a queue on each, a fence that a " +
		"majority agrees on, and a Client with renewals and messages for each server."
	threeHandles = "A lock of a quorum is a lock of this library on each of three servers, with a lease, a fence and a place among the renewals of each."
	// oneServer is what a majority of keys saves.
	oneServer = "Its three keys are on one server, so that one pipeline asks for all of them and no other server has to agree; if that server is lost, so is the lock. " +
		"It has neither a queue nor a fence: who gives a lock back mostly has it again, as Jain's index and the slowest wait say."
	// otherTurns is what a waiter has to wait for with turns.
	otherTurns = "A process that has the turn keeps the lock from the others for as long as that, and all clients share this machine's processors with the server."
	// joining is why a window with very many waiters counts more commands.
	joining = "Those that join in the window are counted with it."
)

// barging is why a lock without a queue can change hands quickly.
const barging = "It has no queue: who gives the lock back takes it again at once, while the others sleep between their tries, so most of these are no " +
	"hand-offs to another caller and cost no message. Jain's index and the slowest wait of the same row say what the others get."

// reason says why, or that it is not known.
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
		for _, l := range r.losses(c.id) {
			key := l.section + "/" + l.quantity + "/" + l.peer
			if l.reason() == unknown && !slices.Contains(all, key) {
				all = append(all, key)
			}
		}
	}
	return all
}

// notes are the lost rows of a section with their reasons, those with the same reason together.
func (r *Run) notes(section string, c chapter) string {
	type row struct{ quantity, peer string }
	var order []string
	byReason := map[string][]row{}
	places := map[row][]string{}
	for _, l := range r.losses(section) {
		why := l.reason()
		if !slices.Contains(order, why) {
			order = append(order, why)
		}
		k := row{l.quantity, l.peer}
		if !slices.Contains(byReason[why], k) {
			byReason[why] = append(byReason[why], k)
		}
		if c.axis != nil {
			places[k] = append(places[k], c.place(l.x))
		}
	}
	if len(order) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\nWhere a peer is better (▼):\n\n")
	for _, why := range order {
		var what []string
		for _, k := range byReason[why] {
			text := k.peer + ", " + k.quantity
			if at := places[k]; len(at) > 0 {
				text += " (" + strings.Join(at, "; ") + ")"
			}
			what = append(what, text)
		}
		fmt.Fprintf(&b, "* %s. %s\n", strings.Join(what, " · "), finish(why))
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
