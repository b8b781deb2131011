package model

// Renew makes the lease whole again, counted from now, and a claim into a hold.
//
//	renewed
//	revoked   it was stolen, or broken with a note: its owner gives it up
//	gone      the hold is over
type Renew struct {
	Token string
	Fence Micros // of the grant that is meant
}

func (r Renew) execute(s *step) Answer {
	h, over := s.own(r.Token, r.Fence)
	switch {
	case h == nil:
		return over
	case h.State == Kept:
		return Answer{Status: "gone", Now: s.Now, Fence: s.Fence}
	}
	h.At, h.Lease = s.Now, h.Request.Lease
	s.changed = true
	s.remember(h.Request.Keep)
	return Answer{Status: "renewed", Now: s.Now}
}

// Keep is the last request of an owner that leaves its hold, and the hold stays. For ReleaseAfter it stays for the given length,
// and neither a renewal that was under way nor a copy of this request moves its end. For Handoff it stays as it is, for another
// owner to resume.
//
//	kept
//	revoked, gone   as in Renew
type Keep struct {
	Token     string
	Fence     Micros // of the grant that is meant
	Lease     Micros // from now; 0: the hold's end stays
	Long      Micros // and for how long the key outlives it
	Tombstone bool   // an acquire of the token had no answer, and nobody will release it
}

func (k Keep) execute(s *step) Answer {
	h, over := s.own(k.Token, k.Fence)
	switch {
	case h == nil:
		return over
	case h.State == Kept && k.Lease == 0:
		return Answer{Status: "gone", Now: s.Now, Fence: s.Fence}
	case h.State == Kept:
		return Answer{Status: "kept", Now: s.Now}
	}
	if k.Tombstone {
		s.lay(k.Token, "")
	}
	if k.Lease > 0 {
		h.At, h.Lease, h.State = s.Now, k.Lease, Kept
		s.changed = true
		s.remember(k.Long)
	}
	return Answer{Status: "kept", Now: s.Now}
}

// own is the hold that its owner names, or the answer if that hold is over.
func (s *step) own(token string, fence Micros) (*Hold, Answer) {
	s.expire()
	h := s.hold(token)
	switch {
	case h == nil || h.Fence < fence && s.Rules.has(NamedFence):
		last := s.Fence // before this script grants
		s.handOver()
		if t := s.tombstone(token); t != nil && t.Note != "" {
			return nil, Answer{Status: "revoked", Now: s.Now, Note: t.Note}
		}
		return nil, Answer{Status: "gone", Now: s.Now, Fence: last}
	case h.State == Revoked:
		return nil, Answer{Status: "revoked", Now: s.Now}
	}
	return h, Answer{}
}
