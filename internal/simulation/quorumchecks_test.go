package simulation_test

import (
	"time"
)

// The checks of a quorum's promises (docs/guarantees.md, "A quorum of masters").

// voter is the owner of a token: each acquire has one ticket, and a token on each node.
type voter struct {
	process int
	ticket  string
}

// voted is a vote that a node has given, with its fence.
type voted struct {
	server, process int
	name            string
	fence           int64
}

// asks records the owner of a token, and the votes that a node has given.
func (c *checks) asks(by *session, args []string) {
	if !c.world.plan.quorum() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if scriptOf(args) == "acquire" && len(args) > 7 {
		c.votes[args[4]] = voter{by.conn.owner.number, args[7]}
	}
	name := nameOf(args[3])
	for fence, h := range by.server.holds(args[3]) {
		c.voted[voted{by.server.number, c.votes[h.token].process, name, fence}] = true
	}
}

// one is the number of a promise, which differs between one server and a quorum.
func (c *checks) one(single, quorum string) string {
	if c.world.plan.quorum() {
		return quorum
	}
	return single
}

func (c *checks) majority() int { return len(c.world.servers)/2 + 1 }

// votesOf is the number of nodes on which a body holds the lock, or is excused for not holding it.
func (c *checks) votesOf(b *body, excused func(*server) bool) (n int) {
	for _, s := range c.world.servers {
		if excused(s) || c.hasVote(s, b) {
			n++
		}
	}
	return n
}

func (c *checks) hasVote(s *server, b *body) bool {
	for _, h := range s.holds("redislock:{" + b.name + "}") {
		if c.votes[h.token] == b.voter && !h.ends.Before(s.now()) {
			return true
		}
	}
	return false
}

// lostSinceAsked reports whether a server has forgotten the lock since a body asked for it. The holder finds out at its next renewal.
func (c *checks) lostSinceAsked(b *body) func(*server) bool {
	return func(s *server) bool { return c.excused(s, b.name, b.asked) }
}

// confirmed checks, after an acquire, that a majority has the hold under its fence (Q2). The caller holds c.mu.
func (c *checks) confirmed(b *body) {
	forgotten, lost := 0, c.lostSinceAsked(b)
	most, of := 0, map[voter]int{} // another acquire of the process may have been given the same fence elsewhere
	for _, s := range c.world.servers {
		h, ok := s.holds("redislock:{" + b.name + "}")[b.first]
		if v := c.votes[h.token]; ok && v.process == b.number {
			if of[v]++; of[v] > most {
				b.voter, most = v, of[v]
			}
		} else if c.voted[voted{s.number, b.number, b.name, b.first}] && lost(s) {
			forgotten++
		}
	}
	n := most + forgotten
	if n < c.majority() {
		c.found("Q2", "%d has %s with fence %d, which %d of %d nodes have", b.Number, b.name, b.first, n, len(c.world.servers))
	}
}

// keptByMost checks that a majority of the nodes still has the holds that the bodies rely on (Q6). The caller holds
// c.mu.
func (c *checks) keptByMost(name string) {
	for _, b := range c.bodies {
		if b.name != name || !b.relies() {
			continue
		}
		if n := c.votesOf(b, c.lostSinceAsked(b)); n < c.majority() {
			c.found("Q6", "%d relies on %s, fence %d, and %d of %d nodes have it", b.Number, b.name, b.first, n, len(c.world.servers))
			b.left = true
		}
	}
}

// returnedByMost checks that a majority of the nodes has dropped a released hold. The caller holds c.mu.
func (c *checks) returnedByMost(b *body, fence int64) {
	restored := func(s *server) bool { return false }
	if n := c.votesOf(b, restored); n > len(c.world.servers)-c.majority() {
		c.found("answer", "the release of %d, fence %d of %s, was answered, and %d nodes have it yet", b.Number, fence, b.name, n)
	}
}

// safe reports whether nobody else can get the lock beside a body (Q1). The nodes that hold it, and those that give no votes since
// they came back without data (Q8), are so many that the others are no majority. The caller holds c.mu.
func (c *checks) safe(b *body) bool {
	return c.votesOf(b, func(s *server) bool {
		return c.lostSince(lossOf{s.number, b.name, false}, b.asked) && !c.lostRunning(s, b.name, b.asked)
	}) >= c.majority()
}

// mayFall reports whether fences may fall: a lost fence is made anew from the clock (A4; Q2).
func (c *checks) mayFall() bool {
	if !c.world.plan.quorum() {
		return (c.back || c.beyond) && c.forgot
	}
	return c.gone && (c.back || c.ahead || c.clocksOff() > 0)
}

// clocksOff is how many clocks are wrong from the beginning.
func (c *checks) clocksOff() (n int) {
	for _, skew := range c.world.plan.Skews {
		if skew != 0 {
			n++
		}
	}
	return n
}

// mayBePassed reports whether a grant may arrive after a later one, as the servers have forgotten it meanwhile. The caller holds c.mu.
func (c *checks) mayBePassed(before, b *body) bool {
	for _, s := range c.world.servers {
		if c.excused(s, b.name, earlier(before, b)) {
			return true
		}
	}
	return false
}

// splitTime is the longest time without a holder of a wanted lock if there is no fault: a few inquiries.
const splitTime = 500 * time.Millisecond

// waited checks, in a run without faults, how long somebody has waited for a lock that nobody held (Q4). The caller holds c.mu.
func (c *checks) waited(d *doing) {
	if c.world.history.faults > 0 {
		return
	}
	for _, b := range c.bodies {
		if b.name == d.Name && !b.left { // it holds the lock, or it is not known since when it does not
			return
		}
	}
	if gap := time.Since(latest(c.free[d.Name], d.asked)); gap > splitTime {
		c.found("Q4", "%d has waited for %s for %v, and nobody had it", d.Number, d.Name, gap)
	}
}

// inVain checks an operation that has failed.
func (d *doing) inVain() {
	if c := &d.world.checks; d.world.plan.quorum() && !d.entered && !d.closed {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.waited(d)
	}
}

// ticketError is how far the tickets of two processes may differ at most from the order in which they asked, if there is no fault:
// some round trips, and those of the first connections.
const ticketError = 50 * time.Millisecond

// first checks that nobody who has asked earlier still waits (Q3). The caller holds c.mu.
func (c *checks) first(b *body) {
	w := c.world
	if w.history.faults > 0 || c.clocksOff() > 1 { // a process that knows only two clocks cannot tell which of them is wrong
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, number := range sortedNumbers(w.doing) {
		d := w.doing[number]
		if d.Name == b.name && !d.entered && d.Kind != "try" && d.Kind != "inspect" && d.Kind != "close" && !d.closed && d.ctx.Err() == nil &&
			d.asked.Add(ticketError).Before(b.asked) && (d.wait == 0 || time.Since(d.asked) < d.wait) {
			c.found("Q3", "%d is granted %s, and %d, which has waited for %v longer, is not", b.Number, b.name, d.Number, b.asked.Sub(d.asked))
		}
	}
}
