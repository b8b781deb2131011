package model

import (
	"slices"

	"example.com/redislock/internal/protocol"
)

// Mode says beside which other holds a hold may be. It is data: the server knows no mode by name. The zero Mode is the exclusive
// one, which tolerates nobody.
type Mode struct {
	protocol.Mode
	Weight int // a hold counts as so many
}

// Exclusive reports whether it is the mode that needs no counting.
func (m Mode) Exclusive() bool { return m.Name == "" }

// line is the mode as it is written in a request; of is the token of the hold that is to change into it, or empty.
func (m Mode) line(of string) string { return m.Line(m.Weight, of) }

// Together is I1: each of these modes tolerates all others, and itself, in the numbers there are. A hold of weight k counts as k.
// Rules that apply only at the mode's own grant are not checked.
func Together(modes []Mode) bool {
	held, ok := weights(modes)
	return ok && !slices.ContainsFunc(modes, func(m Mode) bool { return len(modes) > 1 && !m.Heeds(held, false) })
}

// weights are those of all holds by the names of their modes. It is false if one of several is exclusive.
func weights(modes []Mode) (held map[string]int, ok bool) {
	held = map[string]int{}
	for _, m := range modes {
		if m.Exclusive() && len(modes) > 1 {
			return nil, false
		}
		held[m.Name] += m.Weight
	}
	return held, true
}

// fits reports whether a hold of that mode may be added, in the place of `instead` if that is given: that hold has the lock already, and
// is not asked by its limit.
func (s *step) fits(m Mode, instead string) bool {
	modes := []Mode{m}
	for i := range s.Holds {
		if s.Holds[i].Token != instead {
			modes = append(modes, s.Holds[i].Request.Mode)
		}
	}
	held, shared := weights(modes)
	s.barred = false
	if !m.Exclusive() && instead == "" && s.limited() && !s.Limit.allows(held) {
		s.barred = shared && (len(modes) == 1 || !slices.ContainsFunc(modes, func(m Mode) bool { return m.Rules == "-" }))
		return false
	}
	return Together(modes) && (len(modes) == 1 || m.Heeds(held, true))
}

// limited reports whether the lock has a limit.
func (s *step) limited() bool {
	s.Limit = s.Limit.anew(s.Now)
	if s.Now-max(s.Limit.Until, s.Limit.Version) >= s.Rules.Tombstone {
		s.Limit = Limit{} // a copy of an earlier request is too old by now
	}
	return s.Limit.Until > s.Now
}

// distinct is how many different modes may be in use on one lock at a time.
const distinct = 32

// clash returns the rules with which the mode's name is in use on this lock, if they name other modes. True without rules means
// that too many modes are in use.
func (l *Lock) clash(m Mode) (rules string, clashes bool) {
	if m.Exclusive() {
		return "", false
	}
	used := map[Mode]bool{}
	for _, other := range l.modes() {
		if other.Name == m.Name && other.Shape() != m.Shape() {
			return other.Rules, true
		}
		other.Weight = 0
		used[other] = true
	}
	m.Weight = 0
	return "", len(used) >= distinct && !used[m]
}

// modes are those of all holds and places that are not exclusive.
func (l *Lock) modes() (modes []Mode) {
	for i := range l.Holds {
		modes = append(modes, l.Holds[i].Request.Mode)
	}
	for i := range l.Queue {
		modes = append(modes, l.Queue[i].Request.Mode)
	}
	used := modes[:0]
	for _, m := range modes {
		if !m.Exclusive() {
			used = append(used, m)
		}
	}
	return used
}
