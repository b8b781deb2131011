package model

// Acquire asks for the lock, or for a place in its queue.
//
//	granted   it is a hold, with a fence
//	waiting   it has a place, with a ticket
//	full      so many wait that it may not, and nothing of it is left
//	held      it did not want to wait, and nothing of it is left
//	over      it was given up before: a tombstone says so
//	clash     its mode's name is in use here with other rules
//	more      the queue is being cleaned: ask again
type Acquire struct {
	Token   string // names this one wait, and is never used again
	Request Request
	Steal   Micros // a hold that is as old is revoked; 0 and less: none
	Stale   bool   // Steal was given
	Ticket  Micros // of a place that was lost
	Back    bool   // Ticket was given
	Most    int    // how many may wait for this one to join them; 0: any number
	Wish    Micros // the fence that a quorum would like; 0 if none
}

func (a Acquire) execute(s *step) Answer {
	if s.tombstone(a.Token) != nil {
		s.undone = true
		return Answer{Status: "over", Now: s.Now}
	}
	s.expire()
	more := false
	if !s.has(a.Token) {
		more = s.handOver() // a free lock with a queue is a legal state: a hold may have ended with nobody looking
	}
	if s.hold(a.Token) == nil && s.place(a.Token) == nil {
		if rules, clashes := s.clash(a.Request.Mode); clashes {
			return Answer{Status: "clash", Now: s.Now, Note: rules}
		}
		// I5: a newcomer does not pass the queue.
		if (len(s.Queue) == 0 || !s.Rules.has(QueueFirst)) && !more && s.fits(a.Request.Mode, "") {
			last := s.Fence
			h := s.grant(a.Token, a.Request, a.Request.Lease)
			if last > 0 && last < a.Wish && a.Wish < s.Now && s.Now-a.Wish < s.Rules.WishAge { // so that all nodes of a quorum give the same
				s.Fence, h.Fence, h.Since = a.Wish, a.Wish, a.Wish
			}
		}
	}
	if h := s.hold(a.Token); h != nil { // I3: and so is the answer to a copy
		return granted(s.Now, h)
	}
	asks := &a.Request.Mode
	if a.Request.Wait == '-' && len(s.Queue) > 0 {
		asks = nil // what ends goes to those before it
	}
	_, leaving := s.steal(a.Steal, a.Stale, []string{a.Token}, asks)
	if a.Most > 0 && !more && s.place(a.Token) == nil && len(s.Queue) >= a.Most {
		more = s.trim(true) || s.trim(false) // places of Clients that are gone do not count
		if !more && len(s.Queue) >= a.Most {
			return Answer{Status: "full", Now: s.Now, Holder: s.holder()}
		}
	}
	waits, told := a.Request.Wait != '-', []Message(nil)
	if waits && !more && (s.place(a.Token) == nil || !s.Rules.has(SameAnswer)) {
		s.trim(true)
		told = s.recalls("")
		s.join(a.Token, a.Request, a.Ticket, a.Back)
	}
	s.recall(told)
	switch {
	case more:
		return Answer{Status: "more", Now: s.Now}
	case !waits:
		return Answer{Status: "held", Now: s.Now, Holder: s.holder(), Leaving: leaving}
	}
	return Answer{Status: "waiting", Now: s.Now, Ticket: s.place(a.Token).Ticket, Holder: s.holder()}
}

// recalls are the messages with which the first to wait tells the owners that take turns: a bounded number, and none behind a hold whose
// owner takes none. own is a hold of the one who waits.
func (s *step) recalls(own string) (told []Message) {
	if len(s.Queue) > 0 {
		return nil
	}
	for i, h := range s.Holds {
		switch {
		case i == s.Rules.Scan:
			return told
		case h.Token == own:
		case h.State != Held || !h.Request.Turns:
			return told
		default:
			told = append(told, Message{Kind: 'l', Channel: h.Request.Channel, Token: h.Token})
		}
	}
	return told
}

func (s *step) recall(told []Message) {
	if len(told) > 0 {
		s.store()
	}
	for _, m := range told {
		s.publish(m)
	}
}

// has reports whether a token holds the lock.
func (s *step) has(token string) bool { return s.hold(token) != nil }
