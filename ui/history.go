package ui

import (
	"slices"
	"time"

	"example.com/redislock"
)

const (
	// keep is how long items are remembered. If there are more than maxItems in all, the time is shorter. maxOfLock is
	// the most items of one lock.
	keep      = 20 * time.Minute
	maxItems  = 100_000
	maxOfLock = 300
	// gap is how far apart two looks at a lock may be. A longer time is shown as one in which nobody looked.
	gap = 10 * time.Second
)

// item is an event of a lock, as far as the difference of two looks shows it. If the server does not say when it was, it
// was between From and At, the times of the two looks.
type item struct {
	N    int   `json:"n"` // the number of the item, from 1 for each lock
	From int64 `json:"from,omitempty"`
	At   int64 `json:"at"`
	// Kind is one of:
	//   held            it was held when it was first looked at
	//   acquired        a grant of which no place in the queue was seen
	//   handed over     a grant to a place in the queue that was seen
	//   upgraded        a hold has got a new fence with its new mode
	//   handed off      a hold has moved to another owner
	//   released        a hold ended before its deadline, and was not broken: that would have raised the fence
	//   lost            its key is gone, which would have outlived it: deleted, or lost by Redis
	//   ended           a hold is not there any more, and nothing shows why; with Deadline: by then its lease may have run out
	//   kept            it was given back, and is kept until its deadline
	//   kept time over  and then that was over
	//   revoked         it is being stolen
	//   stolen          and then it had ended
	//   broken          from here
	//   perhaps broken  from here, but nobody answered
	//   asked           from here
	//   unseen          its fence has risen: it was held at least once, and nobody saw the hold, or a hold was broken elsewhere
	//   queue           its length has changed
	Kind     string `json:"kind"`
	Owner    *owner `json:"owner,omitempty"`
	Fence    int64  `json:"fence,omitempty"`
	Since    int64  `json:"since,omitempty"`    // of a hold that ended
	Deadline int64  `json:"deadline,omitempty"` // of a hold that ended: its last known deadline, if that was before At
	Waited   int64  `json:"waited,omitempty"`   // milliseconds that the new holder waited
	Queue    int    `json:"queue"`              // how many wait from then on
	Why      text   `json:"why,omitempty"`
	// By is the person who did it. Told says that the event was reported, and not seen, if a history is kept in Redis.
	By   text `json:"by,omitempty"`
	Told bool `json:"told,omitempty"`
}

// past is the history of one lock, found by comparing its states.
type past struct {
	last    sight
	items   []item
	n       int
	dropped int64              // items up to this time were dropped, in milliseconds by the clock of Redis; 0 if none was
	blind   [][2]int64         // times when nobody looked, in milliseconds by the clock of Redis
	breaks  map[int64]breaking // by fence: the holds that are being broken from this page, or were

	deciding int             // how many breaks are under way
	later    *redislock.Info // the newest state seen since they began
}

// breaking is the break of one hold, with its reason.
type breaking struct {
	why  string
	at   time.Time // by the clock of Redis
	sure bool
}

// doubt is how long a break without an answer counts as the possible cause of the end of a hold.
const doubt = time.Minute

func (l *past) add(at time.Time, kind string, o *owner, fence int64, more func(*item)) {
	l.n++
	it := item{N: l.n, At: millis(at), Kind: kind, Fence: fence, Owner: o, Queue: l.last.waiting}
	if more != nil {
		more(&it)
	}
	l.items = append(l.items, it)
	l.drop(len(l.items) - maxOfLock)
}

// drop removes the first items, if there are so many.
func (l *past) drop(n int) {
	if n <= 0 {
		return
	}
	for _, it := range l.items[:n] { // they are in the order in which they were found, which is not always that of their times
		l.dropped = max(l.dropped, it.At)
	}
	l.items = slices.Delete(l.items, 0, n)
}

// see compares a new state with the last one. The first state is compared with a free lock at the time began, when
// the watching began. For a state that is older than the last one it changes nothing and reports false.
func (l *past) see(info redislock.Info, began time.Time) bool {
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
	} else if info.Now.Sub(old.now) > gap {
		l.blind = appendBounded(l.blind, [2]int64{millis(old.now), millis(info.Now)})
	}
	l.last = sightOf(info, old)
	l.last.fence = max(info.Fence, old.fence) // the key may have expired since
	ended, begun := l.changes(info, old, first)
	broke := false // a break from this page, even an uncertain one, explains a higher fence
	for _, h := range ended {
		_, breaking := l.breaks[h.fence]
		broke = broke || breaking
		l.ended(h, by(h, begun, info.Now), old, info.Fence)
	}
	if shown := greatest(l.last.holds); !first && !broke && info.Fence > max(old.fence, shown) {
		l.add(info.Now, "unseen", nil, info.Fence, func(it *item) { it.From = millis(old.now) })
	}
	if first {
		begun = slices.DeleteFunc(begun, func(h sighted) bool { return l.granted(h.fence) }) // which is known from the history in Redis
	}
	for _, h := range begun {
		kind, waited := "acquired", time.Duration(0)
		if since, waits := old.places[h.id]; waits && !since.IsZero() {
			kind, waited = "handed over", h.since.Sub(since)
		}
		l.add(h.since, kind, &h.owner, h.fence, func(it *item) { it.Waited = waited.Milliseconds() })
		l.turned(info.Now, old.now, sighted{}, h)
	}
	if info.Waiting != old.waiting {
		l.add(info.Now, "queue", nil, 0, nil)
	}
	return true
}

// granted reports whether a grant of that fence is among the items.
func (l *past) granted(fence int64) bool {
	return slices.ContainsFunc(l.items, func(it item) bool {
		return it.Fence == fence && (it.Kind == "acquired" || it.Kind == "handed over" || it.Kind == "held")
	})
}

// changes returns the holds that have ended and those that were granted since the last look. It records the changes of
// all other holds.
func (l *past) changes(info redislock.Info, old sight, first bool) (ended, begun []sighted) {
	before, after := old.holds, l.last.holds
	shown := greatest(after)
	for fence, h := range before {
		if _, still := after[fence]; !still && !(info.Holders > len(info.Holds) && fence > shown) { // otherwise it may be among the holds that are not shown
			ended = append(ended, h)
		}
	}
	slices.SortFunc(ended, byFence)
	for _, h := range info.Holds {
		is := after[h.Fence]
		was, known := before[h.Fence]
		switch i := slices.IndexFunc(ended, func(e sighted) bool { return e.since.Equal(h.Since) }); {
		case known:
		case i >= 0: // it began when that one did: an upgrade and a hand-off give a new fence to a hold that goes on
			was, kind := ended[i], "handed off"
			if ended = slices.Delete(ended, i, i+1); was.id == is.id {
				kind = "upgraded"
			}
			l.add(info.Now, kind, &is.owner, h.Fence, func(it *item) { it.From = millis(old.now) })
		case h.Since.After(old.now):
			begun = append(begun, is)
			continue
		case first && l.granted(h.Fence):
		case first:
			l.add(h.Since, "held", &is.owner, h.Fence, nil)
		}
		l.turned(info.Now, old.now, was, is)
	}
	return ended, begun
}

// by is the latest time at which a hold can have ended that a look did not find: the time of the look, or of the first
// grant that excludes the hold.
func by(h sighted, begun []sighted, looked time.Time) time.Time {
	for _, next := range begun {
		if (h.alone || next.alone) && next.since.Before(looked) {
			looked = next.since
		}
	}
	return looked
}

// turned records what changed between two looks in a hold that goes on.
func (l *past) turned(at, seen time.Time, was, is sighted) {
	from := func(it *item) {
		if it.From = millis(seen); is.since.After(seen) {
			it.From = millis(is.since)
		}
	}
	if is.revoked && !was.revoked {
		l.add(at, "revoked", &is.owner, is.fence, from)
	}
	if is.kept && !was.kept {
		l.add(at, "kept", &is.owner, is.fence, from)
	}
}

// ended records the end of a hold that was there at the last look and is not there now. A lease that has run out may have been
// renewed first, and then released. A hold that is gone before its deadline was released or broken, and a break raises the
// fence.
func (l *past) ended(h sighted, at time.Time, old sight, fence int64) {
	b, broken := l.breaks[h.fence]
	delete(l.breaks, h.fence)
	if !b.sure && old.now.Sub(b.at) > doubt {
		broken, b.why = false, ""
	}
	kind, over := "ended", !at.Before(h.deadline)
	switch {
	case broken && b.sure:
		kind, over = "broken", false
	case broken:
		kind = "perhaps broken"
	case h.revoked:
		kind, over = "stolen", false
	case h.kept && over:
		kind, at, over = "kept time over", h.deadline, false
	case fence == 0 && !over:
		kind = "lost"
	case fence == old.fence && !over:
		kind = "released"
	}
	l.add(at, kind, &h.owner, h.fence, func(it *item) {
		it.Since, it.Why = millis(h.since), text(b.why)
		if kind != "kept time over" {
			it.From = millis(old.now)
		}
		if over {
			it.Deadline = millis(h.deadline)
		}
	})
}

// appendBounded adds a time to the last ones.
func appendBounded(times [][2]int64, one [2]int64) [][2]int64 {
	if times = append(times, one); len(times) > maxOfLock {
		times = slices.Delete(times, 0, len(times)-maxOfLock)
	}
	return times
}

// since returns the items after the n-th.
func (l *past) since(n int) []item {
	i, _ := slices.BinarySearchFunc(l.items, n+1, func(it item, n int) int { return it.N - n })
	return append([]item{}, l.items[i:]...)
}

// prune removes items that are too old or too many, and the empty histories of locks that are gone.
func prune(histories map[string]*past, now time.Time, keep time.Duration, there func(id string) bool) {
	for horizon := keep; ; horizon /= 2 {
		total, oldest := 0, millis(now.Add(-horizon))
		for id, l := range histories {
			l.items = slices.DeleteFunc(l.items, func(it item) bool {
				if it.At < oldest {
					l.dropped = max(l.dropped, it.At)
				}
				return it.At < oldest
			})
			l.blind = slices.DeleteFunc(l.blind, func(times [2]int64) bool { return times[1] < oldest })
			if total += len(l.items); len(l.items) == 0 && l.deciding == 0 && !there(id) {
				delete(histories, id)
			}
		}
		if total <= maxItems || horizon < time.Second {
			return
		}
	}
}

// breaking remembers that these holds are being broken from this page. Until broke is called with the result, nothing
// is recorded of the lock, as it is not known how a hold ended.
func (l *past) breaking(holds []redislock.Hold, why string, now time.Time) {
	l.deciding++
	if l.breaks == nil {
		l.breaks = map[int64]breaking{}
	}
	if len(l.breaks) > maxOfLock { // their holds were never seen to end
		clear(l.breaks)
	}
	for _, h := range holds {
		if !l.breaks[h.Fence].sure {
			l.breaks[h.Fence] = breaking{why, now, false}
		}
	}
}

// broke records the result of a break: the holds up to this fence were broken. If sure is true, those beyond it were
// not.
func (l *past) broke(holds []redislock.Hold, fence int64, sure bool, began time.Time) {
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
