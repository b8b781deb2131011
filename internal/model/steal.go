package model

import "slices"

// steal revokes holds that are older than a waiter tolerates, and tells their owners: the oldest first, and no more than are in the
// way of the caller and of those before it. If the end of what is stale makes no room under the limit of the lock, it revokes none.
// They stay until their owners give them up, or until their deadline: there are never two bodies inside their bounds. The freed lock
// goes to the first waiter of the queue.
//
// tokens are the caller's, and asks is its mode if it asks for a place. Of the answers the first says that there may be more to
// revoke, the second that a hold is on its way out.
func (s *step) steal(age Micros, stale bool, tokens []string, asks *Mode) (more, leaving bool) {
	if !stale {
		return false, false
	}
	oldest := s.oldest()
	if oldest == nil {
		return false, len(s.Holds) > 0 && s.Holds[0].State == Revoked
	}
	if s.Now-oldest.Since < age {
		return false, false
	}
	waiters := s.before(tokens, asks)
	limited := slices.ContainsFunc(waiters, func(w Place) bool { return !w.exempt() }) && s.limited()
	for _, w := range waiters {
		if limited && !w.exempt() && !s.Limit.allows(map[string]int{w.Request.Mode.Name: w.Request.Mode.Weight}) {
			return false, false // the end of a hold helps nobody
		}
	}
	var left []Mode // of the holds that are not revoked, and of those who will have come in
	from := -1
	for i := range s.Holds {
		h := &s.Holds[i]
		if h.State == Held && from < 0 {
			from = i
		}
		if h.State == Revoked && i < s.Rules.Scan {
			leaving = true
			continue
		}
		left = append(left, h.Request.Mode)
	}
	var told []string
	next, looks, over, barred, skipped := from, 0, 0, 0, -1
	for _, w := range waiters {
		some := len(told)
		if own := s.hold(w.Of); w.Of != "" && own != nil {
			left = without(left, own.Request.Mode)
		}
		measure := func(left []Mode) (over, barred int) {
			if limited && !w.exempt() {
				return inTheWay(w.Request.Mode, left, &s.Limit)
			}
			return inTheWay(w.Request.Mode, left, nil)
		}
		over, barred = measure(left)
		if skipped >= 0 { // what was not in the way of the one before may be in the way of this one
			next, skipped = skipped, -1
		}
		for ; over > 0 && next < len(s.Holds) && looks < s.Rules.Scan; next++ {
			h := &s.Holds[next]
			looks++
			if h.State == Held && s.Now-h.Since < age {
				next = len(s.Holds)
				break
			}
			if h.State != Held || h.Token == w.Of || slices.Contains(told, h.Token) {
				continue
			}
			fewer := without(left, h.Request.Mode)
			if rest, restBarred := measure(fewer); rest < over {
				told, left, over, barred = append(told, h.Token), fewer, rest, restBarred
			} else if skipped < 0 {
				skipped = next
			}
		}
		if barred > 0 {
			told = told[:some]
		}
		if over > 0 || w.Of != "" {
			break
		}
		left = append(left, w.Request.Mode)
	}
	if len(told) == 0 {
		return false, leaving
	}
	more = over > 0 && next < len(s.Holds) && barred == 0
	var revoked []Hold
	for _, token := range told {
		h := s.hold(token)
		h.State, s.changed = Revoked, true
		revoked = append(revoked, *h)
		if !s.Rules.has(AcknowledgedSteal) {
			s.drop(token)
			s.handOver()
		}
	}
	s.remember(s.Rules.Keep)
	s.store()
	for _, h := range revoked {
		s.publish(Message{Kind: 's', Channel: h.Request.Channel, Token: h.Token})
	}
	return more, true
}

// before are those whom a steal is to let in: the places up to the last of the caller's, a bounded number; and the caller itself, if it
// has none.
func (s *step) before(tokens []string, asks *Mode) (waiters []Place) {
	last := -1
	for i, p := range s.Queue[:min(len(s.Queue), s.Rules.HandOver)] {
		waiters = append(waiters, p)
		if slices.Contains(tokens, p.Token) {
			last = i
		}
	}
	if last >= 0 {
		return waiters[:last+1]
	}
	if asks != nil && len(waiters) == len(s.Queue) {
		waiters = append(waiters, Place{Request: Request{Mode: *asks}})
	}
	return waiters
}

// exempt reports whether the limit of a lock does not apply.
func (p *Place) exempt() bool { return p.Request.Mode.Exclusive() || p.Of != "" }

// inTheWay is how much is in the way of a mode: 0 if it fits beside those that are left. What ends makes it less only if that was in
// the way. barred is the part that is more than the limit allows, if there is one.
func inTheWay(m Mode, left []Mode, limit *Limit) (over, barred int) {
	total := 0
	exclusive := m.Exclusive()
	for _, l := range left {
		total += max(1, l.Weight) // an exclusive one has no weight
		exclusive = exclusive || l.Exclusive()
	}
	if exclusive {
		return total, 0
	}
	all := append([]Mode{m}, left...)
	held := map[string]int{}
	for _, l := range all {
		held[l.Name] += l.Weight
	}
	if limit != nil {
		barred = limit.beyond(held)
	}
	asked := m
	asked.Weight = 0
	for _, l := range all {
		class := l
		class.Weight = 0
		if total > 0 {
			over += l.Weight * l.Beyond(held, class == asked)
		}
	}
	return over + barred, barred
}

// without is modes without one of these.
func without(modes []Mode, m Mode) []Mode {
	i := slices.Index(modes, m)
	if i < 0 {
		return modes
	}
	return slices.Delete(slices.Clone(modes), i, i+1)
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
