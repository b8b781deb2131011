package quorum

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock"
)

// vote is the hold on one node, and the operation that is under way there.
//
//	       start                the node gives its vote        it has the fence of the whole, and counts
//	idle ─────────▶ asking ────────────────────────────▶ given ─────────────────────────────────────────▶ confirmed
//	 ▲  ▲             │ refused                            │ lost, or yielded to an older ticket               │
//	 │  └─ a pause ───┘                                    │                                                   │
//	 └─────────────────────────────────────────────────────┴───────────────────────────────────────────────────┘
type vote struct {
	lock      *redislock.Lock // nil if it has none
	ballot    *ballot         // of the lock
	fence     int64           // that of the lock
	confirmed bool            // the node has the fence of the whole, and counts
	counts    bool            // the node counts
	fresh     error           // the node does not count yet, and why; nil if it does, as far as is known
	checking  bool            // a request is under way to find out whether it counts, or for its fence

	started   bool          // an attempt is under way, or there is a vote
	tried     time.Time     // when the attempt under way began; zero between attempts
	why       error         // why the latest attempt failed, or the vote was lost
	pause     time.Duration // before the attempt after a failure
	timer     *time.Timer   // of that pause, or of a look at a vote that does not count yet
	inquiring bool          // an inquiry is under way
	stolen    bool          // the vote was stolen under the whole: it is not asked for again

	busy int    // how many goroutines are at work
	next func() // what the next hold of the name begins when there is none
}

// take takes the vote off the hold.
func (v *vote) take() {
	v.lock, v.ballot, v.confirmed, v.counts, v.fresh, v.checking, v.started, v.tried = nil, nil, false, false, nil, false, false, time.Time{}
}

// hopelessFor is how long a node whose last attempt failed counts as failed while the next one is under way: after that it is likely
// that the attempt waits in the queue.
const hopelessFor = time.Second

// hopeless reports whether the node is not expected to give a vote that counts. try says that the caller does not
// wait.
func (v *vote) hopeless(try bool) bool {
	if v.lock != nil {
		return try && v.fresh != nil
	}
	return v.why != nil && (v.tried.IsZero() || time.Since(v.tried) < hopelessFor)
}

// ballot is one attempt to get a vote, and that vote. The node's Client reports to it.
type ballot struct {
	h *hold
	i int
}

// Queued is the event that the attempt waits in the queue of the node: another has its vote.
func (b *ballot) Queued() {
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	b.h.watch()
}

// Ended is the event that the vote has ended. If the majority is lost by that, the context of the hold has ended when it returns:
// the Client gives a stolen vote up after that (I7).
func (b *ballot) Ended(cause error) {
	if !errors.Is(cause, redislock.ErrReleased) { // by this package
		b.h.lost(b, cause)
	}
}

// begin is start, for those who have not locked h.mu.
func (h *hold) begin(i int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.start(i)
}

// start has a node asked for its vote, if it is not yet. The caller has locked h.mu.
func (h *hold) start(i int) {
	if v := &h.votes[i]; !v.started && h.phase != over {
		v.started, v.tried = true, time.Now()
		h.run(i, h.attempt)
	}
}

// retryPause is how long after its failure an attempt on a node is repeated. Each failure in a row doubles it, up to maxPause.
const retryPause, maxPause = 50 * time.Millisecond, time.Second

// retry has a node asked again after a pause. The caller has locked h.mu.
func (h *hold) retry(i int) {
	v := &h.votes[i]
	v.pause = min(max(2*v.pause, retryPause), maxPause)
	h.later(i, v.pause, h.begin)
}

// later has something done with a node after a pause. The caller has locked h.mu.
func (h *hold) later(i int, in time.Duration, do func(i int)) {
	v := &h.votes[i]
	if v.timer != nil {
		v.timer.Stop()
	}
	v.timer = time.AfterFunc(in, func() { do(i) })
}

// errCutShort is the error if a callback of the user has ended the goroutine.
var errCutShort = errors.New("a callback has ended the goroutine")

// attempt asks a node for its vote, once.
func (h *hold) attempt(i int) {
	b, l, err := &ballot{h, i}, (*redislock.Lock)(nil), errCutShort
	defer func() {
		if err != nil {
			h.refused(i, err)
		} else if !h.voted(b, l) {
			_ = giveBack(l)
		}
	}()
	try := h.try && !h.wasGranted()
	err = guarded(func() (err error) {
		l, err = root.Acquire(h.work, h.locker.nodes[i].client, h.name, h.node, h.place, try, b)
		return err
	})
}

func (h *hold) wasGranted() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.since.IsZero()
}

// giveBack releases a vote, also when no context wants it any more: what has no answer goes on in the background, or lapses.
func giveBack(l *redislock.Lock) error {
	return guarded(func() error { return l.Release(context.Background()) })
}

// guarded calls a Client. A panic of the user's Observer is an error of that node, because the user cannot recover from it on a
// goroutine of this package.
func guarded(call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a callback panicked: %v", p)
		}
	}()
	return call()
}

// voted is the event that a node gave its vote. It is false if nobody wants it any more.
func (h *hold) voted(b *ballot, l *redislock.Lock) bool {
	h.mu.Lock()
	if h.phase == over {
		h.mu.Unlock()
		return false
	}
	v := &h.votes[b.i]
	v.lock, v.ballot, v.fence, v.why, v.tried, v.pause = l, b, l.Fence(), nil, time.Time{}, 0
	h.decide()
	if h.inquiry != nil && h.phase == seeking && h.count() < h.locker.majority {
		h.plan(firstInquiry)
	}
	h.mu.Unlock()
	if err := l.Err(); err != nil { // it has ended before it was one
		h.lost(b, err)
	}
	return true
}

// refused is the event that an attempt on a node failed.
func (h *hold) refused(i int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := &h.votes[i]
	v.tried, v.started = time.Time{}, false
	if h.work.Err() != nil && errors.Is(err, context.Canceled) {
		return // the hold has ended the attempt, and what the node said before stands
	}
	if v.why = err; h.phase == over {
		return
	}
	h.watch()
	if !errors.Is(err, redislock.ErrClosed) && !(h.try && h.phase == seeking) {
		h.retry(i)
	}
	h.decide()
}

// advance does what is missing for a vote to count: its node must have the fence of the hold, and must have been up for long
// enough. The caller has locked h.mu.
func (h *hold) advance(i int) {
	v, n := &h.votes[i], h.locker.nodes[i]
	if v.lock == nil || v.confirmed || v.checking {
		return
	}
	in, known := time.Duration(0), true
	if !v.counts && h.phase == seeking && !h.locker.durable {
		in, known = n.counts(h.locker.longest)
	}
	if h.fence > v.fence || !known {
		v.checking = true
		h.run(i, h.check)
		h.watch()
		return
	}
	h.judge(i, in)
}

// judge is the event that it is known after which time a vote counts. The caller has locked h.mu.
func (h *hold) judge(i int, in time.Duration) {
	v := &h.votes[i]
	if in > 0 {
		if v.fresh == nil {
			h.plan(firstInquiry) // it may need another vote in the place of this one
		}
		v.fresh = fmt.Errorf("it came back a moment ago, perhaps without its data: its vote counts in %v", in.Round(time.Millisecond))
		h.later(i, in, h.examine)
		return
	}
	v.counts, v.fresh, v.confirmed = true, nil, v.fence == h.fence && h.fence > 0
}

// examine is the event that a vote may count by now.
func (h *hold) examine(int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.decide()
}

// check has a node confirm the fence of the whole, if that is greater than the vote's own. Then it looks since when the node has been up,
// if that is not known: after the request, so that it is known of the run which has executed it.
func (h *hold) check(i int) {
	h.mu.Lock()
	v, n := &h.votes[i], h.locker.nodes[i]
	b, l, own, fence, looks := v.ballot, v.lock, v.fence, h.fence, h.phase == seeking && !h.locker.durable
	h.mu.Unlock()
	in, err := time.Duration(0), errCutShort
	defer func() { h.checked(b, i, own, in, err) }()
	if l == nil { // it has ended meanwhile
		return
	}
	err = guarded(func() (err error) {
		if fence > own {
			own, err = root.Confirm(l, fence)
		}
		if err != nil || !looks {
			return err
		}
		var known bool
		if in, known = n.counts(h.locker.longest); !known {
			var s seen
			s, err = n.look(h.work, false)
			in = s.counts(h.locker.longest)
		}
		return err
	})
}

// checked is the event that a check has come to an end: the fence of the vote, and in what time it counts, or why that is not known.
func (h *hold) checked(b *ballot, i int, fence int64, in time.Duration, err error) {
	if errors.Is(err, redislock.ErrLost) {
		h.lost(b, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	v := &h.votes[i]
	if v.ballot != b || h.phase == over { // it was about another vote
		return
	}
	v.checking, v.fence = false, max(v.fence, fence)
	if v.fresh = err; err != nil {
		h.suspend(i, b)
	} else {
		h.judge(i, in)
	}
	h.decide()
}

// suspend has a vote checked again after a pause. The caller has locked h.mu.
func (h *hold) suspend(i int, b *ballot) {
	v := &h.votes[i]
	v.checking = true
	h.later(i, retryPause, func(i int) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if v.ballot == b {
			v.checking = false
			h.decide()
		}
	})
}
