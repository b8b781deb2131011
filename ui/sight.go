package ui

import (
	"cmp"
	"hash/maphash"
	"time"

	"example.com/redislock"
)

// sight is what is kept of the last state of a lock, to compare the next one with it. It is kept small, as there may be
// a thousand waiters, and others write the metadata.
type sight struct {
	seen    bool
	now     time.Time
	fence   int64
	waiting int
	holds   map[int64]sighted    // by their fences
	places  map[string]time.Time // the times since when they wait, by their ids
}

// sighted is a hold that was seen.
type sighted struct {
	owner           owner // without the parts that a history does not show
	who             uint64
	id              string
	since, deadline time.Time
	fence           int64
	alone           bool // its mode excludes all others
	revoked, kept   bool
}

var seed = maphash.MakeSeed()

// sightOf makes the sight of a state. A hold that is in the old one keeps the strings of its owner, which saves
// memory.
func sightOf(info redislock.Info, old sight) sight {
	s := sight{seen: true, now: info.Now, fence: info.Fence, waiting: info.Waiting}
	if len(info.Holds) > 0 {
		s.holds = make(map[int64]sighted, len(info.Holds))
	}
	for _, h := range info.Holds {
		is, known := old.holds[h.Fence]
		if who := maphash.Comparable(seed, h.Owner); !known || is.who != who {
			is = sighted{owner: briefly(h.Owner), who: who, id: h.ID, since: h.Since, fence: h.Fence}
		}
		is.deadline, is.alone, is.revoked, is.kept = h.Deadline, h.Mode == redislock.Exclusive, h.Revoked, h.Kept
		s.holds[h.Fence] = is
	}
	if len(info.Places) > 0 {
		s.places = make(map[string]time.Time, len(info.Places))
	}
	for _, p := range info.Places {
		s.places[p.ID] = p.Since
	}
	return s
}

// busy reports whether the lock was held or waited for.
func (s sight) busy() bool { return len(s.holds) > 0 || s.waiting > 0 }

func byFence(a, b sighted) int { return cmp.Compare(a.fence, b.fence) }

func greatest(holds map[int64]sighted) (fence int64) {
	for f := range holds {
		fence = max(fence, f)
	}
	return fence
}
