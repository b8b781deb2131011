package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A world is one lock, the Clients that want it, and the network between them. Requests travel on connections of their own, so the server
// executes them in any order, and at any time after they were sent. Every step that could be taken is one branch of the search.

// config is the beginning of a search. Everything that could go on for ever has a budget.
type config struct {
	name    string
	rules   Rules
	without clientRule
	clients []setting
	setup   func(w *world) // sets up the state of the server
	left    budget
	tick    Micros
	prompt  bool                  // time passes only when nothing is under way, and checks and renewals are sent when they are due
	stuck   Micros                // how long a lane may be stuck
	done    func(w *world) string // what must hold in every state, beside the invariants
	only    string                // the promise that is checked; "" for all
}

// setting is the configuration of one Client.
type setting struct {
	wants   []want
	replica bool // subscribed at a replica: it hears messages, and the server does not count it
}

// want is a lock that a Client wants.
type want struct {
	mode   Mode
	try    bool
	steal  Micros // the age from which on it steals; 0: never
	most   int    // how many may wait before it; 0: any number
	lease  Micros
	keep   Micros
	then   byte // what it does with the lock: 'r' release, 'k' release after a while, 'u' upgrade first, 'd' downgrade first, 'o' hand off, '-' keep it
	resume bool // it resumes a hold that was handed off
}

// budget is how often each kind of event may still happen.
type budget struct {
	ticks    int
	timeouts int // an answer does not come in time: the request may arrive later, or never
	answers  int // an answer is lost: the request was executed
	late     int // an answer comes so late that its caller may be gone
	lost     int // messages
	slow     int // a message arrives later
	cancels  int
	checks   int // checks that race with something
	renewals int
	deaths   int // the process dies, and its connections end
	halfOpen int // the process is gone, and its connections stay
	breaks   int // a subscription breaks
	operator int // an operator breaks the lock
	back     int // the clock goes back
	losses   int // all data is lost
	full     int // the memory is full from now on
	stuck    int // a lane is stuck
}

// clientRule names a rule of the Clients that a test may switch off.
type clientRule uint32

const (
	// newToken: every wait has a token of its own.
	newToken clientRule = 1 << iota
	// ownResends: the library knows of an attempt without an answer, as it resends itself, in the place of go-redis.
	ownResends
	// giveBack: a late answer, whose caller has gone, is given back.
	giveBack
	// ownBound: a handle counts itself as held only until a bound.
	ownBound
	// believesLate: a grant whose bound has passed when it arrives is no grant.
	believesLate
	// ownLane: renewals do not wait behind other requests.
	ownLane

	allClientRules = iota
)

func (c *config) has(r clientRule) bool { return c.without&r == 0 }

type world struct {
	config   *config
	lock     Lock
	now      Micros // the server's clock
	elapsed  Micros // true time, which the clocks of the Clients follow
	clients  []client
	flight   []packet
	left     budget
	full     bool
	greatest Micros // the greatest fence that was granted
	handed   Grant
	fault    string // the promise that was violated
}

// packet is a request, an answer or a message that is under way.
type packet struct {
	from    int // the Client that it is from or for; -1: an operator
	want    int
	script  Script
	answer  *Answer
	message *Message
	until   Micros // the bound in an answer or a message, in true time
	unheard bool   // a request whose answer nobody waits for
	copies  int    // for an acquire: earlier attempts without an answer
	id      string
}

func (c *config) start() *world {
	w := &world{config: c, now: 1000 * Second, elapsed: 1000 * Second, left: c.left}
	for range c.clients {
		w.clients = append(w.clients, client{state: idle, subscribed: true})
	}
	if c.setup != nil {
		c.setup(w)
	}
	return w
}

func (w *world) clone() *world {
	n := *w
	n.clients, n.flight = slices.Clone(w.clients), slices.Clone(w.flight)
	return &n // the lock is never changed in place
}

func (w *world) instant() Instant {
	return Instant{Now: w.now, Rules: &w.config.rules, Full: w.full, Subscribed: func(channel string) bool {
		i := int(channel[0] - 'A')
		return i < len(w.clients) && w.clients[i].subscribed && !w.config.clients[i].replica
	}}
}

// send puts a request on its way.
func (w *world) send(from int, s Script) {
	p := packet{from: from, script: s, unheard: from < 0}
	if from >= 0 {
		p.want = w.clients[from].want
	}
	w.put(p)
}

func (w *world) put(p packet) {
	p.id = fmt.Sprint(p.from, p.want, p.unheard, p.copies, p.until, " ")
	if p.script != nil {
		p.id += fmt.Sprintf("%T%v", p.script, p.script)
	}
	if p.answer != nil {
		p.id += " = " + p.answer.String()
	}
	if p.message != nil {
		p.id += fmt.Sprintf(" ⇐ %c %s %d %d", p.message.Kind, p.message.Token, p.message.Fence, p.message.Lease)
	}
	i, _ := slices.BinarySearchFunc(w.flight, p.id, func(q packet, id string) int { return strings.Compare(q.id, id) })
	w.flight = slices.Insert(w.flight, i, p)
}

func (w *world) take(i int) packet {
	p := w.flight[i]
	w.flight = slices.Delete(w.flight, i, i+1)
	return p
}

// key is the same for the same state.
func (w *world) key() string {
	b := make([]byte, 0, 512)
	b = w.lock.Append(b)
	for _, n := range []Micros{w.now, w.elapsed, w.greatest, w.handed.Fence} {
		b = append(strconv.AppendInt(b, int64(n), 36), ' ')
	}
	b = append(b, w.handed.Token...)
	l := &w.left
	for _, n := range []int{l.ticks, l.timeouts, l.answers, l.late, l.lost, l.slow, l.cancels, l.checks, l.renewals, l.deaths, l.halfOpen, l.breaks, l.operator, l.back, l.losses, l.full, l.stuck} {
		b = append(b, byte('0'+n))
	}
	if w.full {
		b = append(b, 'F')
	}
	for i := range w.clients {
		b = w.clients[i].append(b)
	}
	for i := range w.flight {
		b = append(append(b, '\n'), w.flight[i].id...)
	}
	return string(b)
}

func (w *world) violated(format string, args ...any) {
	if fault := fmt.Sprintf(format, args...); w.fault == "" && strings.Contains(fault, w.config.only) {
		w.fault = fault
	}
}

func (w *world) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, " the server's clock %v, true time %v\n%s", float64(w.now)/1e6, float64(w.elapsed)/1e6, &w.lock)
	for i := range w.clients {
		fmt.Fprintf(&b, "  %c: %+v\n", 'A'+i, w.clients[i])
	}
	for i := range w.flight {
		fmt.Fprintf(&b, "  under way: %s\n", w.flight[i].id)
	}
	return b.String()
}
