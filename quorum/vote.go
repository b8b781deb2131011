package quorum

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"example.com/redislock"
)

// retryPause is how long after its failure an attempt on a node is repeated. Each failure in a row doubles it, up to maxPause.
const retryPause, maxPause = 50 * time.Millisecond, time.Second

// seek gets the vote of a node, for as long as the hold wants it.
func (h *hold) seek(i int) {
	defer h.workers.Done()
	defer h.leave()
	for pause := retryPause; ; {
		l, err := h.ask(i)
		if err != nil {
			if !h.refused(i, err) || !h.rest(pause) {
				return
			}
			pause = min(2*pause, maxPause)
			h.trying(i)
			continue
		}
		poke := h.voted(i, l)
		if poke == nil {
			_ = giveBack(l)
			return
		}
		pause = retryPause
		if !h.tend(i, l, poke) {
			return
		}
		h.trying(i)
	}
}

// leave is the event that a goroutine does not ask any more.
func (h *hold) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.active--; h.active == 0 && h.ended {
		close(h.quiet)
	}
}

// ask takes the lock on one node.
func (h *hold) ask(i int) (l *redislock.Lock, err error) {
	options := h.options
	if h.try && !h.wasGranted() {
		options = append(options[:len(options):len(options)], redislock.WithWait(0))
	}
	err = guarded(func() (err error) {
		l, err = h.locker.nodes[i].client.Acquire(h.work, h.name, options...)
		return err
	})
	return l, err
}

// giveBack releases a vote, also when no context wants it any more: what has no answer goes on in the background, or lapses.
func giveBack(l *redislock.Lock) error {
	return guarded(func() error { return l.Release(context.Background()) })
}

// guarded calls a Client. A panic of the user's Observer is an error of that node: on a goroutine of this package nobody could recover
// from it.
func guarded(call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a callback panicked: %v", p)
		}
	}()
	return call()
}

func (h *hold) wasGranted() bool {
	select {
	case <-h.granted:
		return true
	default:
		return false
	}
}

// rest is the pause before a node is asked again. It reports whether the hold is still wanted then. One that does not wait asks each
// node once, and asks again those that are missing when it is granted.
func (h *hold) rest(d time.Duration) bool {
	if h.try {
		select {
		case <-h.granted:
		case <-h.work.Done():
			return false
		}
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-h.work.Done():
		return false
	}
}

// tend does with a vote what is to be done until the whole is granted: it confirms the fence, and yields the vote to an older ticket. It
// reports whether the node is to be asked for another one.
func (h *hold) tend(i int, l *redislock.Lock, poke <-chan struct{}) bool {
	ended, asked := l.Context(), l.Asked()
	context.AfterFunc(ended, func() { // and not below, where a request may hang (I7)
		if h.lost(i, l, l.Err()) {
			h.again(i)
		}
	})
	for {
		var later <-chan time.Time
		in, done, gone := h.confirm(i, l)
		if gone != nil {
			return h.lost(i, l, gone)
		}
		if in > 0 {
			t := time.NewTimer(in)
			defer t.Stop()
			later = t.C
		}
		granted := h.granted
		if !done {
			granted = nil // not before the vote has the fence
		}
		select {
		case <-h.work.Done():
			return false
		case <-ended.Done():
			return false
		case r := <-asked:
			if h.yields(i, l, r.Why) {
				_ = giveBack(l)
				return true
			}
		case <-poke:
		case <-later:
		case <-granted: // from now on only its end is of interest
			return false
		}
	}
}

// again asks a node for a vote once more, under the whole.
func (h *hold) again(i int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.phase != over {
		h.votes[i].tried = time.Now()
		h.workers.Add(1)
		h.active++
		go h.seek(i)
	}
}

// confirm has a vote confirm the fence of the whole, if one is chosen and that of the vote is not greater, and finds out whether the node
// counts. The first result is in what time to try again; 0 when that is not needed. The second says that nothing is left to be done, the
// third that the node does not have the vote any more.
func (h *hold) confirm(i int, l *redislock.Lock) (again time.Duration, done bool, gone error) {
	n := h.locker.nodes[i]
	h.mu.Lock()
	v := &h.votes[i]
	mine, fence, own, confirmed, held := v.lock == l, h.fence, v.fence, v.confirmed, h.phase == holding
	h.mu.Unlock()
	switch {
	case !mine: // it has ended meanwhile
		return 0, false, nil
	case confirmed:
		return 0, true, nil
	}
	if fence > own {
		got, err := root.Confirm(l, fence)
		switch {
		case errors.Is(err, redislock.ErrLost):
			return 0, false, err
		case err != nil:
			h.note(i, l, func(v *vote) { v.why = err })
			return retryPause, false, nil
		}
		own = got
		h.note(i, l, func(v *vote) { v.fence = got })
	}
	if !h.locker.durable && !held { // after the request, so that it is known of the run that has executed it
		in, err := n.counts(h.work, h.locker.longest)
		if err == nil && h.locker.distinct() != nil {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.fail()
			return 0, false, nil
		}
		if in > 0 || err != nil {
			h.note(i, l, func(v *vote) {
				if v.fresh == nil {
					h.plan(firstInquiry) // it may need another vote in the place of this one
				}
				if v.fresh = err; err == nil {
					v.fresh = fmt.Errorf("it came back a moment ago, perhaps without its data: its vote counts in %v", in.Round(time.Millisecond))
				}
			})
			if err != nil {
				in = retryPause
			}
			return in, false, nil
		}
	}
	h.note(i, l, func(v *vote) {
		v.fresh = nil
		v.confirmed = own == h.fence && h.fence > 0
		done = h.phase == holding || v.confirmed
	})
	return 0, done, nil
}

// note changes what is known of a vote, unless it is gone, and what follows from that.
func (h *hold) note(i int, l *redislock.Lock, change func(*vote)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if v := &h.votes[i]; v.lock == l && h.phase != over {
		change(v)
		h.decide()
	}
}

// Where three attempts have one vote each, none of them can go on: each node is a queue of its own. So, by the rule of Maekawa (A √N
// algorithm for mutual exclusion in decentralized systems, ACM TOCS 3(2), 1985), an attempt that has some votes and no majority inquires of
// those that have the others, and names its ticket. Whoever has no majority and a later ticket yields that vote: it releases it, which hands
// it to the oldest ticket in the queue, and asks again with its own, and so keeps its place. Whoever has a majority does not
// answer. An inquiry that is lost is repeated.

// firstInquiry is when an attempt inquires first, after it got a vote: the other answers may be on their way. Each inquiry doubles it, up
// to maxPause.
const firstInquiry = 5 * time.Millisecond

const inquiryMark = "quorum"

// plan plans an inquiry. The caller has locked h.mu.
func (h *hold) plan(in time.Duration) {
	h.pause = in
	if h.phase == holding && h.count() == len(h.votes) {
		return
	}
	if h.inquiry == nil {
		h.inquiry = time.AfterFunc(in, h.inquire)
		return
	}
	h.inquiry.Reset(in)
}

// inquire asks those for their votes who have those that are missing here. It also has the fence go past a node that does not confirm it.
func (h *hold) inquire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	have := h.count()
	if h.phase == over || h.phase == holding && have == len(h.votes) {
		return
	}
	if h.phase == seeking {
		h.reach()
	}
	if have > 0 && (h.phase == holding || !h.try && h.counting() < h.locker.majority) {
		for i := range h.votes {
			if v := &h.votes[i]; v.lock == nil && !v.asking && !v.stolen {
				v.asking = true
				h.workers.Add(1)
				go h.inquireOf(i)
			}
		}
	}
	h.plan(min(2*h.pause, maxPause))
}

func (h *hold) inquireOf(i int) {
	defer h.workers.Done()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.votes[i].asking = false
	}()
	// An error is that of a node which the attempt hears of by itself.
	_ = guarded(func() error {
		_, err := h.locker.nodes[i].client.Ask(h.work, h.name, fmt.Sprintf("%s %016d %s", inquiryMark, h.ticket, h.locker.id))
		return err
	})
}

// yields reports whether a vote is given to the one that inquires, and then takes it off the hold.
func (h *hold) yields(i int, l *redislock.Lock, inquiry string) bool {
	words := strings.Fields(inquiry)
	if len(words) != 3 || words[0] != inquiryMark {
		return false // somebody else's wish
	}
	ticket, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil || ticket > h.ticket || ticket == h.ticket && words[2] >= h.locker.id {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	v := &h.votes[i]
	if h.phase != seeking || h.counting() >= h.locker.majority || v.lock != l {
		return false
	}
	v.lock, v.confirmed, v.fresh = nil, false, nil
	return true
}
