package quorum

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/lifetime"
)

// phase is how far a hold is.
type phase int

const (
	seeking phase = iota
	holding
	over
)

// vote is what a hold has on one node.
type vote struct {
	lock      *redislock.Lock // nil if it has none
	fence     int64           // that of the lock
	confirmed bool            // the node has the fence of the whole, and counts
	fresh     error           // the node does not count yet, and why; nil if it does, as far as is known
	why       error           // why the latest attempt failed, or the vote was lost
	tried     time.Time       // when the attempt under way began; zero between attempts
	asking    bool            // an inquiry is under way
	stolen    bool            // the vote was stolen under the whole: it is not asked for again
	poke      chan struct{}   // something is to be done with the vote; each has its own
}

// hold is one acquire, and the lock that comes of it. For each node without a vote a goroutine asks for one (vote.go). What they
// find changes the hold under its mutex, and decide says what follows.
type hold struct {
	locker  *Locker
	name    string
	ticket  int64
	options []redislock.Option // of the lock on each node
	try     bool               // it does not wait for the grant
	strict  bool               // no nested handles
	maxHold time.Duration      // 0: no bound

	work    context.Context // ends with the hold
	stop    context.CancelFunc
	workers sync.WaitGroup
	granted chan struct{} // closed when it is granted
	failed  chan struct{} // closed when it cannot be
	life    lifetime.Lifetime

	mu      sync.Mutex
	phase   phase
	fence   int64 // that a majority is to confirm, or has confirmed; 0 before it is chosen
	votes   []vote
	since   time.Time // when it was granted
	total   *time.Timer
	inquiry *time.Timer
	pause   time.Duration // before the next inquiry
	handles int
	ended   bool          // end was called
	active  int           // how many goroutines ask for votes
	quiet   chan struct{} // closed when the hold is over and there is none
}

// newHold begins an acquire.
func (q *Locker) newHold(name string, options []redislock.Option, try, strict bool, maxHold time.Duration) *hold {
	h := &hold{
		locker: q, name: name, ticket: q.newTicket(), try: try, strict: strict, maxHold: maxHold,
		granted: make(chan struct{}), failed: make(chan struct{}), quiet: make(chan struct{}), active: len(q.nodes), votes: make([]vote, len(q.nodes)), handles: 1,
	}
	h.options = append(options, root.Ticket(fmt.Sprintf("%016d", h.ticket)))
	h.work, h.stop = context.WithCancel(context.Background())
	now := time.Now()
	for i := range h.votes {
		h.votes[i].tried = now
	}
	h.workers.Add(len(q.nodes))
	for i := range q.nodes {
		go h.seek(i)
	}
	return h
}

// count is how many votes there are. The caller has locked h.mu.
func (h *hold) count() (n int) {
	for i := range h.votes {
		if h.votes[i].lock != nil {
			n++
		}
	}
	return n
}

// counting is how many of them are of nodes that count, as far as is known. The caller has locked h.mu.
func (h *hold) counting() (n int) {
	for i := range h.votes {
		if v := &h.votes[i]; v.lock != nil && v.fresh == nil {
			n++
		}
	}
	return n
}

// decide is called when a vote has changed. The caller has locked h.mu.
//
// The fence of the whole is the least that is not below those of a majority of the votes. It is confirmed on each node where the
// own token holds; a node whose own fence is greater does not count. When a majority has confirmed it, the lock is granted. Package
// internal/model/quorum has searched that: any simpler rule gives a fence twice.
func (h *hold) decide() {
	if h.phase != seeking {
		return
	}
	var fences []int64
	able, confirmed, hopeless := 0, 0, 0
	now := time.Now()
	for i := range h.votes {
		v := &h.votes[i]
		if v.lock != nil {
			fences = append(fences, v.fence)
			if v.fence <= h.fence {
				able++
			}
			if v.confirmed {
				confirmed++
			}
			if h.try && v.fresh != nil {
				hopeless++
			}
		} else if v.why != nil && (v.tried.IsZero() || now.Sub(v.tried) < hopelessFor) {
			hopeless++
		}
	}
	switch q := h.locker; {
	case confirmed >= q.majority:
		h.grant()
	case hopeless > len(h.votes)-q.majority:
		h.fail()
	case len(fences) >= q.majority && able < q.majority:
		slices.Sort(fences)
		h.choose(fences[q.majority-1])
	}
}

// choose sets the fence of the whole, which is greater than the one before. The caller has locked h.mu.
func (h *hold) choose(fence int64) {
	h.fence = fence
	for i := range h.votes {
		h.votes[i].confirmed = false
		h.wake(i)
	}
}

// reach chooses the greatest fence of the votes: a node that was to confirm a smaller one has not answered, and then each that answers
// may take its place. The caller has locked h.mu.
func (h *hold) reach() {
	greatest := h.fence
	for i := range h.votes {
		if v := &h.votes[i]; v.lock != nil {
			greatest = max(greatest, v.fence)
		}
	}
	if h.fence > 0 && greatest > h.fence {
		h.choose(greatest)
	}
}

// hopelessFor is how long a node whose last attempt failed counts as failed while the next one is under way: after that it is likely
// that the attempt waits in the queue.
const hopelessFor = time.Second

// fail is the event that nothing can come of the acquire. The caller has locked h.mu.
func (h *hold) fail() {
	if h.phase == seeking {
		h.phase = over
		close(h.failed)
	}
}

// wake has something done with a vote.
func (h *hold) wake(i int) {
	select {
	case h.votes[i].poke <- struct{}{}:
	default:
	}
}

// grant is the event that a majority has confirmed the fence. The caller has locked h.mu.
func (h *hold) grant() {
	h.phase, h.since = holding, time.Now()
	for i := range h.votes {
		if v := &h.votes[i]; !v.confirmed {
			h.wake(i)
			root.Seen(h.locker.nodes[i].client, h.name, h.fence) // a grant there will have a greater one, whatever its clock says
		}
	}
	if h.maxHold > 0 {
		h.total = time.AfterFunc(h.maxHold, func() { h.err() })
	}
	close(h.granted)
	h.plan(firstInquiry)
}

// voted is the event that a node gave its vote. The result says when something is to be done with it; it is nil if nobody wants it any
// more.
func (h *hold) voted(i int, l *redislock.Lock) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.phase == over {
		return nil
	}
	v := &h.votes[i]
	v.poke = make(chan struct{}, 1)
	v.lock, v.fence, v.confirmed, v.fresh, v.why, v.tried = l, l.Fence(), false, nil, nil, time.Time{}
	h.decide()
	if h.phase == seeking && h.count() < h.locker.majority {
		h.plan(firstInquiry)
	}
	return v.poke
}

// refused is the event that an attempt on a node failed. It is false if it is not to be repeated.
func (h *hold) refused(i int, err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := &h.votes[i]
	v.why, v.tried = err, time.Time{}
	h.decide()
	return h.phase != over && !errors.Is(err, redislock.ErrClosed)
}

// trying is the event that the next attempt on a node begins.
func (h *hold) trying(i int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.votes[i].tried = time.Now()
}

// lost is the event that a vote is gone. It is true if the node is to be asked again. A vote that was given back is none any more.
func (h *hold) lost(i int, l *redislock.Lock, cause error) bool {
	h.mu.Lock()
	v := &h.votes[i]
	if v.lock != l || h.phase == over {
		h.mu.Unlock()
		return false
	}
	giveUp(l) // its Client may be about to close, and waits for that
	v.lock, v.confirmed, v.why, v.tried = nil, false, cause, time.Time{}
	v.stolen = h.phase == holding && errors.Is(cause, redislock.ErrStolen)
	if h.phase == holding && h.count() < h.locker.majority {
		votes := h.end(h.lossCause())
		h.mu.Unlock()
		giveUp(votes...)
		return false
	}
	h.decide()
	if h.phase == holding {
		h.plan(firstInquiry)
	}
	again := h.phase != over && !v.stolen && !errors.Is(cause, redislock.ErrClosed)
	h.mu.Unlock()
	return again
}

// lossCause says why the majority is lost. The caller has locked h.mu.
func (h *hold) lossCause() error {
	said := make([]error, len(h.votes))
	for i := range h.votes {
		said[i] = h.votes[i].why
	}
	return &lossError{h.locker.said(said, "held"), said}
}

// end ends the hold, and is what is to be given back. The caller has locked h.mu.
func (h *hold) end(reason error) (votes []*redislock.Lock) {
	h.phase = over
	h.stop()
	for _, t := range []*time.Timer{h.total, h.inquiry} {
		if t != nil {
			t.Stop()
		}
	}
	for i := range h.votes {
		if v := &h.votes[i]; v.lock != nil {
			votes = append(votes, v.lock)
		}
	}
	h.life.Finish(reason)
	if !h.ended && h.active == 0 {
		close(h.quiet)
	}
	h.ended = true
	return votes
}

// giveUp gives votes back, in the background.
func giveUp(votes ...*redislock.Lock) {
	for _, l := range votes {
		go func() { _ = giveBack(l) }()
	}
}

// locks are the votes, nil where there is none.
func (h *hold) locks() []*redislock.Lock {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*redislock.Lock, len(h.votes))
	for i := range all {
		all[i] = h.votes[i].lock
	}
	return all
}

// err is nil while the lock is held, and why it is not afterwards. It reads the clock.
func (h *hold) err() error {
	if err := h.life.Err(); err != nil {
		return err
	}
	if !h.wasGranted() {
		return nil
	}
	live, why := 0, make([]error, len(h.votes))
	for i, l := range h.locks() { // not under the mutex: a Client may tell its Observer
		if l != nil {
			if why[i] = l.Err(); why[i] == nil {
				live++
			}
		}
	}
	overdue := h.maxHold > 0 && clock.Elapsed(h.since) >= h.maxHold // since is set before granted is closed
	if live >= h.locker.majority && !overdue {
		return nil
	}
	h.mu.Lock()
	if h.phase != holding {
		h.mu.Unlock()
		return h.life.Err()
	}
	for i, err := range why {
		if err != nil {
			h.votes[i].why = err
		}
	}
	cause := h.lossCause()
	if overdue {
		cause = fmt.Errorf("%w: held for its longest time of %v", redislock.ErrLost, h.maxHold)
	}
	votes := h.end(cause)
	h.mu.Unlock()
	giveUp(votes...)
	return h.life.Err()
}
