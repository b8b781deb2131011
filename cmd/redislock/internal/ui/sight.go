package ui

import (
	"cmp"
	"hash/maphash"
	"time"

	"example.com/redislock"
)

// sight is what is kept of a lock's last state: what the next one is compared with, and no more. Metadata is written by
// others, and there may be a thousand waiters.
type sight struct {
	seen    bool
	now     time.Time
	fence   int64
	waiting int
	holds   map[int64]sighted    // by their fences
	places  map[uint64]time.Time // since when, by who waits
}

// sighted is a hold that was seen.
type sighted struct {
	owner           owner // without what the page does not show in a history
	who             uint64
	since, deadline time.Time
	fence           int64
	revoked, kept   bool
}

var seed = maphash.MakeSeed()

// sightOf is what is kept of a state. A hold that was there before has the owner that it had: the same strings.
func sightOf(info redislock.Info, old sight) sight {
	s := sight{seen: true, now: info.Now, fence: info.Fence, waiting: info.Waiting}
	if len(info.Holds) > 0 {
		s.holds = make(map[int64]sighted, len(info.Holds))
	}
	for _, h := range info.Holds {
		is, known := old.holds[h.Fence]
		if !known {
			is = sighted{owner: briefly(h.Owner), who: maphash.Comparable(seed, h.Owner), since: h.Since, fence: h.Fence}
		}
		is.deadline, is.revoked, is.kept = h.Deadline, h.Revoked, h.Kept
		s.holds[h.Fence] = is
	}
	if len(info.Places) > 0 {
		s.places = make(map[uint64]time.Time, len(info.Places))
	}
	for _, p := range info.Places {
		if who := maphash.Comparable(seed, p.Owner); s.places[who].IsZero() { // the first of several counts
			s.places[who] = p.Since
		}
	}
	return s
}

// busy says whether somebody held the lock or waited for it.
func (s sight) busy() bool { return len(s.holds) > 0 || s.waiting > 0 }

func byFence(a, b sighted) int { return cmp.Compare(a.fence, b.fence) }

func greatest(holds map[int64]sighted) (fence int64) {
	for f := range holds {
		fence = max(fence, f)
	}
	return fence
}
