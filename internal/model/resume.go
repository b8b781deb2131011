package model

import "slices"

// Resume moves a hold to another owner, with a new token and a new fence: what the old owner still sends is late.
//
//	granted
//	gone      the hold is over, or another has it already
//	over      as for an acquire
type Resume struct {
	Token   string
	Request Request // its mode is that of the hold
	Old     string
	Fence   Micros // of the old hold
}

func (r Resume) execute(s *step) Answer {
	if s.tombstone(r.Token) != nil {
		s.undone = true
		return Answer{Status: "over", Now: s.Now}
	}
	s.expire()
	h, old := s.hold(r.Token), s.hold(r.Old)
	if h == nil && old != nil && old.State == Held && old.Fence >= r.Fence {
		was := *old
		s.pass(old, old.Deadline())
		r.Request.Mode = was.Request.Mode
		next := *s.grant(r.Token, r.Request, r.Request.Lease)
		next.Since = was.Since // it is as old as it was, and stands where it stood
		s.remove(r.Token)
		i := slices.IndexFunc(s.Holds, func(h Hold) bool { return h.Token == r.Old })
		s.Holds[i] = next
		h = s.hold(r.Token)
	}
	if h == nil {
		s.handOver()
		return Answer{Status: "gone", Now: s.Now}
	}
	a := granted(s.Now, h)
	a.Note = h.Request.Mode.line("")
	return a
}
