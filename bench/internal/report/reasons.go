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
	"pair/allocations per pair": "A handle here has a context of its own that ends with the lock, a fence and a place among the renewals; theirs is a token and a name.",
	"pair/bytes per pair":       "A handle here has a context of its own that ends with the lock, a fence and a place among the renewals; theirs is a token and a name.",
	"callers/server µs per pair/bsm/redislock": "It has neither fence nor queue: a plain `SET NX PX`, which is no script, and a compare-and-delete. " +
		"Ours is two scripts; the section on the scripts alone has the ratio.",
	"callers/server µs per pair/redsync":      "It has neither fence nor queue: a plain `SET NX PX`, which is no script, and a compare-and-delete.",
	"server/server µs per pair/bsm/redislock": "It has neither fence nor queue: a plain `SET NX PX`, which is no script, costs about half of the same in a script.",

	"handoff/hand-offs per second/bsm/redislock": barging, "handoff/hand-offs per second/redsync": barging,
	"handoff/wait p50, µs/bsm/redislock": barging, "handoff/wait p50, µs/redsync": barging,
	"handoff/wait p99, µs/bsm/redislock": barging, "handoff/wait p99, µs/redsync": barging,
	"handoff/server µs per hand-off/bsm/redislock": barging, "handoff/server µs per hand-off/redsync": barging,
	"crowd/hand-offs per second/bsm/redislock": barging, "crowd/hand-offs per second/redsync": barging,
	"crowd/wait p50, µs/bsm/redislock": barging, "crowd/wait p50, µs/redsync": barging,
	"crowd/wait p99, µs/bsm/redislock": barging, "crowd/wait p99, µs/redsync": barging,
	"crowd/server µs per hand-off/bsm/redislock": barging, "crowd/server µs per hand-off/redsync": barging,
}

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
