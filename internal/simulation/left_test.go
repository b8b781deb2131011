package simulation_test

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// held is a hold on the server.
type held struct {
	token string
	ends  time.Time
	state byte
}

// holds are the holds in the hash of a lock, by their fences.
func (s *server) holds(key string) map[int64]held {
	holds := map[int64]held{}
	fields, _ := s.mini.HKeys(key)
	number := func(text string) int64 {
		n, _ := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		return n
	}
	add := func(fence, token, at, lease string, state byte) {
		holds[number(fence)] = held{token, time.UnixMicro(number(at) + 1000*number(lease)), state}
	}
	for _, field := range fields {
		value := s.mini.HGet(key, field)
		switch {
		case len(field) == 22 && value[0] == '@':
			add(s.mini.HGet(key, "f"), field, value[1:17], value[17:25], '-')
		case len(field) == 22:
			fence := s.mini.HGet(key, "f")
			add(fence, field, fence, value[:8], '-')
		case len(field) == 23 && field[0] == 'h':
			add(value[60:76], field[1:], value[76:92], value[92:100], value[100])
		}
	}
	return holds
}

// nameOf is the name of a lock's key.
func nameOf(key string) string {
	_, name, _ := strings.Cut(key, ":{")
	return strings.TrimSuffix(name, "}")
}

// tombstone is how long a late copy is turned away, less a second for packets that are under way.
const tombstone = 59 * time.Second

// given checks that a script grants nothing to a token that has ended (I8): after the server has answered that a token was given up,
// no copy of its acquire is granted, however late it comes.
func (c *checks) given(s *server, script, key string, args []string, v any) {
	if _, failed := v.(failure); failed || len(args) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch token := args[0]; script {
	case "release", "keep":
		if _, known := c.over[token]; !known {
			c.over[token] = time.Now()
		}
	case "acquire", "acquire_own":
		granted := false
		switch v := v.(type) {
		case string:
			granted = true
		case []any:
			granted = v[0] == "granted" || v[0] == "waiting"
		}
		at, known := c.over[token]
		if granted && known && !c.copied[token] && time.Since(at) < tombstone && !s.back && !s.ahead && !c.excused(s, nameOf(key), at) {
			c.found("I8", "a late copy gets %s for the token %s, which was given up %v ago", nameOf(key), token, time.Since(at))
		}
	}
}

// handedOver records that a hold was handed off: it belongs to the owner of the ticket.
func (c *checks) handedOver(fence int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handed[fence] = true
}

// A grant is one grant of a token. If the server has forgotten it, a late copy of the acquire may get another one.
type grant struct {
	token string
	fence int64
}

// heard records that these grants have reached their process, and later checks what became of them.
func (c *checks) heard(by *process, grants []grant) {
	for _, g := range grants {
		c.reached[g], c.reachedAt[g] = by, time.Now()
	}
	if len(grants) > 0 {
		c.world.after(max(0, time.Until(c.world.over))+settled, c.nobodys)
	}
}

// settled is how long it takes at most, after the last fault, until late grants are given back.
const settled = 10 * time.Second

// nobodys checks, after there was time for it, that each grant without a body that has reached a live process was
// given back, even if the server has forgotten something meanwhile (I8).
func (c *checks) nobodys() {
	for _, s := range c.world.servers {
		c.nobodysOf(s)
	}
}

func (c *checks) nobodysOf(s *server) {
	if time.Now().Before(c.world.over.Add(settled)) || s.restored || s.back {
		return
	}
	for _, key := range s.mini.Keys() {
		name := nameOf(key)
		if !slices.Contains([]string{"a", "b", "rw", "sem"}, name) { // the owners of the other locks are not known
			continue
		}
		for fence, h := range s.holds(key) {
			g := grant{h.token, fence}
			p := c.reached[g]
			if p != nil && (c.world.gathers(p) || p.seeks(name)) || !c.world.plan.quorum() && c.isSomebodys(name, fence) || time.Since(c.reachedAt[g]) < settled {
				continue
			}
			if p != nil && !p.gone && !p.closed && h.ends.After(s.now()) && h.state != 'k' && !c.copied[h.token] && !c.handed[fence] {
				c.find("I8", "%s, granted%s with fence %d to %s, is nobody's, and was not given back", name, s.called(), fence, p.name)
			}
		}
	}
}

// gathers reports whether a process is taking several locks, and may have some already.
func (w *world) gathers(p *process) bool {
	for _, d := range w.doing {
		if d.process == p && d.Kind == "all" {
			return true
		}
	}
	return false
}

// isSomebodys reports whether there is or was a body that holds a lock with that fence.
func (c *checks) isSomebodys(name string, fence int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.fences[name], func(b *body) bool { return b.first == fence || b.changing })
}

// remains checks, when nothing is under way and everything was given up, that the server has nothing left of live
// processes (I8).
func (c *checks) remains() {
	for _, s := range c.world.servers {
		c.remainsOf(s)
	}
}

func (c *checks) remainsOf(s *server) {
	for _, key := range s.mini.Keys() {
		if s.mini.Type(key) != "hash" || s.restored || strings.HasPrefix(nameOf(key), "tick:") { // an old state was restored; the lock of a tick is kept if its end could not be recorded
			continue
		}
		for fence, h := range s.holds(key) {
			if h.state == 'k' && staysFor(nameOf(key)) {
				continue
			}
			if h.ends.After(s.now()) && !s.back && !c.copied[h.token] && !c.forgotten(s, key, h.token) {
				c.find("I8", "%s is held%s with fence %d, and nobody does anything", nameOf(key), s.called(), fence)
			}
		}
		fields, _ := s.mini.HKeys(key)
		for _, field := range fields {
			if len(field) == 23 && field[0] == 'w' && !c.copied[field[1:]] && !c.forgotten(s, key, field[1:]) {
				if value := s.mini.HGet(key, field); c.lives(value) {
					c.find("I8", "%s has a place%s of %s, and nobody waits", nameOf(key), s.called(), field[1:])
				}
			}
		}
	}
}

// staysFor reports whether a lock is one of those that package barrier leaves behind for a day.
func staysFor(name string) bool {
	role, _, _ := strings.Cut(name, ":")
	kind, _, _ := strings.Cut(role, "@")
	return role != name && slices.Contains([]string{"latch", "barrier", "condition"}, kind)
}

// forgotten reports whether the server has lost its data of a lock since a token was given up. Then nothing turns a late copy away.
func (c *checks) forgotten(s *server, key, token string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, known := c.over[token]
	return known && c.excused(s, nameOf(key), at)
}

// lives reports whether a place belongs to a process that still runs.
func (c *checks) lives(place string) bool {
	for _, p := range c.world.processes {
		if strings.Contains(place, "\n"+p.name+"\n") {
			return !p.gone && !p.closed
		}
	}
	return false
}

// returned checks that the server has dropped a released hold.
func (c *checks) returned(b *body, fence int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.world.plan.quorum() {
		c.returnedByMost(b, fence)
		return
	}
	s := c.world.servers[0]
	if h, ok := s.holds("redislock:{" + b.name + "}")[fence]; ok && h.ends.After(s.now()) && !s.restored {
		c.found("answer", "the release of %d, fence %d of %s, was answered, and the server has it yet", b.Number, fence, b.name)
	}
}
