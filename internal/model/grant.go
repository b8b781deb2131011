package model

import "slices"

// nextFence is I2: greater than every fence before it, also after the clock went back or the data was lost.
func (s *step) nextFence() Micros {
	if !s.Rules.has(FencesByTime) {
		return s.Fence + 1
	}
	return max(s.Fence+1, s.Now)
}

// grant makes a hold of a request, with a new fence.
func (s *step) grant(token string, r Request, lease Micros) *Hold {
	s.Fence = s.nextFence()
	s.remember(r.Keep)
	s.Holds = append(s.Holds, Hold{Token: token, Since: s.Now, Fence: s.Fence, At: s.Now, Lease: lease, State: Held, Request: r})
	s.shared = s.shared || !r.Mode.Exclusive()
	s.changed = true
	return s.hold(token)
}

// pass is I2 for a hold whose owner takes turns: it may have granted the lock again within its lease, with any fence up to last. So the
// next one is above that.
func (s *step) pass(h *Hold, last Micros) {
	if h.Request.Turns && last > s.Fence {
		s.Fence = last
		s.remember(h.Request.Keep)
	}
}

// drop ends a hold: by its deadline, by a break, or by a request that names its token.
func (s *step) drop(token string) {
	if h := s.hold(token); h != nil {
		s.pass(h, h.Deadline())
	}
	s.remove(token)
}

func (s *step) remove(token string) {
	s.Holds = slices.DeleteFunc(s.Holds, func(h Hold) bool { return h.Token == token })
	s.changed = true
}

// change gives a hold another mode, by the change of that token. It keeps its place among the holds. To tolerate less than before
// is a new grant.
func (s *step) change(h *Hold, m Mode, by string, grants bool) {
	h.Request.Mode, h.Change = m, by
	if grants {
		s.Fence = s.nextFence()
		h.Fence = s.Fence
	}
	s.remember(h.Request.Keep)
	s.shared, s.changed = true, true
}

// handOver is I5: the lock goes to the first waiters of the queue, as long as the next one fits. A waiter that does not fit stops
// the queue, and nobody passes it. The message is all that a waiter needs to begin; the claim is how long the hold waits for it.
// It answers whether there may be more to try.
//
// A waiter is gone if its channel has no receiver and the last check of its Client is overdue; until then its claim lasts. So no
// waiter loses its place because its Client subscribes anew. A waiter whose process has died delays the next one until its check
// is overdue.
func (s *step) handOver() (more bool) {
	for tries := s.Rules.HandOver; len(s.Queue) > 0; {
		if len(s.Holds) > 0 && !s.shared {
			return false // as nearly always: what is held is exclusive
		}
		if tries <= 0 && s.Rules.has(BoundedHandOver) {
			return true
		}
		tries--
		place := s.Queue[0]
		client := s.presence(place.Request.Channel)
		changes := s.hold(place.Of)
		switch {
		case s.gone[client.Channel] || !s.heardOf(client) || place.Of != "" && (changes == nil || changes.State != Held):
			s.leave(place.Token) // the waiter is gone, or the hold that was to change
		case !s.fits(place.Request.Mode, place.Of):
			return false
		default:
			tries-- // a grant costs about as much as two that are gone
			s.leave(place.Token)
			s.offer(place, client, changes)
		}
	}
	return false
}

// offer grants the lock to the waiter of that place, if it is not gone.
func (s *step) offer(place Place, client *Presence, changes *Hold) {
	claim := s.Rules.Claim
	switch {
	case s.reachable(client):
	case s.Rules.has(LastCheck):
		claim = ceil(client.Seen + s.Rules.Checked - s.Now) // its next check tells
	default:
		claim = 0
	}
	lease := min(place.Request.Lease, claim)
	if claim <= 0 {
		s.gone[client.Channel] = true
		if !s.Rules.has(CountFirst) { // it was sent, and then counted
			s.tell(client, Message{Kind: 'g', Token: place.Token, Fence: s.nextFence(), At: s.Now, Lease: min(place.Request.Lease, s.Rules.Claim)})
		}
		return
	}
	var hold *Hold
	if changes != nil {
		s.change(changes, place.Request.Mode, place.Token, true)
		hold = changes
	} else {
		hold = s.grant(place.Token, place.Request, lease)
	}
	s.tell(client, Message{Kind: 'g', Token: place.Token, Fence: hold.Fence, At: s.Now, Lease: lease})
}

// ceil rounds up to ms, in which leases are written.
func ceil(d Micros) Micros { return (d + Millisecond - 1) / Millisecond * Millisecond }
