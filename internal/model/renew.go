package model

// Renew makes the lease whole again, counted from now, and a claim into a hold.
//
//	renewed
//	revoked   it was stolen, or broken with a note: its owner gives it up
//	gone      the hold is over
//
// With Tombstone it leaves one for the token, which nobody will release: its owner hands the hold off. With Last it renews nothing.
// With Keep it is the last renewal (ReleaseAfter): the hold is nobody's then and lasts that long, and neither a renewal
// that was under way nor a copy of this one moves its end.
type Renew struct {
	Token     string
	Fence     Micros // of the grant that is meant
	Tombstone bool
	Last      bool
	Keep      bool
	Lease     Micros // of the last renewal
	Long      Micros // and for how long the key outlives it
}

func (r Renew) execute(s *step) Answer {
	s.expire()
	h := s.hold(r.Token)
	if h == nil || h.Fence < r.Fence && s.Rules.has(NamedFence) {
		last := s.Fence // before this script grants
		s.handOver()
		if t := s.tombstone(r.Token); t != nil && t.Note != "" {
			return Answer{Status: "revoked", Now: s.Now, Note: t.Note}
		}
		return Answer{Status: "gone", Now: s.Now, Fence: last}
	}
	switch {
	case h.State == Revoked:
		return Answer{Status: "revoked", Now: s.Now}
	case h.State == Kept && r.Keep:
		return Answer{Status: "renewed", Now: s.Now}
	case h.State == Kept:
		return Answer{Status: "gone", Now: s.Now, Fence: s.Fence}
	}
	if r.Tombstone || r.Last {
		s.lay(r.Token, "")
	}
	lease, long := h.Request.Lease, h.Request.Keep
	if r.Keep {
		lease, long = r.Lease, r.Long
		h.State = Kept
	}
	if !r.Last {
		h.At, h.Lease = s.Now, lease
		s.changed = true
	}
	s.remember(long)
	return Answer{Status: "renewed", Now: s.Now}
}
