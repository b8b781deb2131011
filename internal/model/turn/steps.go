package turn

// time is the step in which time passes, whatever anybody is about to do: A may be paused.
func (w *walk) time() {
	if w.from.Time < w.MostTime {
		w.step("time passes", func(s *State) { s.Time++ })
	}
}

// process are the steps of A.
func (w *walk) process() {
	a := &w.from.A
	if a.Arrivals > 0 && !a.Waiters[1].Here {
		w.step("a waiter comes to A", func(s *State) {
			s.A.Arrivals--
			i := 0
			if s.A.Waiters[0].Here {
				i = 1
			}
			s.A.Waiters[i] = Waiter{Here: true, Arrived: s.clock(), Later: s.waiting(B)}
		})
	}
	if !a.Has {
		if a.Waiters[0].Here && !w.from.waiting(A) {
			w.step("A asks the server", func(s *State) {
				w.expire(s)
				w.handOver(s)
				if s.Hold.Of == Nobody {
					w.grant(s, A)
				} else {
					s.join(A)
				}
			})
		}
		return
	}
	if a.Body {
		w.step("the body of A ends", func(s *State) {
			s.A.Body = false
			w.rest(s)
		})
	} else {
		w.serve()
		if !w.from.Release.Sent {
			w.step("A gives the lock back", func(s *State) { w.giveBack(s) })
		}
	}
	if w.from.Left.Renewals > 0 {
		w.step("A renews", func(s *State) {
			s.Left.Renewals--
			w.expire(s)
			switch {
			case s.Hold.Number != s.A.Number || s.Hold.Revoked:
				w.giveBack(s)
			case s.Time < s.A.Bound:
				s.Hold.At, s.A.Bound, s.A.Sample = s.clock(), s.Time+w.Lease, s.Offset
			}
			w.handOver(s)
		})
	}
	if w.from.Time >= a.Bound && !w.from.Release.Sent {
		w.step("A sees that its bound has passed", func(s *State) { w.giveBack(s) })
	}
}

// mayServe reports whether the first waiter of A may be served without the server, but for its fence.
func (w *walk) mayServe(s *State) bool {
	a := &s.A
	first := a.Waiters[0]
	switch {
	case !first.Here:
		return false
	case s.Time >= a.Bound && w.has(LookAtBound), s.Time-a.Since >= w.Most && w.has(Longest):
		return false
	}
	return !a.Waited || first.Arrived < a.Ticket || s.Time-a.Since < w.Turn || !w.has(TicketFirst)
}

// serve is a local grant.
func (w *walk) serve() {
	a := &w.from.A
	now := w.from.Time + a.Sample
	fence := max(a.Last+1, now-1)
	if !w.mayServe(w.from) || fence >= now && w.has(BelowClock) {
		return
	}
	w.step("A serves a waiter", func(s *State) {
		first := s.A.Waiters[0]
		switch {
		case s.A.Ignored: // the data was lost: nothing tells A before its next renewal
		case s.A.Over:
			if fence >= s.Fence {
				w.fault = "a hold that is over, and gives a fence that is not below that of who comes after"
			}
		case fence <= s.Greatest:
			w.fault = "a local grant whose fence is not above all before"
		}
		if s.A.Waited && first.Later && s.waiting(B) && s.Time-s.A.Since >= w.Turn && s.Left.Backs == w.Faults.Backs { // who came first is told by the clock
			w.fault = "A passes who waits"
		}
		if s.B.Holds && s.Time < s.B.Bound && !s.A.Over && !s.A.Ignored { // whatever A's bound says: it has just been granted the lock
			w.fault = "two holders"
		}
		if s.Time-s.A.Since >= w.Most {
			w.fault = "A keeps the lock for too long"
		}
		if !s.A.Over {
			s.Greatest = max(s.Greatest, fence)
		}
		s.A.Last, s.A.Body = fence, true
		s.A.Waiters = [2]Waiter{s.A.Waiters[1]}
	})
}

// rest is what A does with an idle lock: it keeps it for a waiter, or lingers, or gives it back.
func (w *walk) rest(s *State) {
	if w.mayServe(s) || !s.A.Waited && !s.A.Waiters[0].Here {
		return
	}
	if w.has(LingerAlone) && !s.Release.Sent {
		w.giveBack(s)
		return
	}
	if !w.has(LingerAlone) && s.A.Waited {
		w.fault = "an idle lock that somebody is known to wait for"
	}
}

// giveBack ends what A has of a hold, and sends the release.
func (w *walk) giveBack(s *State) {
	last := int8(0)
	if w.has(CarriesLast) && s.A.Last > s.A.Own {
		last = s.A.Last
	}
	if !s.Release.Sent {
		s.Release = Message{Sent: true, Number: s.A.Number, Value: last}
	}
	s.A = Process{Waiters: s.A.Waiters, Arrivals: s.A.Arrivals}
}

// messages are the steps in which one arrives.
func (w *walk) messages() {
	if m := w.from.Release; m.Sent {
		w.step("a release of A's is executed", func(s *State) {
			s.Release = Message{}
			w.expire(s)
			if s.Hold.Of == A && s.Hold.Number == m.Number {
				s.Fence = max(s.Fence, m.Value)
				s.Hold = Hold{}
			}
			w.handOver(s)
		})
	}
	if m := w.from.Recall; m.Sent {
		arrives := func(twice bool) func(*State) {
			return func(s *State) {
				if twice {
					s.Left.Doubles--
				} else {
					s.Recall = Message{}
				}
				if !s.A.Has || s.A.Number != m.Number {
					return
				}
				if !s.A.Waited || m.Value < s.A.Ticket {
					s.A.Waited, s.A.Ticket = true, m.Value
				}
				if !s.A.Body {
					w.rest(s)
				}
			}
		}
		w.step("a recall arrives", arrives(false))
		if w.from.Left.Doubles > 0 {
			w.step("a copy of a recall arrives", arrives(true))
		}
		if w.from.Left.Lost > 0 {
			w.step("a recall is lost", func(s *State) {
				s.Left.Lost--
				s.Recall = Message{}
			})
		}
	}
	if m := w.from.Revoked; m.Sent {
		w.step("A hears that its hold was taken away", func(s *State) {
			s.Revoked = Message{}
			if s.A.Has && s.A.Number == m.Number {
				w.giveBack(s)
			}
		})
	}
}

// other are the steps of B.
func (w *walk) other() {
	b := &w.from.B
	if b.Rounds > 0 && !b.Holds && !w.from.waiting(B) && !w.from.Recall.Sent {
		w.step("B asks the server", func(s *State) {
			s.B.Rounds--
			w.expire(s)
			w.handOver(s)
			if s.Hold.Of == Nobody {
				w.grant(s, B)
				return
			}
			if first, p := s.empty(), s.join(B); first && s.Hold.Of == A { // the first to wait tells the holder
				s.Recall = Message{Sent: true, Number: s.Hold.Number, Value: p.Ticket}
			}
			for i := range s.A.Waiters {
				s.A.Waiters[i].Later = false
			}
		})
	}
	if w.from.waiting(B) {
		w.step("B checks", func(s *State) {
			w.expire(s)
			w.handOver(s)
		})
	}
	if b.Holds {
		w.step("the body of B ends", func(s *State) {
			s.B.Holds, s.B.Bound = false, 0
			w.expire(s)
			if s.Hold.Of == B {
				s.Hold = Hold{}
			}
			w.handOver(s)
		})
	}
}
