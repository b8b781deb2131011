package model

import "slices"

// join gives a token a place in the queue. A ticket is the time of joining, later than every earlier ticket. A waiter that lost
// its place has its old ticket, and joins at the position of that ticket. The search is bounded: in a longer queue the waiter
// joins before the last places that were searched, which all came later.
func (s *step) join(token string, r Request, ticket Micros, back bool) {
	n := len(s.Queue)
	at, last := n, Micros(0)
	if n > 0 {
		last = s.Queue[n-1].Ticket
	}
	if !back {
		ticket = max(last+1, s.Now)
		if !s.Rules.has(TicketsByTime) {
			ticket = last + 1
		}
	}
	if ticket < last {
		at = slices.IndexFunc(s.Queue, func(p Place) bool { return p.Ticket > ticket })
		if at >= s.Rules.Walk && n-at > s.Rules.Walk {
			at = n - s.Rules.Walk - 1
		}
	}
	if i := slices.IndexFunc(s.Queue, func(p Place) bool { return p.Ticket == ticket }); i >= 0 && !s.Rules.has(TicketsByTime) {
		s.Queue[i] = Place{Token: token, Ticket: ticket, Request: r} // a place was known by its ticket
		return
	}
	s.insert(at, Place{Token: token, Ticket: ticket, Request: r})
}

func (s *step) insert(at int, p Place) {
	s.heard(p.Request.Channel, p.Request.Wait)
	s.Queue = slices.Insert(s.Queue, at, p)
	s.shared = s.shared || !p.Request.Mode.Exclusive()
	s.changed = true
}

// leave takes a place out of the queue.
func (s *step) leave(token string) {
	s.presence(s.place(token).Request.Channel)
	s.Queue = slices.DeleteFunc(s.Queue, func(p Place) bool { return p.Token == token })
	s.changed = true
}

// trim clears away places of dead Clients at one end of the queue. Without it they would pile up behind a long hold. True if
// there may be more of them at that end.
func (s *step) trim(tail bool) bool {
	for range s.Rules.Trim {
		if len(s.Queue) == 0 {
			return false
		}
		p := s.Queue[0]
		if tail {
			p = s.Queue[len(s.Queue)-1]
		}
		if s.heardOf(s.presence(p.Request.Channel)) {
			return false
		}
		s.leave(p.Token)
	}
	return true
}

// presence is what is known of a Client. One that was seen in the future was seen before the clock went back.
func (s *step) presence(channel string) *Presence {
	i, known := slices.BinarySearchFunc(s.Presences, channel, func(p Presence, channel string) int {
		switch {
		case p.Channel < channel:
			return -1
		case p.Channel > channel:
			return 1
		}
		return 0
	})
	if !known {
		s.Presences = slices.Insert(s.Presences, i, Presence{Channel: channel, Wait: 'u'})
	}
	p := &s.Presences[i]
	if s.Rules.has(Anchored) {
		p.Seen = min(p.Seen, s.Now)
	}
	return p
}

// heard notes that a Client lives, and whether its receivers can be counted.
func (s *step) heard(channel string, wait byte) {
	p := s.presence(channel)
	p.Seen, p.Wait = s.Now, wait
}

// heardOf reports whether a Client was seen lately. If not it has lost its places, all of them.
func (s *step) heardOf(p *Presence) bool {
	return s.Now-p.Seen <= s.Rules.Unseen || !s.Rules.has(SeenPerClient)
}

// reachable reports whether a message reaches a Client, as far as is known.
func (s *step) reachable(p *Presence) bool { return p.Wait == 'u' || s.Subscribed(p.Channel) }

// forgetAbsent forgets the Clients that have no places any more.
func (s *step) forgetAbsent() {
	s.Presences = slices.DeleteFunc(s.Presences, func(p Presence) bool {
		return !slices.ContainsFunc(s.Queue, func(q Place) bool { return q.Request.Channel == p.Channel })
	})
}

// bury takes a tombstone away.
func (s *step) bury(token string) {
	s.Lock.Tombstones = slices.DeleteFunc(s.Tombstones, func(t Tombstone) bool { return t.Token == token })
}
