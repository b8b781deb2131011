package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Call is one script as a server executed it, with strings as they were sent.
type Call struct {
	// Script is the name of its file in lua/, or "hdel" for the plain command that releases a hold which is alone, with its
	// token as the argument. What is of no lock is not looked at.
	Script string
	Keys   []string
	Args   []string
	// Now is the time that the script read; 0 if only the reply says it.
	Now Micros
	// Receivers is what the server counted on each channel. For a channel that is not there, both answers are tried.
	Receivers map[string]int
	// Reply is as go-redis gives it: string, int64, []any, or an error of the server's.
	Reply any
	// Heard says that Sent are the messages that the script published, in their order.
	Heard bool
	Sent  []Sent
}

// Acceptor replays on the model the commands that a server executes, and reports where the model answers otherwise. What it does
// not know is a choice: whether a channel had a receiver, or whether a key is forgotten already, whose end is near. It follows
// all states that explain the answers so far.
//
// It must be given every call, in the order of the server. Several goroutines may use it.
type Acceptor struct {
	mu sync.Mutex
	memory
	accepted, skipped int
}

// memory is the possible content of a server.
type memory struct {
	locks   map[string][]Lock
	records map[string][]*Record
	unknown map[string]bool // keys that are not followed
}

// NewAcceptor is for a server that has nothing in it.
func NewAcceptor() *Acceptor {
	a := &Acceptor{}
	a.clear()
	return a
}

func (a *Acceptor) clear() {
	a.memory = memory{map[string][]Lock{}, map[string][]*Record{}, map[string]bool{}}
}

// Accept takes the next call. The error is a [*Difference], or says that a call cannot be read; the key is not followed any more then.
func (a *Acceptor) Accept(c Call) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(c.Keys) == 0 {
		return nil
	}
	if err, failed := c.Reply.(error); failed {
		if !harmless(err) {
			for _, key := range c.Keys {
				a.forget(key)
			}
		}
		return nil
	}
	err := a.accept(c)
	if err != nil {
		for _, key := range c.Keys {
			a.forget(key)
		}
	}
	return err
}

// refusals are the codes of a server that has executed nothing, or of which the first write of a script was refused.
var refusals = []string{"NOSCRIPT", "OOM", "BUSY", "LOADING", "READONLY", "MISCONF", "MASTERDOWN", "CLUSTERDOWN", "MOVED", "ASK", "TRYAGAIN", "CLOCK", "NOAUTH"}

// harmless reports whether a script that ended so has changed nothing. Some servers say first where in the script that was.
func harmless(err error) bool {
	text := err.Error()
	return slices.ContainsFunc(refusals, func(code string) bool {
		return strings.HasPrefix(text, code+" ") || strings.HasPrefix(text, "ERR Error ") && (strings.Contains(text, ": "+code+" ") || strings.Contains(text, ": -"+code+" "))
	})
}

func (a *Acceptor) accept(c Call) error {
	switch c.Script {
	case "hdel":
		return a.released(c)
	case "release":
		if c.Reply == int64(1) { // likewise: it has looked no further
			return a.released(c)
		}
	case "record":
		return a.recorded(c)
	case "recall":
		return a.recalled(c)
	case "erase":
		a.lost(c.Keys[0])
		return nil
	}
	script, err := parseCall(c.Script, c.Args)
	if script == nil || err != nil {
		return unreadable(c, err)
	}
	server, err := parseReply(script, c.Reply)
	if err != nil {
		return unreadable(c, err)
	}
	if c.Now == 0 {
		c.Now = server.Now
	}
	var next []Lock
	d := &Difference{Call: c}
	if err := a.follow(c, d, func(l *Lock, at Instant) {
		after, answer, messages := Execute(l, script, at)
		told := differs(server, answer)
		if told == "" && c.Heard {
			told = c.sends(l, &after, messages)
		}
		if told == "" {
			next = append(next, after)
		} else {
			d.Answers = append(d.Answers, told)
		}
	}); err != nil || a.unknown[c.Keys[0]] {
		return err
	}
	if next == nil {
		return d
	}
	return a.become(c.Keys[0], next)
}

// follow runs something with each state that the lock may be in, and each choice; with none if the key is not followed.
func (a *Acceptor) follow(c Call, d *Difference, run func(l *Lock, at Instant)) error {
	key := c.Keys[0]
	if a.unknown[key] {
		a.skipped++
		return nil
	}
	if c.Now == 0 {
		return unreadable(c, fmt.Errorf("its time is not known"))
	}
	a.accepted++
	d.Before = a.states(key, c.Now)
	for i := range d.Before {
		choices(c.receivers, func(subscribed func(string) bool) {
			run(&d.Before[i], Instant{Now: c.Now, Subscribed: subscribed, Rules: &Protocol})
		})
	}
	return nil
}

// states are those that a lock may be in at that time.
func (a *Acceptor) states(key string, now Micros) []Lock {
	states := a.locks[key]
	if len(states) == 0 {
		return []Lock{Forgotten()}
	}
	// Within 100 s an acquire of a free lock does not write the end of the key anew.
	const imprecise = 100 * Second
	for _, l := range states {
		if l.Exists() && now >= l.Expires-imprecise-Second {
			return append(slices.Clone(states), Forgotten())
		}
	}
	return states
}

// Most states of a lock that are followed; and holds, for of more the server looks at some in each script, and where it stands is
// no matter of the model.
const (
	mostStates = 64
	mostHolds  = 32
)

func (a *Acceptor) become(key string, next []Lock) error {
	seen := map[string]bool{}
	var states []Lock
	for i := range next {
		l := &next[i]
		if id := string(l.Append(nil)); !seen[id] {
			seen[id] = true
			states = append(states, *l)
		}
		if len(l.Holds) > mostHolds {
			a.forget(key)
			return nil
		}
	}
	a.locks[key] = states
	if len(states) > mostStates {
		a.forget(key)
	}
	return nil
}

// States are those that a lock may be in; none if its key is not followed, or nothing of it was heard.
func (a *Acceptor) States(key string) []Lock {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.locks[key])
}

// Lost says that a key has gone: it was deleted, or evicted. It is followed again.
func (a *Acceptor) Lost(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lost(key)
}

func (a *Acceptor) lost(key string) {
	delete(a.locks, key)
	delete(a.records, key)
	delete(a.unknown, key)
}

// LostAll says that the server has nothing in it any more.
func (a *Acceptor) LostAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clear()
}

// Forget says that a key was written in some other way. It is not followed until it is lost.
func (a *Acceptor) Forget(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget(key)
}

func (a *Acceptor) forget(key string) {
	a.lost(key)
	a.unknown[key] = true
}

// Saved is the content that a server had.
type Saved struct{ memory }

// Save is what the server has in it now, for a Restore.
func (a *Acceptor) Save() Saved {
	a.mu.Lock()
	defer a.mu.Unlock()
	return Saved{a.copy()}
}

// Restore says that the server has what it had then: it came back from a snapshot, or another one was promoted.
func (a *Acceptor) Restore(s Saved) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.memory = s.copy()
}

func (m *memory) copy() memory {
	return memory{maps.Clone(m.locks), maps.Clone(m.records), maps.Clone(m.unknown)}
}

// Accepted is how many calls were compared, and skipped how many were of keys that are not followed.
func (a *Acceptor) Accepted() (accepted, skipped int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.accepted, a.skipped
}
