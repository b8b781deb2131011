package model

// Confirm is how the owner of a new grant says that it has it, before it relies on it. The full lease counts from then. If data
// was lost and the clock is behind, the fence is raised above those that its Client has seen of the name.
//
//	granted
//	gone      the hold is over, or revoked
//	ahead     the caller's fence is farther ahead of the clock than Rules.Skew: nothing has changed
type Confirm struct {
	Token string
	Floor Micros // that the caller has named as seen
	Seen  Micros // the greatest that its Client has seen
}

func (c Confirm) execute(s *step) Answer {
	s.expire()
	h := s.hold(c.Token)
	if h == nil || h.State != Held {
		s.handOver()
		return Answer{Status: "gone", Now: s.Now}
	}
	floor, limit := c.Floor, s.Now+s.Rules.Skew
	if h.Fence <= floor && floor > limit {
		return Answer{Status: "ahead", Now: s.Now}
	}
	if c.Seen > floor && c.Seen <= limit {
		floor = c.Seen
	}
	if h.Fence <= floor {
		s.Fence = max(floor, s.Fence) + 1 // I2: and greater than the fence of every other hold
		h.Fence = s.Fence
	}
	h.At, h.Lease = s.Now, h.Request.Lease
	s.changed = true
	s.remember(h.Request.Keep)
	return granted(s.Now, h)
}
