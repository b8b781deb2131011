package quorum

import "slices"

// What a node does. None of it looks at another node.

// grant makes an attempt the holder on a node, with a new fence.
func (n *Node) grant(k int, fences bool) { n.grantAs(k, fences, 0) }

// grantAs is the grant to a request that finds the lock free, with the fence that it would like.
func (n *Node) grantAs(k int, fences bool, wish int8) {
	switch {
	case fences && n.Last > 0 && n.Last < wish:
		n.Last = wish
	case fences:
		n.Last++
	}
	n.Holder, n.Held = int8(k), n.Last
	n.Links[k].Stage, n.Links[k].Fence = Granted, n.Last
}

// free ends the hold, and hands over to the oldest ticket in the queue.
func (n *Node) free(fences bool) {
	n.Holder, n.Held = -1, 0
	for k := range n.Links {
		if n.Links[k].Stage == Queued {
			n.grant(k, fences)
			return
		}
	}
}

// forget loses all data of a node. Its fences go on with its clock, which is past all that were given, unless it is slow. The
// waiters there find out, and ask again.
func (s *State) forget(i int, slow bool) {
	n, last := &s.Nodes[i], int8(0)
	for _, other := range s.Nodes {
		last = max(last, other.Last)
	}
	if slow {
		last = 0
	}
	n.Holder, n.Held, n.Last = -1, 0, last
	for k := range n.Links {
		if l := &n.Links[k]; l.Stage == Queued || l.Stage == Granted {
			*l = Link{Stage: Asked}
		}
	}
}

// node has the steps of a node that nobody asked for.
func (w *walk) node(i int) {
	n := &w.from.Nodes[i]
	if h := n.Holder; h >= 0 {
		stage := n.Links[h].Stage
		stepped := stage == Vote && w.from.Left.Steps > 0 && w.from.spare()
		if w.Clockless || stepped || stage == Granted && w.from.Left.Bounds > 0 || stage == Yielding || stage == Leaving {
			w.step(false, "a hold lapses", func(s *State) {
				if stepped {
					s.Left.Steps--
				}
				n := &s.Nodes[i]
				if stage == Granted { // the message is too late for its bound, and a check finds the place gone
					if !w.Clockless {
						s.Left.Bounds--
					}
					n.Links[h] = Link{Stage: Asked}
				}
				n.free(w.Fences)
			})
		}
	}
	if w.from.Left.Restarts > 0 && w.from.settled() {
		w.step(false, "a node comes back with nothing", func(s *State) {
			s.Left.Restarts--
			s.forget(i, w.SlowClocks)
			s.Nodes[i].Fresh = true
		})
	}
	if w.from.Left.Flushes > 0 && w.from.spare() {
		w.step(false, "a node loses its data", func(s *State) {
			s.Left.Flushes--
			s.forget(i, w.SlowClocks)
		})
	}
	if n.Fresh && !n.believed() {
		// every lease that it forgot is over
		w.step(true, "a node has been up for long enough", func(s *State) { s.Nodes[i].Fresh = false })
	}
}

// believed reports whether an attempt counts on a vote that the node does not have any more.
func (n *Node) believed() bool {
	for k, l := range n.Links {
		if l.Stage == Vote && n.Holder != int8(k) {
			return true
		}
	}
	return false
}

// settled reports whether an earlier loss of data is over: every node has been up for long enough, and everybody has noticed it.
func (s *State) settled() bool {
	for i := range s.Nodes {
		if n := &s.Nodes[i]; n.Fresh || n.believed() {
			return false
		}
	}
	return true
}

// spare reports whether an attempt that holds the lock, or is about to, has more votes than a majority needs. Then one node
// may fail in any way.
func (s *State) spare() bool {
	for k := range s.Attempts {
		if n := s.votes(k); n == Majority {
			return false
		}
	}
	return true
}

// link has the steps of what is on its way between an attempt and a node.
func (w *walk) link(i, k int) {
	n, a := &w.from.Nodes[i], &w.from.Attempts[k]
	l := n.Links[k]
	holds := n.Holder == int8(k)
	switch l.Stage {
	case Asked:
		if w.Clockless && n.Holder >= 0 || w.Fences && n.Last >= w.MostFences && n.Holder < 0 {
			return // it waits until the lock is free there; or this is far enough
		}
		wishes := []int8{w.Wishes[k]}
		if wish := w.Wishes[k]; w.AnyWish && wish > 0 {
			wishes = append(wishes, 0, wish+1)
		}
		for _, wish := range wishes {
			w.step(true, "a request is executed", func(s *State) {
				if n := &s.Nodes[i]; n.Holder < 0 {
					n.grantAs(k, w.Fences, wish)
					if w.Clockless {
						n.Links[k].Stage = Vote
					}
				} else {
					n.Links[k].Stage = Queued
				}
			})
		}
	case Granted:
		w.step(true, "an attempt hears of its vote", func(s *State) { s.Nodes[i].Links[k].Stage = Vote })
	case Yielding, Leaving:
		what, next := "a vote is given back", Asked
		if l.Stage == Leaving {
			what, next = "a release is executed", Gone
		}
		w.step(true, what, func(s *State) {
			n := &s.Nodes[i]
			n.Links[k] = Link{Stage: next}
			if holds {
				n.free(w.Fences)
			}
		})
	case Vote:
		if !holds && !w.Clockless {
			w.step(true, "a renewal finds nothing", func(s *State) {
				s.Nodes[i].Links[k] = Link{Stage: Asked}
				w.settle(s, k)
			})
		}
		if w.from.Left.Bounds > 0 {
			w.step(false, "the bound of a vote passes", func(s *State) {
				s.Left.Bounds--
				s.Nodes[i].Links[k] = Link{Stage: Yielding}
				w.settle(s, k)
			})
		}
		if a.Phase == Seeking {
			w.yield(i, k)
			if w.Fences && a.Fence > 0 && !l.Confirmed && w.has(WriteBack) {
				w.confirm(i, k)
			}
		}
	}
}

// yield has the steps in which an attempt gives a vote back: an older one waits for it, and has a vote itself, so that it asks. Who
// has a majority keeps it: that spares a hand-over, and breaks nothing.
func (w *walk) yield(i, k int) {
	if w.Clockless || !w.has(Yield) || w.from.votes(k) >= Majority {
		return
	}
	older := slices.ContainsFunc([]int{0, 1, 2}[:k], func(o int) bool {
		return w.from.Nodes[i].Links[o].Stage == Queued && w.from.votes(o) > 0
	})
	if older || w.from.Left.Strays > 0 {
		w.step(older, "an attempt yields", func(s *State) {
			if !older {
				s.Left.Strays--
			}
			s.Nodes[i].Links[k] = Link{Stage: Yielding}
		})
	}
}

// confirm is the request that a node has exactly that fence for the token, which the node executes, and the answer.
func (w *walk) confirm(i, k int) {
	n, fence := &w.from.Nodes[i], w.from.Attempts[k].Fence
	counts := !n.Fresh || !w.has(FreshWaits)
	switch holds := n.Holder == int8(k); {
	case n.Links[k].Fence == fence && counts: // it was granted so: no request is needed, and nobody knows whether it holds now
		w.step(true, "a fence is the one already", func(s *State) { s.Nodes[i].Links[k].Confirmed = true })
	case !holds && w.has(TokenHolds): // the answer is "gone": a renewal finds the same
	case holds && n.Held > fence && w.has(NotAbove) || !counts:
	default:
		w.step(true, "a fence is confirmed", func(s *State) {
			n := &s.Nodes[i]
			if n.Last = max(n.Last, fence); holds {
				n.Held = max(n.Held, fence)
				n.Links[k].Fence = n.Held
			}
			n.Links[k].Confirmed = true
		})
	}
}

// attempt has the steps of an attempt.
func (w *walk) attempt(k int) {
	switch a := &w.from.Attempts[k]; a.Phase {
	case Idle:
		w.step(true, "an attempt begins", func(s *State) {
			a := &s.Attempts[k]
			a.Phase = Seeking
			for _, other := range s.Attempts {
				if other.Was && w.Fences {
					a.After = max(a.After, other.Fence)
				}
			}
			for i := range s.Nodes {
				s.Nodes[i].Links[k].Stage = Asked
			}
		})
	case Seeking:
		w.choose(k)
		enough := w.from.confirmed(k)
		if !w.Fences {
			enough = w.counting(k)
		} else if !w.has(WriteBack) {
			enough = 0
			if a.Fence > 0 {
				enough = w.from.votes(k)
			}
		}
		if enough >= Majority {
			w.step(true, "the lock is granted", func(s *State) { s.Attempts[k].Phase, s.Attempts[k].Was = Holding, true })
		}
		if w.from.Left.Cancels > 0 {
			w.step(false, "a caller gives up", func(s *State) {
				s.Left.Cancels--
				s.end(k)
			})
		}
	case Holding:
		if w.Clockless {
			return // its holds may lapse
		}
		w.step(true, "the lock is released", func(s *State) { s.end(k) })
	}
}

// counting is how many votes count where fences are not searched.
func (w *walk) counting(k int) (n int) {
	for i := range w.from.Nodes {
		node := &w.from.Nodes[i]
		if node.Links[k].Stage == Vote && (!node.Fresh || !w.has(FreshWaits)) && node.Holder == int8(k) {
			n++
		}
	}
	return n
}

// choose is the step in which an attempt with a majority of votes chooses its fence: the least that is not below those of a
// majority. It chooses another one when so many votes are not left that could confirm it. At any time it may choose the greatest of its
// votes: one that was to confirm a smaller fence does not answer.
func (w *walk) choose(k int) {
	var fences []int8
	able := 0
	for i := range w.from.Nodes {
		if l := w.from.Nodes[i].Links[k]; l.Stage == Vote {
			fences = append(fences, l.Fence)
			if l.Fence <= w.from.Attempts[k].Fence {
				able++
			}
		}
	}
	if !w.Fences || len(fences) == 0 {
		return
	}
	slices.Sort(fences)
	now, greatest := w.from.Attempts[k].Fence, fences[len(fences)-1]
	switch {
	case len(fences) >= Majority && able < Majority:
		w.chosen(true, "a fence is chosen", k, fences[Majority-1])
	case now > 0 && greatest > now:
		w.chosen(false, "a greater fence is chosen", k, greatest)
	}
}

// chosen is the step in which an attempt has another fence.
func (w *walk) chosen(must bool, what string, k int, fence int8) {
	w.step(must, what, func(s *State) {
		s.Attempts[k].Fence = fence
		for i := range s.Nodes {
			s.Nodes[i].Links[k].Confirmed = false
		}
	})
}

// settle ends a hold that has lost its majority.
func (w *walk) settle(s *State, k int) {
	left := Majority
	if !w.has(MajorityBound) {
		left = 1
	}
	if s.Attempts[k].Phase == Holding && s.votes(k) < left {
		s.end(k)
	}
}

// end is the end of an attempt: everything that it has or asked for is given back.
func (s *State) end(k int) {
	s.Attempts[k].Phase = Over
	for i := range s.Nodes {
		if l := &s.Nodes[i].Links[k]; l.Stage != Gone && l.Stage != None {
			*l = Link{Stage: Leaving}
		}
	}
}
