// Package memo is the memory of a process of what was done once.
package memo

import (
	"slices"
	"sync"

	"example.com/redislock/internal/clock"
)

const (
	// most is how many names a process remembers: to forget one costs a round trip.
	most = 10_000
	// maxChecked is how many of them are looked up at once when the subscription is new; more are looked up when they are asked for.
	maxChecked = 64
)

// Memo has the names of which this process knows that they are done. Its zero value knows nothing. A message tells the process of
// a reset in another process, and then it forgets the name. If such a message may have been missed, all names are looked up
// again.
type Memo struct {
	mu   sync.Mutex
	done map[string]*success
	at   Moment // what was read before one is not taken for certain after it
}

// Moment counts what may have changed what is known.
type Moment struct {
	resets        int // of which this process was told
	subscriptions int // before which one may have been missed
}

// success is one of them.
type success struct {
	until   clock.Bound
	certain bool          // no reset can have been missed
	looking chan struct{} // closed when the look that is under way has come back; nil if there is none
}

// of returns what is known of a name, nil if nothing is. The caller holds m.mu.
func (m *Memo) of(name string) *success {
	known := m.done[name]
	if known != nil && known.until.Left() <= 0 {
		delete(m.done, name)
		known = nil
	}
	return known
}

// Call Now before reading the value that is to be remembered.
func (m *Memo) Now() Moment {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}

// Forget is called when one was reset.
func (m *Memo) Forget(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at.resets++
	delete(m.done, name)
}

// Doubt is called when resets may have been missed. It returns what is to be looked up at once.
func (m *Memo) Doubt() (names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at.subscriptions++
	for name, known := range m.done {
		known.certain = false
		if len(m.done) <= maxChecked {
			names = append(names, name)
		}
	}
	slices.Sort(names) // in the order of a map nothing would be repeatable
	return names
}

// Remember notes a success that was seen since a moment. It reports whether that is certain. If it is not, the caller must look
// the name up.
func (m *Memo) Remember(name string, since Moment, until clock.Bound) (certain bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at.resets != since.resets {
		return true // it may have been this one's, of which nothing is known then
	}
	if known := m.done[name]; known != nil {
		known.until, known.certain = until, m.at == since
		return known.certain
	}
	if m.done == nil || len(m.done) >= most {
		m.done = map[string]*success{}
	}
	m.done[name] = &success{until: until, certain: m.at == since}
	return m.at == since
}

// Known reports whether a name is known to be done, and whether no reset of it can have been missed.
func (m *Memo) Known(name string) (known, certain bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.of(name)
	return s != nil, s != nil && s.certain
}

// Look has a name looked up that is known: the channel closes when that has come back. One look at a name is under way at a time:
// done is nil if there is one, or nothing to look for; else the caller looks, and calls it with what is there.
func (m *Memo) Look(name string) (looked <-chan struct{}, done func(found bool, until clock.Bound, err error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.of(name)
	if known == nil {
		none := make(chan struct{})
		close(none)
		return none, nil
	}
	if known.looking != nil {
		return known.looking, nil
	}
	came, since := make(chan struct{}), m.at
	known.looking = came
	return came, func(found bool, until clock.Bound, err error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		defer close(came)
		known.looking = nil
		switch {
		case err != nil || m.done[name] != known: // it stays uncertain, or was forgotten
		case !found:
			delete(m.done, name)
		default:
			known.until, known.certain = until, m.at == since
		}
	}
}
