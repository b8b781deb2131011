package simulation_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
	"example.com/redislock/internal/turns"
)

// checks records what the bodies saw, and finds what they must not see.
type checks struct {
	world *world

	mu        sync.Mutex
	findings  []string
	bodies    []*body
	losses    map[lossOf]time.Time // when a server last forgot what it had answered
	back      bool                 // the server's clock was stepped back
	ahead     bool
	forgot    bool
	beyond    bool                 // a fence was ahead of the server's clock: when a hold in turns is broken, the fence becomes the end of its lease
	gone      bool                 // data was lost
	votes     map[string]voter     // the owner of each token, in a quorum
	voted     map[voted]bool       // which fences the nodes have had
	free      map[string]time.Time // when a lock was last held
	fences    map[string][]*body   // all bodies until now, by name
	register  map[string]*register
	done      map[string]time.Time
	over      map[string]time.Time // when the server has ended a token
	copied    map[string]bool      // tokens of which a request was executed twice although it was answered
	reached   map[grant]*process   // which grants have reached their process
	reachedAt map[grant]time.Time
	handed    map[int64]bool       // fences of holds that were handed off
	forged    map[string]time.Time // when a reader of the keys last told a lie about a name
	gathered
}

func newChecks(w *world) checks {
	return checks{world: w, losses: map[lossOf]time.Time{}, fences: map[string][]*body{}, register: map[string]*register{}, done: map[string]time.Time{}, over: map[string]time.Time{}, copied: map[string]bool{}, reached: map[grant]*process{}, reachedAt: map[grant]time.Time{}, handed: map[int64]bool{}, forged: map[string]time.Time{}, votes: map[string]voter{}, voted: map[voted]bool{}, free: map[string]time.Time{}, gathered: newGathered()}
}

// body is a body that relies on a lock.
type body struct {
	*doing
	name     string
	class    string
	weight   int
	lock     *redislock.Lock // nil if there is no handle
	ctx      context.Context
	err      func() error // Err of the handle
	fence    func() int64
	first    int64 // the fence at the beginning
	version  int   // of the register
	began    time.Time
	left     bool
	changing bool
	voter    voter // in a quorum
}

// register is the resource that a lock guards. It refuses a fence lower than the greatest that it has seen.
type register struct {
	fence   int64
	version int
	by      *body
}

// find records that a promise is broken.
func (c *checks) find(kind, format string, args ...any) {
	text := kind + ": " + fmt.Sprintf(format, args...)
	c.world.history.say("FOUND %s", text)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.findings = append(c.findings, text)
}

// since is the earliest time at which the server was asked for the lock. A grant within the process is under a hold that the server
// granted before.
func (b *body) since() time.Time {
	if b.turns {
		return b.asked.Add(-turns.Longest - transport.ResendTime)
	}
	return b.asked
}

// earlier is when the first of two locks was asked for. A lock may be granted before a loss of data while its body begins only
// afterwards, as AcquireAll waits for the other locks.
func earlier(a, b *body) time.Time {
	if a.since().Before(b.since()) {
		return a.since()
	}
	return b.since()
}

// relies reports whether the body still relies on the lock. A body of a stopped process does nothing.
func (b *body) relies() bool {
	until, stands := b.world.stands(b.process)
	if stands || b.left || b.gone || b.ctx.Err() != nil {
		return false
	}
	if b.world.plan.quorum() && time.Now().After(until.Add(10*time.Millisecond)) { // Err reads the clock, and its answer ends the context, too
		return true
	}
	return b.err() == nil
}

// mayRely reports whether it may rely on the lock now or later.
func (b *body) mayRely() bool {
	_, stands := b.world.stands(b.process)
	return stands && !b.left && !b.gone || b.relies()
}

// enter begins the body of a lock.
func (d *doing) enter(l *redislock.Lock) *body {
	b := &body{doing: d, name: l.Name(), class: "exclusive", weight: 1, lock: l, ctx: l.Context(), err: l.Err, fence: l.Fence}
	switch l.Mode().Name() {
	case "read":
		b.class = "read"
	case "write":
		b.class = "write"
	case semaphore.Name():
		b.class, b.weight = "semaphore", max(1, d.units)
	}
	return d.world.checks.enter(b)
}

func (c *checks) enter(b *body) *body {
	b.entered, b.began = true, time.Now()
	if b.fence != nil {
		b.first = b.fence()
	}
	if ahead := time.UnixMicro(b.first).Sub(c.world.servers[0].now()); ahead > 25*time.Hour && !c.back {
		c.find("I9", "%d believes in fence %d of %s, which is ahead by %v", b.Number, b.first, b.name, ahead)
	}
	c.beyond = c.beyond || time.UnixMicro(b.first).After(c.world.servers[0].now())
	c.world.history.say("%d holds %s, fence %s", b.Number, b.name, c.world.history.fence(b.first))
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.relies() {
		if c.world.plan.quorum() {
			c.confirmed(b)
			c.first(b)
			c.waited(b.doing)
		}
		c.exclude(b)
		c.raise(b)
		c.bodies = append(c.bodies, b)
	}
	if r := c.register[b.name]; r == nil {
		c.register[b.name] = &register{fence: b.first, by: b}
	} else if b.first >= r.fence { // the loss is told before anything is written
		r.fence, b.version = b.first, r.version
	}
	return b
}

// exclude checks that no other body relies on the lock beside this one (I1, I7). The caller holds c.mu.
func (c *checks) exclude(b *body) {
	weight, known := b.weight, b.weight // known counts the bodies whose holds the server has not forgotten
	kept := c.bodies[:0]
	for _, other := range c.bodies {
		if !other.mayRely() {
			continue
		}
		kept = append(kept, other)
		if other.name != b.name || other == b || !other.relies() {
			continue
		}
		weight += other.weight
		forgotten := c.excused(c.world.servers[0], b.name, earlier(b, other)) || c.forged[b.name].After(earlier(b, other))
		if !forgotten {
			known += other.weight
		}
		if b.class == "read" && other.class == "read" || b.class == "semaphore" && other.class == "semaphore" && weight <= 3 {
			continue
		}
		if c.world.plan.quorum() {
			if !c.safe(b) || !c.safe(other) {
				continue
			}
		} else if forgotten {
			continue
		}
		c.found(c.one("I1", "Q1"), "%d and %d are in %s at once (%s fence %d, %s fence %d)", other.Number, b.Number, b.name, other.class, other.first, b.class, b.first)
	}
	clear(c.bodies[len(kept):])
	c.bodies = kept
	c.limited(b, known)
}

// raise checks that fences rise (I2). The caller holds c.mu.
func (c *checks) raise(b *body) {
	if b.fence == nil {
		return
	}
	for _, before := range c.fences[b.name] {
		switch {
		case c.mayFall(): // A4
		case !c.forged[b.name].IsZero():
		case before.first == b.first && b.turns && b.class == "read" && before.turns && before.class == "read" && before.process == b.process: // under one hold
		case before.first == b.first && before.asked != b.asked:
			c.found(c.one("I2", "Q2"), "%d and %d have one fence of %s, %d", before.Number, b.Number, b.name, b.first)
		case before.first > b.first && !(b.class == before.class && b.class != "exclusive") && !c.mayBePassed(before, b):
			c.found(c.one("I2", "Q2"), "%d has fence %d of %s after %d had %d", b.Number, b.first, b.name, before.Number, before.first)
		}
	}
	c.fences[b.name] = append(c.fences[b.name], b)
}

func (c *checks) found(kind, format string, args ...any) {
	c.mu.Unlock()
	defer c.mu.Lock()
	c.find(kind, format, args...)
}

// leave is called before the lock is given back.
func (d *doing) leave(b *body) {
	c := &d.world.checks
	c.kept(c.world.servers[0], "redislock:{"+b.name+"}")
	c.mu.Lock()
	defer c.mu.Unlock()
	b.left = true
	c.free[b.name] = time.Now()
}

// changing and changed are called before and after a change of mode.
func (c *checks) changing(b *body, least string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.class, b.changing = least, true
}

func (c *checks) changed(b *body, class string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.class, b.changing = class, err != nil // the server may have it under another fence until the change is undone
	if !b.relies() {
		return
	}
	if b.first = b.fence(); class == "write" {
		b.asked = b.asked.Add(1) // it is another grant
		c.exclude(b)
		if r := c.register[b.name]; r != nil && b.first >= r.fence {
			r.fence, b.version = b.first, r.version
		}
	}
}

// work is a body: it takes some time, and writes to the resource, also after its context has ended, as a paused process
// would.
func (d *doing) work(b *body) {
	most := 2 * time.Second
	if d.draw.IntN(8) == 0 {
		most = 20 * time.Second
	}
	for range 1 + d.draw.IntN(3) {
		d.pause(b.ctx, most)
		if b.class != "read" && b.class != "semaphore" {
			d.world.checks.write(b)
		}
	}
}

// write is a write with the fence. The register accepts it only from the holder of the greatest fence that it has seen, and nobody
// else can have written since.
func (c *checks) write(b *body) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.register[b.name]
	if r == nil || b.fence == nil || b.first < r.fence || b.gone {
		return
	}
	if r.version != b.version && !(!c.world.plan.quorum() && c.excused(c.world.servers[0], b.name, b.since())) && !c.mayFall() && c.forged[b.name].IsZero() {
		c.found("register", "%d overwrites in %s what %d wrote, with fence %d", b.Number, b.name, r.by.Number, b.first)
	}
	r.version++
	b.version, r.by, r.fence = r.version, b, b.first
}

// once checks that something is done once. A caller that asked before the server forgot it is excused.
func (c *checks) once(what string, asked time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.done[what]; ok && !c.forgot {
		c.found("once", "%s is done a second time", what)
	}
	c.done[what] = asked
}

// within checks that something is true only once within some time.
func (c *checks) within(what string, asked time.Time, window time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if until, ok := c.done[what]; ok && time.Now().Before(until) && !c.forgot {
		c.found("first", "%s is true a second time within the window", what)
	}
	c.done[what] = asked.Add(window)
}

// kept checks that the server still has the holds that the bodies rely on (I6). It is called after each script, as others may then be
// granted the lock, and at the end of a body.
func (c *checks) kept(s *server, key string) {
	name := nameOf(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.world.plan.quorum() {
		c.keptByMost(name)
		return
	}
	var holds map[int64]held
	for _, b := range c.bodies {
		if b.name != name || b.fence == nil || b.changing || !b.relies() {
			continue
		}
		if holds == nil {
			holds = s.holds(key)
		}
		h, ok := holds[b.first]
		for fence, of := range holds { // a grant within the process is under the hold that the server granted before
			if !ok && b.turns && fence < b.first {
				h, ok = of, true
			}
		}
		if ok && !h.ends.Before(s.now()) {
			continue
		}
		if at, ok := c.forged[name]; ok && at.After(b.since()) && !c.excused(s, name, b.since()) {
			if time.Since(b.began) > protocol.Claim {
				c.found("I9", "%d has relied on %s, fence %d, for %v, and the server knows nothing of it", b.Number, name, b.first, time.Since(b.began))
				b.left = true
			}
		} else if !c.excused(s, name, b.since()) {
			c.found("I6", "%d relies on %s, fence %d, and the server has let it go", b.Number, name, b.first)
			b.left = true
		}
	}
}
