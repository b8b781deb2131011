package quorum

import (
	"strconv"
	"strings"
	"time"
)

// If three attempts have one vote each, none of them can go on, because each node has a queue of its own. So, by the rule of
// Maekawa (A √N algorithm for mutual exclusion in decentralized systems, ACM TOCS 3(2), 1985), an attempt that has some votes and
// no majority inquires of those that have the others, and names its ticket. An attempt that has no majority and a later ticket
// yields that vote: it releases the vote, which goes to the oldest ticket of the queue, and asks again with its own ticket. So it
// keeps its order. An attempt that has a majority does not answer. An inquiry that is lost is repeated.

// firstInquiry is when an attempt inquires first, after it got a vote or found another in its way: the other answers may be on their
// way. Each inquiry doubles it, up to maxPause.
const firstInquiry = 5 * time.Millisecond

const inquiryMark = "quorum"

// watch plans the first inquiry, if none is planned: a node has not given its vote at once. The caller has locked h.mu.
func (h *hold) watch() {
	if h.inquiry == nil && h.phase != over {
		h.plan(firstInquiry)
	}
}

// plan plans an inquiry. The caller has locked h.mu.
func (h *hold) plan(in time.Duration) {
	h.pause = in
	if h.phase == over || h.phase == holding && h.count() == len(h.votes) {
		return
	}
	if h.inquiry == nil {
		h.inquiry = time.AfterFunc(in, h.inquire)
		return
	}
	h.inquiry.Reset(in)
}

// inquire asks the holders of the missing votes for them. It also has the fence go past a node that does not confirm it.
func (h *hold) inquire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.phase == seeking {
		h.reach()
	}
	have := h.count()
	if h.phase == over || h.phase == holding && have == len(h.votes) {
		return
	}
	if have > 0 && (h.phase == holding || !h.try && h.counting() < h.locker.majority) {
		for i := range h.votes {
			if v := &h.votes[i]; v.lock == nil && !v.inquiring && !v.stolen {
				v.inquiring = true
				h.run(i, h.inquireOf)
			}
		}
	}
	h.plan(min(2*h.pause, maxPause))
}

func (h *hold) inquireOf(i int) {
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.votes[i].inquiring = false
	}()
	// An error is that of a node which the attempt hears of by itself.
	_ = guarded(func() error {
		_, err := h.locker.nodes[i].client.Ask(h.work, h.name, inquiryMark+" "+h.place+" "+h.locker.id)
		return err
	})
}

// Asked is the event that another attempt asks for the vote. It is given to an attempt with an older ticket, and asked for again.
func (b *ballot) Asked(why string) {
	h, i := b.h, b.i
	if !h.older(why) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	v := &h.votes[i]
	if h.phase != seeking || h.counting() >= h.locker.majority || v.ballot != b || v.lock == nil {
		return
	}
	l := v.lock
	v.take()
	v.started, v.tried = true, time.Now()
	h.run(i, func(i int) {
		defer h.attempt(i) // also where an Observer ends this goroutine
		_ = giveBack(l)
	})
}

// older reports whether a text is the inquiry of an attempt that comes before this one.
func (h *hold) older(inquiry string) bool {
	words := strings.Fields(inquiry)
	if len(words) != 3 || words[0] != inquiryMark {
		return false // somebody else's wish
	}
	ticket, err := strconv.ParseInt(words[1], 10, 64)
	return err == nil && (ticket < h.ticket || ticket == h.ticket && words[2] < h.locker.id)
}
