package turn

// What the server does. Each request begins with expire, and ends with handOver.

// expire drops a hold whose deadline has passed. One that begins in the future was granted before the clock went back.
func (w *walk) expire(s *State) {
	h := &s.Hold
	switch {
	case h.Of == Nobody:
	case s.clock() < h.At:
		w.past(s)
		h.At = s.clock()
	case s.clock() >= h.At+w.Lease:
		w.drop(s)
	}
}

// past sets the fence to the end of the hold's interval: its owner may have given any fence below that.
func (w *walk) past(s *State) {
	if s.Hold.Of == A && w.has(PastInterval) {
		s.Fence = max(s.Fence, s.Hold.At+w.Lease)
	}
}

// drop ends a hold otherwise than by a release.
func (w *walk) drop(s *State) {
	w.past(s)
	s.Hold = Hold{}
}

// handOver grants a free lock to the first in the queue.
func (w *walk) handOver(s *State) {
	if s.Hold.Of != Nobody || s.empty() {
		return
	}
	p := s.Queue[0]
	s.Queue[0], s.Queue[1] = s.Queue[1], Place{}
	w.grant(s, p.Of)
	if p.Of == A { // whether others wait behind it, A does not know: then they do, with later tickets
		s.A.Waited, s.A.Ticket = true, p.Ticket
	}
}

// grant is a grant of the server's.
func (w *walk) grant(s *State, to Owner) {
	s.Fence = max(s.Fence+1, s.clock())
	if s.Fence <= s.Greatest {
		w.fault = "a grant of the server's whose fence is not above all before"
	}
	s.Greatest = max(s.Greatest, s.Fence)
	s.Holds++
	s.Hold = Hold{Of: to, Number: s.Holds, Fence: s.Fence, At: s.clock()}
	if to == B {
		s.B.Holds, s.B.Bound = true, s.Time+w.Lease
		return
	}
	s.A = Process{
		Has: true, Number: s.Holds, Since: s.Time, Bound: s.Time + w.Lease, Sample: s.Offset, Own: s.Fence, Last: s.Fence, Body: true,
		Waiters: [2]Waiter{s.A.Waiters[1]}, Arrivals: s.A.Arrivals,
	}
}

// faults are the steps that befall the server.
func (w *walk) faults() {
	left := &w.from.Left
	if left.Backs > 0 {
		w.step("the server's clock goes back", func(s *State) {
			s.Left.Backs--
			s.Offset -= 3
		})
	}
	if left.Losses > 0 && w.from.clock() > w.from.Fence { // it takes time since the last grant of the server's (A4)
		w.step("the server loses its data", func(s *State) {
			s.Left.Losses--
			if s.Hold.Of == A {
				s.A.Ignored = s.A.Has && s.A.Number == s.Hold.Number
			}
			if s.waiting(B) {
				s.B.Rounds++ // it asks again
			}
			s.Hold, s.Queue, s.Fence = Hold{}, [2]Place{}, 0
			s.B.Holds = false // who of two holders may go on is not what is searched
		})
	}
	if left.Breaks > 0 && w.from.Hold.Of == A && !w.from.Revoked.Sent {
		w.step("an operator breaks the hold", func(s *State) {
			s.Left.Breaks--
			w.expire(s)
			if s.Hold.Of == A {
				s.Revoked = Message{Sent: true, Number: s.Hold.Number}
				s.A.Over = s.A.Has && s.A.Number == s.Hold.Number
				w.drop(s)
				s.Fence = max(s.Fence+1, s.clock())
			}
			w.handOver(s)
		})
	}
	if left.Steals > 0 && w.from.Hold.Of == A && w.from.waiting(B) && !w.from.Revoked.Sent {
		w.step("the hold is stolen", func(s *State) {
			s.Left.Steals--
			w.expire(s)
			if s.Hold.Of == A {
				s.Hold.Revoked = true
				s.Revoked = Message{Sent: true, Number: s.Hold.Number}
			}
			w.handOver(s)
		})
	}
}
