package redislock

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// HeldLock is one lock that a Client holds; see [Client.Held].
type HeldLock struct {
	Name string
	// Fence is that of [Lock.Fence].
	Fence int64
	// Mode and Weight are what the hold counts as.
	Mode   Mode
	Weight int
	// Metadata is the text of [WithMetadata].
	Metadata string
	// Since is when the lock was granted, and Deadline is that of [Lock.Deadline], both by the local clock.
	Since, Deadline time.Time
	// Lingers is until when the lock stays with this process after its release if nobody comes to wait for it ([WithLinger]), by
	// the local clock: no goroutine has it. Then Fence is the last one that was given, Since is when Redis granted the lock to
	// this process, and there is no Metadata. It is zero for a lock that is held.
	Lingers time.Time
}

// Waiter is one call of a Client that has a place in the queue of a lock; see [Client.Waiting].
type Waiter struct {
	Name string
	// Mode and Weight are what it asks for.
	Mode   Mode
	Weight int
	// Metadata is the text of [WithMetadata].
	Metadata string
	// Since is when the call began. Deadline is when it gives up, by [WithWait] or by the deadline of its context; zero if it
	// waits for as long as it takes. Both are by the local clock.
	Since, Deadline time.Time
	// Holder is the last known holder of the lock, or the zero value if none is known.
	Holder Owner
}

// Held tells which locks this Client holds now, sorted by name and then by fence. It returns one element for each hold: several
// for one name in a shared mode, and one for all handles that are nested in each other. The locks that Once, Share, Cron and
// Elect hold for themselves are among them, under their own names; weak locks are not. A lock that lingers is among
// them too, with [HeldLock].Lingers: for Redis, this process holds it. Held sends nothing. A Client that New has not made holds
// nothing.
func (c *Client) Held() []HeldLock {
	if c == nil || c.rdb == nil {
		return nil
	}
	lingering := c.lingering() // first: what goes on meanwhile is held
	var all []HeldLock
	for _, h := range c.allHolds() {
		if h.loss() != nil {
			continue
		}
		delete(lingering, h.turn)
		h.mu.Lock()
		held := HeldLock{Name: h.name, Mode: *h.mode, Weight: int(h.weight), Metadata: h.metadata}
		h.mu.Unlock()
		held.Fence, held.Since, held.Deadline = h.lease.Fence(), h.lease.Granted(), h.lease.Deadline()
		all = append(all, held)
	}
	all = slices.AppendSeq(all, maps.Values(lingering))
	slices.SortFunc(all, func(a, b HeldLock) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Fence, b.Fence)) })
	return all
}

// Waiting tells which calls of this Client have a place in the queue of a lock now, sorted by name and then in the order in
// which they asked. A call that has not been answered yet is not among them, and neither is a caller of Once or Share that
// waits for another one in the same process, nor one that waits for a weak lock. Waiting sends nothing.
func (c *Client) Waiting() []Waiter {
	if c == nil || c.rdb == nil {
		return nil
	}
	queued := c.queued.all()
	all := make([]Waiter, 0, len(queued))
	for _, q := range queued {
		w := Waiter{Name: q.name, Mode: q.mode, Weight: int(q.weight), Metadata: q.metadata, Since: q.asked}
		if deadline, ok := q.parent.Deadline(); ok {
			w.Deadline = deadline
		}
		if end := q.asked.Add(q.settings.wait); q.waitSet && (w.Deadline.IsZero() || end.Before(w.Deadline)) {
			w.Deadline = end
		}
		if h, known := c.waits.Holder(q.name); known && h.Since != 0 {
			w.Holder = parseOwner(h.Info)
		}
		all = append(all, w)
	}
	slices.SortStableFunc(all, func(a, b Waiter) int { return cmp.Or(cmp.Compare(a.Name, b.Name), a.Since.Compare(b.Since)) })
	return all
}

// Deadline is until when the lock counts as held unless it is renewed, by the local clock. It is never later than the server's
// deadline, and not later than [WithMaxHold] says. Each renewal moves it. It is zero once the lock is not held any more: after
// a release, a loss, and [Client.Close].
func (l *Lock) Deadline() time.Time {
	if l.Err() != nil {
		return time.Time{}
	}
	return l.hold.lease.Deadline()
}

// queued are the acquisitions that have a place in a queue, each with its number in the order in which they came. Nothing of it
// changes while it is in the table, except its token.
type queued struct {
	mu     sync.Mutex
	of     map[*acquisition]queuedAs
	number uint64
}

// queuedAs is the number of an acquisition, and its present token.
type queuedAs struct {
	number uint64
	token  string
}

// add notes that an acquisition has a place, or has another token.
func (w *queued) add(q *acquisition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of == nil {
		w.of = map[*acquisition]queuedAs{}
	}
	as, known := w.of[q]
	if !known {
		w.number++
		as.number = w.number
	}
	as.token, _ = q.token.(string)
	w.of[q] = as
}

func (w *queued) remove(q *acquisition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.of, q)
}

// all are the acquisitions in the order in which they came.
func (w *queued) all() []*acquisition {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.SortedFunc(maps.Keys(w.of), func(a, b *acquisition) int { return cmp.Compare(w.of[a].number, w.of[b].number) })
}

// tokens are those of the acquisitions for one name.
func (w *queued) tokens(name string) map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	tokens := map[string]bool{}
	for q, as := range w.of {
		if q.name == name {
			tokens[as.token] = true
		}
	}
	return tokens
}
