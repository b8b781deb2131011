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
	// Kind is one of: held (when it was first looked at), acquired, handed over, released, kept (given back, and kept until
	// its deadline), kept time over, lapsed, revoked (it is being stolen), stolen, broken, perhaps broken (nobody answered),
	// asked, unseen (held and given back between two looks) and queue (its length changed).
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
	last   sight
	items  []item
	n      int
	breaks map[int64]breaking // by the fences of the holds that are being broken from here, or were

	deciding int             // how many breaks have not come to an end
	later    *redislock.Info // the newest state seen since they began
}

// breaking is that of one hold, and why.
type breaking struct {
	why  string
	at   time.Time // by the clock of Redis
	sure bool
}

// doubt is after which time a hold that is still there was not ended by a break that nobody answered.
const doubt = time.Minute

func (l *history) add(at time.Time, kind string, o *owner, fence int64, more func(*item)) {
	l.n++
	it := item{N: l.n, At: millis(at), Kind: kind, Fence: fence, Owner: o, Queue: l.last.waiting}
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
	if l.deciding > 0 {
		newer := !info.Now.Before(l.last.now) && (l.later == nil || !info.Now.Before(l.later.Now))
		if newer {
			l.later = &info
		}
		return newer
	}
	first, old := !l.last.seen, l.last
	if !first && info.Now.Before(old.now) {
		return false
	}
	if first {
		old.now = began
	}
	l.last = sightOf(info, old)
	before, after := old.holds, l.last.holds
	shown := greatest(after)
	var ended, begun []sighted
	for fence, h := range before {
		if _, still := after[fence]; !still && !(info.Holders > len(info.Holds) && fence > shown) { // it may be among those that are not shown
			ended = append(ended, h)
		}
	}
	slices.SortFunc(ended, byFence)
	for _, h := range info.Holds {
		is := after[h.Fence]
		was, known := before[h.Fence]
		switch {
		case !known && h.Since.After(old.now):
			begun = append(begun, is)
			continue
		case !known && first:
			l.add(h.Since, "held", &is.owner, h.Fence, nil)
		}
		l.turned(info.Now, was, is)
	}
	for _, h := range ended {
		at := info.Now
		if len(begun) > 0 && begun[0].since.Before(at) {
			at = begun[0].since // by then it was over
		}
		l.ended(h, at, old.now)
	}
	if !first && info.Fence > max(old.fence, shown) {
		l.add(unseenAt(info.Fence, old.now, info.Now), "unseen", nil, info.Fence, nil)
	}
	for _, h := range begun {
		kind, waited := "acquired", time.Duration(0)
		if since, waits := old.places[h.who]; waits {
			kind = "handed over"
			if !since.IsZero() {
				waited = h.since.Sub(since)
			}
		}
		l.add(h.since, kind, &h.owner, h.fence, func(it *item) { it.Waited = waited.Milliseconds() })
		l.turned(info.Now, sighted{}, h)
	}
	if info.Waiting != old.waiting {
		l.add(info.Now, "queue", nil, 0, nil)
	}
	return true
}

// turned tells what has become of a hold that is there.
func (l *history) turned(at time.Time, was, is sighted) {
	if is.revoked && !was.revoked {
		l.add(at, "revoked", &is.owner, is.fence, nil)
	}
	if is.kept && !was.kept {
		l.add(at, "kept", &is.owner, is.fence, nil)
	}
}

// ended tells how a hold ended that is not there any more, and was so last at seen.
func (l *history) ended(h sighted, at, seen time.Time) {
	b, broken := l.breaks[h.fence]
	delete(l.breaks, h.fence)
	if !b.sure && seen.Sub(b.at) > doubt {
		broken, b.why = false, ""
	}
	kind, over := "released", !at.Before(h.deadline)
	switch {
	case broken && b.sure:
		kind = "broken"
	case broken:
		kind = "perhaps broken"
	case h.revoked:
		kind = "stolen"
	case h.kept && over:
		kind, at = "kept time over", h.deadline
	case over:
		kind, at = "lapsed", h.deadline
	}
	l.add(at, kind, &h.owner, h.fence, func(it *item) { it.Since, it.Why = millis(h.since), valid(b.why) })
}

// unseenAt is when a grant was that nobody saw: the fence of a lock that was free is the microsecond of its grant.
func unseenAt(fence int64, from, to time.Time) time.Time {
	if at := time.UnixMicro(fence); at.After(from) && at.Before(to) {
		return at
	}
	return to
}

// since are the items after the n-th.
func (l *history) since(n int) []item {
	i, _ := slices.BinarySearchFunc(l.items, n+1, func(it item, n int) int { return it.N - n })
	return append([]item{}, l.items[i:]...)
}

// prune forgets what is too old, or too much, and histories of locks that are gone and have nothing to tell.
func prune(histories map[string]*history, now time.Time, there func(id string) bool) {
	for horizon := keep; ; horizon /= 2 {
		total, oldest := 0, millis(now.Add(-horizon))
		for id, l := range histories {
			l.items = slices.DeleteFunc(l.items, func(it item) bool { return it.At < oldest })
			if total += len(l.items); len(l.items) == 0 && l.deciding == 0 && !there(id) {
				delete(histories, id)
			}
		}
		if total <= maxItems || horizon < time.Second {
			return
		}
	}
}

// breaking remembers that these holds are being broken from here. Until broke says what came of it, nothing is told of
// the lock: how a hold ended is not known.
func (l *history) breaking(holds []redislock.Hold, why string, now time.Time) {
	l.deciding++
	if l.breaks == nil {
		l.breaks = map[int64]breaking{}
	}
	if len(l.breaks) > maxOfLock { // of holds that were never seen to end
		clear(l.breaks)
	}
	for _, h := range holds {
		if !l.breaks[h.Fence].sure {
			l.breaks[h.Fence] = breaking{why, now, false}
		}
	}
}

// broke notes what came of it: holds up to this fence were broken, and those beyond it were not if that is sure.
func (l *history) broke(holds []redislock.Hold, fence int64, sure bool, began time.Time) {
	for _, h := range holds {
		b, there := l.breaks[h.Fence]
		switch {
		case !there:
		case h.Fence <= fence:
			b.sure = true
			l.breaks[h.Fence] = b
		case sure && !b.sure:
			delete(l.breaks, h.Fence)
		}
	}
	if l.deciding--; l.deciding == 0 && l.later != nil {
		later := *l.later
		l.later = nil
		l.see(later, began)
	}
}
