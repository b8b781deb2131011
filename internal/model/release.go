package model

// Release gives up the hold or the place with this token. (A place is given up when its wait is cancelled.) Then the lock is
// handed over. A token is used for one wait, so naming it names the grant.
//
//	hold, place   that was given up
//	none          there was nothing. The note says why the hold was broken, the fence which was the last one
//
// With Tombstone it leaves one: an acquire of this token had no answer, and a copy of it may come late.
//
// Last is the last fence that the owner gave in its turn, if it Tells one.
type Release struct {
	Token     string
	Tombstone bool
	Last      Micros
	Tells     bool
}

func (r Release) execute(s *step) Answer {
	a := Answer{Status: "none"}
	switch {
	case s.hold(r.Token) != nil:
		s.pass(s.hold(r.Token), r.Last)
		s.remove(r.Token)
		a.Status = "hold"
	case s.place(r.Token) != nil:
		s.leave(r.Token)
		a.Status = "place"
	default:
		if t := s.tombstone(r.Token); t != nil {
			a.Note = t.Note
		}
		a.Fence = s.Fence // before this script grants
	}
	if r.Tombstone {
		s.lay(r.Token, "")
	}
	s.expire()
	a.More = s.handOver()
	return a
}
