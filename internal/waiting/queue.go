package waiting

import (
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
)

const (
	// checkRetry is the pause after a check that failed.
	checkRetry = 500 * time.Millisecond
	// maxCheck is how many waits one check asks for: the oldest one, and others in turn.
	maxCheck = 64
	// maxAhead is how far the fence of a message may be ahead of the server's clock: SKEW of lua/confirm.lua.
	maxAhead = 24 * time.Hour
)

// queue is all waits of this Client for one name. Its methods are the events. Their results say what the caller has to do.
type queue struct {
	waits  []*Wait // in the order in which they joined; nil where one has left, compacted when half are nil
	live   int     // how many are not nil
	cursor int     // where the next check goes on after the oldest
	steals map[time.Duration]int
	holder protocol.Holder // as last heard
	why    error           // why the last check had no answer, or one that could not be read
}

// join is the event that the server has a wait in its queue.
func (q *queue) join(w *Wait, s Sample) {
	w.place, w.pending, w.sample = int32(len(q.waits)), true, s
	q.waits = append(q.waits, w)
	q.live++
	if w.steal > 0 {
		if q.steals == nil {
			q.steals = map[time.Duration]int{}
		}
		q.steals[w.steal]++
	}
}

// leave is the event that nobody waits for this wait any more.
func (q *queue) leave(w *Wait) {
	q.waits[w.place] = nil
	q.live--
	if w.steal > 0 {
		if q.steals[w.steal]--; q.steals[w.steal] <= 0 {
			delete(q.steals, w.steal)
		}
	}
	if len(q.waits) > 32 && q.live < len(q.waits)/2 {
		kept := q.waits[:0]
		for _, other := range q.waits {
			if other != nil {
				other.place = int32(len(kept))
				kept = append(kept, other)
			}
		}
		clear(q.waits[len(kept):])
		q.waits = kept
	}
}

// heard is the event that an answer named the holder, when the server's clock said now. The result is in what time to check
// at the latest: at the holder's deadline, or when the holder has become stale for one of the waits. ours says that the
// holder may be one of the waits by now; the holder that they waited for is then the one before.
func (q *queue) heard(h protocol.Holder, now protocol.Micros, ours bool) time.Duration {
	if !ours {
		q.holder = h
	}
	in := protocol.CheckEvery
	if h.Since == 0 {
		return in
	}
	in = min(in, h.Deadline.Sub(now)+protocol.Slack)
	if steal := q.patience(); steal > 0 {
		if stale := h.Since.Add(steal).Sub(now); stale > 0 {
			in = min(in, stale+protocol.Slack)
		}
	}
	return in
}

// patience is the shortest steal-after of the waits, or 0 if none of them steals.
func (q *queue) patience() time.Duration {
	var shortest time.Duration
	for steal := range q.steals {
		if shortest == 0 || steal < shortest {
			shortest = steal
		}
	}
	return shortest
}

// due is the event that it is time to check. It returns the waits to ask for, the oldest one and others in turn, and the age from
// which a hold may be stolen.
func (q *queue) due() (asked []*Wait, steal time.Duration) {
	add := func(w *Wait) {
		if w != nil && w.pending {
			asked = append(asked, w)
		}
	}
	n := len(q.waits)
	oldest := 0
	for ; oldest < n && len(asked) == 0; oldest++ {
		add(q.waits[oldest])
	}
	start := max(q.cursor, oldest)
	if start >= n {
		start = oldest
	}
	end := start
	for ; end < n && len(asked) < maxCheck; end++ {
		add(q.waits[end])
	}
	q.cursor = end
	return asked, q.patience()
}

// settled is a wait that an answer has settled, and its outcome.
type settled struct {
	wait    *Wait
	outcome Outcome
}

// answered is the event that a check was answered. The result is the waits to be told, each with its outcome.
func (q *queue) answered(c protocol.Check, asked []*Wait, s Sample, margin time.Duration) []settled {
	var all []settled
	for i, w := range asked {
		switch of := c.Of[i]; {
		case of.Err != nil: // it says nothing about the others
			q.why = of.Err
		case of.Gone:
			w.pending = false
			all = append(all, settled{w, Outcome{Gone: true}})
		case of.Waits:
			w.sample = s
		default:
			w.pending = false
			g := Grant{Fence: of.Grant.Fence, Sent: s.Sent, Valid: clock.Until(s.Sent, c.Now, of.Grant.At.Add(of.Grant.Lease), margin), Lease: of.Grant.Lease, Now: c.Now}
			all = append(all, settled{w, Outcome{Grant: g}})
		}
	}
	return all
}

// verdict says what happens to a message.
type verdict int

const (
	late     verdict = iota // its wait is settled already
	believed                // it settles its wait
	doubted                 // a check must find out
)

// grant is the event that a message tells of a grant. The Client believes it only within what the last answer to this same wait
// says about the server's clock. The grant counts for no longer than a claim from now, and no longer than the lease that was
// asked for (I9).
func (q *queue) grant(w *Wait, g protocol.GrantMessage, now time.Time, epoch uint64, margin time.Duration) (Outcome, verdict) {
	if !w.pending {
		return Outcome{}, late
	}
	s, length := w.sample, min(g.Lease, protocol.Claim, w.lease)
	valid := clock.Within(now, length, margin)
	if told := clock.Until(s.Sent, s.Now, g.At.Add(length), margin); told.LeftAt(now) < valid.LeftAt(now) {
		valid = told
	}
	ahead := protocol.Micros(protocol.ParseFence(g.Fence)) > s.Now.Add(clock.Between(s.Sent, now)+maxAhead)
	if s.Epoch != epoch || valid.LeftAt(now) <= 0 || ahead {
		return Outcome{}, doubted
	}
	said := min(g.At, s.Now.Add(clock.Between(s.Sent, now))) // no later than it can be (I9)
	return Outcome{Grant: Grant{Fence: g.Fence, Sent: now, Valid: valid, Lease: length, Now: said}}, believed
}
