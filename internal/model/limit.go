package model

import "example.com/redislock/internal/protocol"

// Limit is how many units of some modes may be held on a lock, whatever their own rules say. Each of its rules counts all holds.
type Limit struct {
	Rules   string
	Until   Micros
	Version Micros // it rises with each that is set
	Long    Micros // for how long it was set
}

// anew is the limit at that time. One that was set before the clock went back stands for as long as it was set for, from now on:
// a hold that begins in the future likewise begins anew.
func (l Limit) anew(now Micros) Limit {
	l.Until = min(l.Until, now+l.Long)
	return l
}

func (l Limit) allows(held map[string]int) bool { return l.beyond(held) == 0 }

// beyond is by how many units the holds are more than the limit allows.
func (l Limit) beyond(held map[string]int) (over int) {
	for _, r := range (protocol.Mode{Rules: l.Rules}).ListRules() {
		sum := 0
		for _, name := range r.Modes {
			sum += held[name]
		}
		over += max(0, sum-r.Most)
	}
	return over
}

// SetLimit sets the limit of a lock. Without a version it reads the limit. Waiters are granted the lock as far as the new
// limit allows. It answers
//
//	limit     that of the lock now
//	over      it is late: another has set it since it was read, or that is too long ago
type SetLimit struct {
	Version Micros
	Rules   string // "-" for none
	Long    Micros
}

func (l SetLimit) execute(s *step) Answer {
	last, long := s.Limit.Version, l.Long
	if l.Rules == "-" {
		long = 0
	}
	if l.Version == 0 {
		s.undone = true
		return s.limitAnswer()
	}
	same := last == l.Version && s.Limit.Rules == l.Rules
	ahead := l.Version > s.Now && !(last >= s.Now && l.Version == last+1) // it was read before the clock went back
	if s.Now-l.Version > s.Rules.Tombstone || (last >= l.Version || ahead) && !same {
		s.undone = true
		return Answer{Status: "over"}
	}
	if !same || long > s.Limit.Long { // of two that set the same at once the longer time counts
		s.Limit = Limit{l.Rules, s.Now + long, l.Version, long}
		if s.Fence == 0 {
			s.Fence = s.Now
		}
		s.remember(max(s.Rules.Keep, (long+Second-1)/Second*Second+Second))
		s.changed = true
	}
	version := s.Limit.Version // before a hand-over finds that it is over
	s.expire()
	more := s.handOver()
	a := s.limitAnswer()
	a.More, a.Ticket = more, max(s.Now, version+1)
	return a
}

// limitAnswer is what the limit is now. The ticket is the version that the next one has: the time, and greater than the one before.
func (s *step) limitAnswer() Answer {
	a := Answer{Status: "limit", Note: "-", Ticket: max(s.Now, s.Limit.Version+1)}
	if l := s.Limit.anew(s.Now); l.Until > s.Now {
		a.At, a.Note = l.Until, l.Rules
	}
	return a
}
