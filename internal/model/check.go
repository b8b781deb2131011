package model

// Check is the request in which one Client asks what became of its waits. It never joins the queue, and grants only to waits that
// have a place. (If it did, a check that is overtaken by a grant and a release would take the lock for nobody.) It repairs the
// queue, makes a claim whose message was lost into a hold, and says that its Client lives.
//
// For each token: granted, waiting, or gone, whose caller asks anew with its old ticket.
type Check struct {
	Channel string
	Wait    byte
	Steal   Micros
	Stale   bool
	Tokens  []string
}

func (c Check) execute(s *step) Answer {
	for i := range s.Queue {
		if s.Queue[i].Request.Channel == c.Channel { // before the queue is looked at: who comes back from a pause keeps its place
			s.heard(c.Channel, c.Wait)
			s.remember(s.Rules.Keep)
			break
		}
	}
	s.expire()
	more := s.handOver()
	if len(s.Queue) > 0 {
		again, _ := s.steal(c.Steal, c.Stale, c.Tokens, nil)
		more = more || again
	}
	s.trim(false)
	s.trim(true)
	var found []Answer
	for _, token := range c.Tokens {
		found = append(found, s.look(token, c))
	}
	return Answer{Status: "checked", Now: s.Now, More: more, Holder: s.holder(), Found: found}
}

func (s *step) look(token string, c Check) Answer {
	h := s.hold(token)
	switch {
	case h != nil && h.State == Held && s.Rules.has(CheckConfirms):
		h.At, h.Lease = s.Now, h.Request.Lease
		s.changed = true
		s.remember(h.Request.Keep)
		fallthrough
	case h != nil:
		return Answer{Status: "granted", Fence: h.Fence, At: h.At, Lease: h.Lease}
	case s.place(token) != nil:
		return Answer{Status: "waiting"}
	case !s.Rules.has(CheckNeverJoins) && len(s.Holds) == 0:
		h := s.grant(token, Request{Lease: s.Rules.Claim, Channel: c.Channel, Wait: c.Wait}, s.Rules.Claim)
		return Answer{Status: "granted", Fence: h.Fence, At: h.At, Lease: h.Lease}
	}
	return Answer{Status: "gone"}
}
