package readers

import "example.com/redislock/internal/model/search"

// Steps are all steps from a state.
func (c *Config) Steps(s *State) []search.Step[State] {
	w := walk{Config: c, from: s}
	if s.Time < c.MostTime { // whatever anybody is about to do: A may be paused
		w.step("time passes", func(s *State) { s.Time++ })
	}
	w.process()
	w.messages()
	w.writer()
	return w.steps
}

type walk struct {
	*Config
	from  *State
	steps []search.Step[State]
	fault string // of the step that is being made
}

// step adds one, made of a copy of the state.
func (w *walk) step(what string, change func(*State)) {
	to := *w.from
	w.fault = ""
	change(&to)
	for _, d := range to.Doors {
		if d.Inside > 0 && to.Time < d.Bound && d.Number != to.Broken && to.Time < to.Wrote {
			w.fault = "a reader beside a writer"
		}
	}
	w.steps = append(w.steps, search.Step[State]{What: what, To: to, Fault: w.fault})
}

// open reports whether A lets readers in by a door.
func (w *walk) open(s *State, d *Door) bool {
	return d.Number > 0 && !d.Shut && (s.Time < d.Bound || !w.has(WithinBound)) && (s.Time-d.Since < w.Most || !w.has(Longest))
}

// enter lets a reader in.
func (w *walk) enter(s *State, d *Door) {
	d.Inside++
	switch {
	case d.Number == s.Broken: // nothing has told A yet
	case s.Time < s.Wrote:
		w.fault = "a reader beside a writer"
	case s.waits(B) && d.Number == s.Heard:
		w.fault = "a reader passes who is known to wait"
	case s.waits(B) && d.OutOfQueue:
		w.fault = "a reader passes who waited before it"
	case s.Time-d.Since >= w.Most:
		w.fault = "a reader is let in too late"
	}
}

// process are the steps of A.
func (w *walk) process() {
	if w.from.Comers > 0 {
		w.step("a reader comes", func(s *State) {
			s.Comers--
			d := &s.Doors[0]
			switch {
			case s.Asked > 0 && s.Queued: // it asks for itself alone, as others do
			case s.Asked > 0:
				s.Line++
			case w.open(s, d):
				w.enter(s, d)
			case d.Number == 0 || d.Inside == 0:
				if d.Number > 0 {
					w.release(s, d)
				}
				s.Asked = s.Time + 1
			case s.Doors[1].Number == 0:
				s.Doors[1], s.Doors[0] = *d, Door{}
				s.Doors[1].Shut = true
				s.Asked = s.Time + 1
			}
		})
	}
	if w.from.Asked > 0 && !w.from.waits(A) && w.from.Answer.Number == 0 && w.from.room() {
		w.step("the server takes A's acquire", func(s *State) {
			w.expire(s)
			if s.Writer.Number == 0 && s.Queue[0] == Nobody {
				w.grant(s, false)
				return
			}
			s.join(A)
		})
	}
	if w.from.waits(A) && !w.from.Queued {
		w.step("A hears that it waits", func(s *State) { s.Queued, s.Line = true, 0 })
	}
	for i := range w.from.Doors {
		d := &w.from.Doors[i]
		switch {
		case d.Number == 0:
			continue
		case d.Inside > 0:
			w.step("a reader leaves", func(s *State) {
				d := &s.Doors[i]
				d.Inside--
				if d.Inside == 0 && (d.Shut || i == 1) || !w.has(LastOne) {
					w.release(s, d)
				}
			})
		default:
			w.step("A does not linger any longer", func(s *State) { w.release(s, &s.Doors[i]) })
		}
		if d.Inside > 0 && (w.from.Time >= d.Bound || d.Number == w.from.Broken) {
			w.step("A hears that its hold is over", func(s *State) { s.Doors[i] = Door{} })
		}
	}
}

// release forgets a door, and sends the release of its hold. Where two are on their way, it waits.
func (w *walk) release(s *State, d *Door) {
	for i := range s.Releases {
		if s.Releases[i] == 0 {
			s.Releases[i] = d.Number
			break
		}
	}
	if inside := d.Inside; inside > 0 { // without LastOne
		d.Shut = true
		return
	}
	*d = Door{}
}

// messages are the steps in which one arrives.
func (w *walk) messages() {
	if w.from.Answer.Number > 0 {
		w.step("A has the lock", func(s *State) {
			a := s.Answer
			s.Answer = Answer{}
			s.Doors[0] = Door{
				Number: a.Number, Since: a.Since, Bound: s.Asked - 1 + w.Lease, OutOfQueue: a.OutOfQueue,
				Shut: s.Early && w.has(ShutEarly) || a.OutOfQueue && w.has(AtOnce),
			}
			if a.OutOfQueue {
				s.Doors[0].Bound = a.Since + w.Lease
			}
			line := s.Line
			s.Asked, s.Queued, s.Early, s.Line = 0, false, false, 0
			s.Doors[0].Inside = 1
			for ; line > 0 && w.open(s, &s.Doors[0]); line-- { // the others ask for themselves alone
				w.enter(s, &s.Doors[0])
			}
		})
	}
	for i, number := range w.from.Recalls {
		if number == 0 {
			continue
		}
		w.step("a recall arrives", func(s *State) {
			s.Recalls[i], s.Heard = 0, number
			s.Early = s.Early || number == s.Answer.Number
			for i := range s.Doors {
				d := &s.Doors[i]
				if d.Number != number {
					continue
				}
				d.Shut = d.Shut || w.has(ShutByRecall)
				switch {
				case d.Inside > 0:
				case w.has(IdleIsRecalled):
					w.release(s, d)
				case s.waits(B):
					w.fault = "an idle lock for which somebody is known to wait"
				}
			}
		})
		if w.from.Lost > 0 {
			w.step("a recall is lost", func(s *State) {
				s.Lost--
				s.Recalls[i] = 0
			})
		}
	}
	for i, number := range w.from.Releases {
		if number > 0 {
			w.step("a release is executed", func(s *State) {
				s.Releases[i] = 0
				w.expire(s)
				w.drop(s, number)
				w.handOver(s)
			})
		}
	}
}

// writer are the steps of B, and of an operator.
func (w *walk) writer() {
	s := w.from
	if s.Rounds > 0 && s.Wrote == 0 && !s.waits(B) && s.Recalls == [4]int8{} {
		w.step("B asks the server", func(s *State) {
			s.Rounds--
			w.expire(s)
			if s.Holds == [4]Hold{} && s.Writer.Number == 0 && s.Queue[0] == Nobody {
				w.write(s)
				return
			}
			if s.Queue[0] == Nobody { // the first to wait tells the holders
				for i, h := range s.Holds {
					s.Recalls[i] = h.Number
				}
			}
			s.join(B)
		})
	}
	if s.waits(B) {
		w.step("B checks", func(s *State) { w.expire(s) })
	}
	if s.Wrote > 0 {
		w.step("B is done", func(s *State) {
			s.Wrote, s.Writer = 0, Hold{}
			w.expire(s)
		})
	}
	for _, h := range s.Holds {
		if h.Number > 0 && s.Breaks > 0 {
			w.step("an operator breaks a hold", func(s *State) {
				s.Breaks--
				s.Broken = h.Number
				w.drop(s, h.Number)
				w.handOver(s)
			})
		}
	}
}

// expire drops what has lapsed.
func (w *walk) expire(s *State) {
	for _, h := range s.Holds {
		if h.Number > 0 && s.Time >= h.At+w.Lease {
			w.drop(s, h.Number)
		}
	}
	if s.Writer.Number > 0 && s.Time >= s.Writer.At+w.Lease {
		s.Writer = Hold{}
	}
	w.handOver(s)
}

func (w *walk) drop(s *State, number int8) {
	for i := range s.Holds {
		if s.Holds[i].Number == number {
			s.Holds[i] = Hold{}
		}
	}
}

// handOver grants the lock to those at the head of the queue who may have it.
func (w *walk) handOver(s *State) {
	for s.Queue[0] != Nobody {
		if s.Writer.Number > 0 || s.Queue[0] == B && s.Holds != [4]Hold{} {
			return
		}
		next := s.Queue[0]
		s.Queue = [2]Owner{s.Queue[1]}
		if next == A {
			w.grant(s, true)
		} else {
			w.write(s)
		}
	}
}

// grant gives A a hold. There is room (process).
func (w *walk) grant(s *State, outOfQueue bool) {
	s.Number++
	h := Hold{s.Number, s.Time}
	for i := range s.Holds {
		if s.Holds[i].Number == 0 {
			s.Holds[i] = h
			break
		}
	}
	s.Answer = Answer{s.Number, s.Time, outOfQueue}
}

// write gives B the lock.
func (w *walk) write(s *State) {
	s.Writer = Hold{1, s.Time}
	s.Wrote = s.Time + w.Lease
}

func (s *State) join(o Owner) {
	if s.Queue[0] == Nobody {
		s.Queue[0] = o
	} else {
		s.Queue[1] = o
	}
}
