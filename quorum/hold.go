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

// hold is one acquire, and its lock. It is a state machine. Its events are the answers of the nodes, the reports of their
// Clients, timers and the calls of the user. Each event changes it under its mutex. decide returns the next actions. Each
// request has a goroutine of its own (run), which ends with the answer; a hold that has its votes has none.
//
//	seeking ── a majority has confirmed one fence ─▶ holding ── released, or the majority is lost ─▶ over
//	   └────── it failed, or its caller gave up ──────────────────────────────────────────────────────▲
type hold struct {
	locker  *Locker
	name    string
	ticket  int64
	place   string // the ticket, as it is sent
	node    any    // the settings of the lock on each node
	try     bool   // it does not wait for the grant
	strict  bool   // no nested handles
	maxHold time.Duration

	work    context.Context // ends with the hold
	stop    context.CancelFunc
	settled chan struct{} // closed when it is not seeking any more
	life    lifetime.Lifetime

	mu      sync.Mutex
	phase   phase
	fence   int64     // that a majority is to confirm, or has confirmed; 0 before it is chosen
	since   time.Time // when it was granted; zero if it was not
	votes   []vote
	handles int
	busy    int           // how many goroutines are at work for it
	ended   bool          // end was called
	idle    chan struct{} // closed when it is over and no goroutine is at work; nil until somebody waits for that
	total   *time.Timer   // ends it at its longest time
	inquiry *time.Timer   // the next inquiry; nil as long as nobody is known to be in the way
	pause   time.Duration // before the inquiry after it
}

// newHold begins an acquire.
func (q *Locker) newHold(name string, node any, try, strict bool, maxHold time.Duration) *hold {
	ticket, before := q.enter(name)
	h := &hold{
		locker: q, name: name, ticket: ticket, place: fmt.Sprintf("%016d", ticket), node: node, try: try, strict: strict, maxHold: maxHold,
		settled: make(chan struct{}), votes: make([]vote, len(q.nodes)), handles: 1,
	}
	h.work, h.stop = context.WithCancel(context.Background())
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.votes {
		if before == nil || !before.follow(i, func() { h.begin(i) }) {
			h.start(i)
		}
	}
	return h
}

// run has something done on a node, in a goroutine. The caller has locked h.mu.
func (h *hold) run(i int, work func(i int)) {
	h.votes[i].busy++
	h.busy++
	go func() {
		defer h.done(i)
		work(i)
	}()
}

// done is the event that a goroutine has ended.
func (h *hold) done(i int) {
	h.mu.Lock()
	v := &h.votes[i]
	v.busy--
	h.busy--
	var next func()
	if h.phase == over && v.busy == 0 {
		next, v.next = v.next, nil
	}
	if h.ended && h.busy == 0 {
		h.locker.left(h)
		if h.idle != nil {
			close(h.idle)
		}
	}
	h.mu.Unlock()
	if next != nil {
		next()
	}
}

// follow calls next when a hold that is over has its last answer from a node. It returns false if there is nothing to wait for.
// Otherwise an acquire of a lock that this process has just given back would find it held on a node that has not got the release yet,
// and would wait in its queue.
func (h *hold) follow(i int, next func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := &h.votes[i]
	if h.phase != over || v.busy == 0 || v.next != nil {
		return false
	}
	late := time.AfterFunc(firstInquiry, next) // a stuck connection must not hold up the next acquire
	v.next = func() {
		if late.Stop() {
			next()
		}
	}
	return true
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
// The fence of the hold is the least that is not below the fences of a majority of the votes. It is confirmed on each node on
// which the token holds. A node whose own fence is greater does not count. When a majority has confirmed it, the lock is granted.
// Package internal/model/quorum has searched that: any simpler rule gives a fence twice.
func (h *hold) decide() {
	if h.phase == over {
		return
	}
	if h.phase == seeking {
		h.choose()
	}
	for i := range h.votes {
		h.advance(i)
	}
	if h.phase != seeking {
		return
	}
	confirmed, hopeless := 0, 0
	for i := range h.votes {
		v := &h.votes[i]
		if v.confirmed {
			confirmed++
		}
		if v.hopeless(h.try) {
			hopeless++
		}
	}
	switch q := h.locker; {
	case confirmed >= q.majority && q.distinct() == nil:
		h.grant()
	case confirmed >= q.majority, hopeless > len(h.votes)-q.majority:
		h.fail()
	}
}

// choose chooses the fence of the hold, if there is none that a majority of the votes can confirm. The caller has locked h.mu.
func (h *hold) choose() {
	var all [MaxNodes]int64
	fences, able := all[:0], 0
	for i := range h.votes {
		if v := &h.votes[i]; v.lock != nil {
			fences = append(fences, v.fence)
			if v.fence <= h.fence {
				able++
			}
		}
	}
	if majority := h.locker.majority; len(fences) >= majority && able < majority {
		slices.Sort(fences)
		h.raise(fences[majority-1])
	}
}

// raise sets the fence of the whole, which is greater than the one before. The caller has locked h.mu.
func (h *hold) raise(fence int64) {
	h.fence = fence
	for i := range h.votes {
		h.votes[i].confirmed = false
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
		h.raise(greatest)
		h.decide()
	}
}

// grant is the event that a majority has confirmed the fence. The caller has locked h.mu.
func (h *hold) grant() {
	h.phase, h.since = holding, time.Now()
	if h.maxHold > 0 {
		h.total = time.AfterFunc(h.maxHold, func() { h.err() })
	}
	close(h.settled)
	for i := range h.votes {
		if v := &h.votes[i]; h.try && v.lock == nil && v.why != nil {
			h.retry(i) // until now each node was asked once
		}
	}
	if h.inquiry != nil {
		h.plan(firstInquiry)
	}
}

// fail is the event that nothing can come of the acquire. The caller has locked h.mu.
func (h *hold) fail() {
	h.phase = over
	close(h.settled)
}

// end ends the hold, and gives every vote back; told gets the result of each, if it is not nil. The caller has locked h.mu.
func (h *hold) end(reason error, told func(i int, err error)) {
	if h.ended {
		return
	}
	if h.phase == seeking {
		close(h.settled)
	}
	h.phase, h.ended = over, true
	h.stop()
	for _, t := range []*time.Timer{h.total, h.inquiry} {
		if t != nil {
			t.Stop()
		}
	}
	h.life.Finish(reason)
	for i := range h.votes {
		v := &h.votes[i]
		if v.timer != nil {
			v.timer.Stop()
		}
		if v.lock != nil {
			h.giveBack(i, v.lock, told)
		}
	}
	if h.busy > 0 {
		h.locker.leave(h)
	}
}

// giveBack releases a vote, in the background. The caller has locked h.mu.
func (h *hold) giveBack(i int, l *redislock.Lock, told func(i int, err error)) {
	h.run(i, func(i int) {
		err := errCutShort
		if told != nil {
			defer func() { told(i, err) }()
		}
		err = giveBack(l)
	})
}

// lost is the event that a vote has ended. A vote that was given back is none any more.
func (h *hold) lost(b *ballot, cause error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := &h.votes[b.i]
	if v.ballot != b || v.lock == nil || h.phase == over {
		return
	}
	h.giveBack(b.i, v.lock, nil) // its Client may be about to close, and waits for that
	v.take()
	v.why = cause
	v.stolen = h.phase == holding && errors.Is(cause, redislock.ErrStolen)
	if h.phase == holding && h.count() < h.locker.majority {
		h.end(h.lossCause(), nil)
		return
	}
	if !v.stolen && !errors.Is(cause, redislock.ErrClosed) {
		h.start(b.i)
	}
	h.decide()
	if h.phase == holding {
		h.plan(firstInquiry)
	}
}

// lossCause says why the majority is lost. The caller has locked h.mu.
func (h *hold) lossCause() error {
	said := make([]error, len(h.votes))
	for i := range h.votes {
		said[i] = h.votes[i].why
	}
	return &lossError{h.locker.said(said, "held"), said}
}

// locks are the votes, nil where there is none. The second result says whether the lock was granted.
func (h *hold) locks() (all [MaxNodes]*redislock.Lock, granted bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.votes {
		all[i] = h.votes[i].lock
	}
	return all, !h.since.IsZero()
}

// err is nil while the lock is held, and why it is not afterwards. It reads the clock.
func (h *hold) err() error {
	if err := h.life.Err(); err != nil {
		return err
	}
	locks, granted := h.locks()
	if !granted {
		return nil
	}
	live := 0
	var why [MaxNodes]error
	for i, l := range locks { // not under the mutex: a Client may tell its Observer
		if l != nil {
			if why[i] = l.Err(); why[i] == nil {
				live++
			}
		}
	}
	overdue := h.maxHold > 0 && clock.Elapsed(h.since) >= h.maxHold // it was granted, so since does not change
	if live >= h.locker.majority && !overdue {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.phase != holding {
		return h.life.Err()
	}
	for i := range h.votes {
		if why[i] != nil {
			h.votes[i].why = why[i]
		}
	}
	cause := h.lossCause()
	if overdue {
		cause = fmt.Errorf("%w: held for its longest time of %v", redislock.ErrLost, h.maxHold)
	}
	h.end(cause, nil)
	return h.life.Err()
}
