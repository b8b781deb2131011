package ui

import (
	"slices"
	"time"

	"example.com/redislock"
)

const (
	// keep is how long what happened is remembered, from maxItems in all on for less time, and maxOfLock of one lock.
	keep      = 20 * time.Minute
	maxItems  = 100_000
	maxOfLock = 300
)

// item is one thing that was seen to happen to a lock.
type item struct {
	N  int   `json:"n"` // counts those of a lock, from 1
	At int64 `json:"at"`
	// Kind is one of: held (when it was first looked at), acquired, handed over, released, lapsed, revoked (it is being
	// stolen), stolen, broken, asked, unseen (held and given back between two looks) and queue (its length changed).
	Kind   string `json:"kind"`
	Owner  *owner `json:"owner,omitempty"`
	Fence  int64  `json:"fence,omitempty"`
	Since  int64  `json:"since,omitempty"`  // of a hold that ended
	Waited int64  `json:"waited,omitempty"` // milliseconds, of who acquired
	Queue  int    `json:"queue"`            // how many wait from then on
	Why    string `json:"why,omitempty"`
}

// history is what happened to one lock, as seen by comparing its states.
type history struct {
	last   redislock.Info
	items  []item
	n      int
	broken map[int64]string // fences of holds that were broken from here, and why
}

func (l *history) add(at time.Time, kind string, o *redislock.Owner, fence int64, more func(*item)) {
	l.n++
	it := item{N: l.n, At: millis(at), Kind: kind, Fence: fence, Queue: l.last.Waiting}
	if o != nil {
		shown := ownerOf(*o)
		it.Owner = &shown
	}
	if more != nil {
		more(&it)
	}
	l.items = append(l.items, it)
	if len(l.items) > maxOfLock {
		l.items = slices.Delete(l.items, 0, len(l.items)-maxOfLock)
	}
}

// see compares a new state with the last one. The first is compared with nothing held since began, when the watching
// began. It reports false, and nothing changes, for a state that is older than the last one.
func (l *history) see(info redislock.Info, began time.Time) bool {
	first, old := l.last.Name == "", l.last
	if !first && info.Now.Before(old.Now) {
		return false
	}
	if first {
		old.Now = began
	}
	l.last = info
	before, after := byFence(old.Holds), byFence(info.Holds)
	var ended []redislock.Hold
	for _, h := range old.Holds {
		if _, still := after[h.Fence]; !still && !(info.Holders > len(info.Holds) && h.Fence > greatest(after)) { // it may be among those that are not shown
			ended = append(ended, h)
		}
	}
	var begun []redislock.Hold
	for _, h := range info.Holds {
		was, known := before[h.Fence]
		switch {
		case !known && h.Since.After(old.Now):
			begun = append(begun, h)
		case !known && first:
			l.add(h.Since, "held", &h.Owner, h.Fence, nil)
		}
		if h.Revoked && !was.Revoked {
			l.add(info.Now, "revoked", &h.Owner, h.Fence, nil)
		}
	}
	for _, h := range ended {
		at := info.Now
		if len(begun) > 0 && begun[0].Since.Before(at) {
			at = begun[0].Since // by then it was over
		}
		why, broken := l.broken[h.Fence]
		delete(l.broken, h.Fence)
		kind := "released"
		switch {
		case broken:
			kind = "broken"
		case h.Revoked:
			kind = "stolen"
		case !at.Before(h.Deadline):
			kind, at = "lapsed", h.Deadline
		}
		l.add(at, kind, &h.Owner, h.Fence, func(it *item) { it.Since, it.Why = millis(h.Since), valid(why) })
	}
	if !first && info.Fence > max(old.Fence, greatest(after)) {
		l.add(unseenAt(info.Fence, old.Now, info.Now), "unseen", nil, info.Fence, nil)
	}
	for _, h := range begun {
		kind, waited := "acquired", time.Duration(0)
		if i := slices.IndexFunc(old.Places, func(p redislock.Place) bool { return p.Owner == h.Owner }); i >= 0 {
			kind = "handed over"
			if since := old.Places[i].Since; !since.IsZero() {
				waited = h.Since.Sub(since)
			}
		}
		l.add(h.Since, kind, &h.Owner, h.Fence, func(it *item) { it.Waited = waited.Milliseconds() })
	}
	if info.Waiting != old.Waiting {
		l.add(info.Now, "queue", nil, 0, nil)
	}
	return true
}

// unseenAt is when a grant was that nobody saw: the fence of a lock that was free is the microsecond of its grant.
func unseenAt(fence int64, from, to time.Time) time.Time {
	if at := time.UnixMicro(fence); at.After(from) && at.Before(to) {
		return at
	}
	return to
}

func byFence(holds []redislock.Hold) map[int64]redislock.Hold {
	found := make(map[int64]redislock.Hold, len(holds))
	for _, h := range holds {
		found[h.Fence] = h
	}
	return found
}

func greatest(holds map[int64]redislock.Hold) (fence int64) {
	for f := range holds {
		fence = max(fence, f)
	}
	return fence
}

// since are the items after the n-th.
func (l *history) since(n int) []item {
	i, _ := slices.BinarySearchFunc(l.items, n+1, func(it item, n int) int { return it.N - n })
	return slices.Clone(l.items[i:])
}

// prune forgets what is too old, or too much, and histories of locks that are gone and have nothing to tell.
func prune(histories map[string]*history, now time.Time, there func(id string) bool) {
	for horizon := keep; ; horizon /= 2 {
		total, oldest := 0, millis(now.Add(-horizon))
		for id, l := range histories {
			l.items = slices.DeleteFunc(l.items, func(it item) bool { return it.At < oldest })
			if total += len(l.items); len(l.items) == 0 && !there(id) {
				delete(histories, id)
			}
		}
		if total <= maxItems || horizon < time.Second {
			return
		}
	}
}

// breaking remembers that these holds are being broken from here.
func (l *history) breaking(holds []redislock.Hold, why string) {
	if l.broken == nil {
		l.broken = map[int64]string{}
	}
	if len(l.broken) > maxOfLock { // of holds that were never seen to end
		clear(l.broken)
	}
	for _, h := range holds {
		l.broken[h.Fence] = why
	}
}
