package model

// steal revokes the holds that are older than a waiter tolerates, and tells their owners. They stay until their owners give them
// up, or until their deadline: there are never two bodies inside their bounds. The freed lock goes to the first waiter of the
// queue.
func (s *step) steal(age Micros, stale bool) (more bool) {
	if !stale {
		return false
	}
	var told []Hold
	h := s.oldest()
	for ; h != nil && s.Now-h.Since >= age; h = s.oldest() {
		if len(told) == s.Rules.Scan {
			more = true
			break
		}
		h.State, s.changed = Revoked, true
		told = append(told, *h)
		if !s.Rules.has(AcknowledgedSteal) {
			s.drop(h.Token)
			s.handOver()
		}
	}
	if len(told) == 0 {
		return false
	}
	s.remember(s.Rules.Keep)
	s.store()
	for _, h := range told {
		s.publish(Message{Kind: 's', Channel: h.Request.Channel, Token: h.Token})
	}
	return more
}

// oldest is the first hold that is neither revoked nor kept.
func (s *step) oldest() *Hold {
	for i := range s.Holds {
		if s.Holds[i].State == Held {
			return &s.Holds[i]
		}
	}
	return nil
}

// Break is the operator's: it ends holds at once, and tells their owners why. It names the fence of each hold to end, so a copy
// of the request breaks no other hold.
type Break struct {
	Reason string
	Holds  []Grant
}

// Grant names one grant of a lock.
type Grant struct {
	Token string
	Fence Micros
}

func (b Break) execute(s *step) Answer {
	s.expire()
	a := Answer{Status: "broken"}
	var ended []Hold
	for _, meant := range b.Holds {
		h := s.hold(meant.Token)
		switch {
		case h != nil && h.Fence == meant.Fence:
			ended = append(ended, *h)
			a.Fence = max(a.Fence, meant.Fence)
			s.drop(meant.Token)
			s.lay(meant.Token, b.Reason) // for an owner whom the message does not reach, and for a copy of this request
		case h == nil:
			if t := s.tombstone(meant.Token); t != nil && t.Note == b.Reason {
				a.Before++
				a.Last = max(a.Last, meant.Fence)
			}
		}
	}
	if len(ended) > 0 {
		s.Fence = s.nextFence() // so a fence that is still the last one says, to its owner, that this did not happen
		s.store()
	}
	for _, h := range ended {
		s.publish(Message{Kind: 's', Channel: h.Request.Channel, Token: h.Token, Note: b.Reason})
	}
	a.Count = len(ended)
	a.More = s.handOver()
	return a
}
