package trouble

import (
	"slices"
	"strings"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/safetext"
	"example.com/redislock/ui/history"
)

// End is how a hold has ended that did not end as it should.
type End struct {
	How   How
	Owner redislock.Owner
	At    time.Time
	Fence int64
	// By is who broke it, and Why the reason, if they are known.
	By, Why string
}

// How a hold has ended.
type How string

// The ends.
const (
	Lapsed  How = "lapsed"  // its lease ran out without a renewal
	WasLost How = "lost"    // its owner reported that it lost the hold
	Vanish  How = "vanish"  // its key was gone before its deadline
	Robbed  How = "stolen"  // a caller stole it because of its age
	Broken  How = "broken"  // by an operator
	Closed  How = "expired" // WithMaxHold was over
)

// Told returns the end that an entry of the history reports. It is false if the entry reports none, or an end that is
// as it should be.
func Told(e history.Entry) (End, bool) {
	end := End{Owner: e.Owner.Owner(), At: e.At, Fence: e.Fence, By: e.By, Why: e.Why}
	switch {
	case e.Told:
		end.How = map[string]How{"broken": Broken, "lost": WasLost, "stolen": Robbed}[e.Kind]
		if end.How == WasLost && strings.Contains(e.Why, "longest time") {
			end.How = Closed
		}
	case slices.Contains([]How{Lapsed, Vanish, Robbed}, How(e.How)):
		end.How = How(e.How)
		if at := time.UnixMilli(e.Ended); at.Before(e.At) && e.At.Sub(at) < Recent {
			end.At = at
		}
	}
	return end, end.How != ""
}

// Ended returns how the hold with that fence has ended, as looks have shown it. It is false if that is not known, or if
// the end was as it should be.
func (m *Memory) Ended(name string, fence int64) (End, bool) {
	if p := m.locks[name]; p != nil {
		for _, e := range p.ends {
			if e.Fence == fence {
				return e, true
			}
		}
	}
	return End{}, false
}

// Ends returns the ends of a lock's holds that were not as they should be and are still shown at this time, the last
// one first.
func (m *Memory) Ends(name string, now time.Time) (all []Trouble) {
	if p := m.locks[name]; p != nil {
		for _, e := range slices.Backward(p.ends) {
			if now.Sub(e.At) <= Recent {
				all = append(all, ofEnd(name, e, p.last))
			}
		}
	}
	return all
}

// Note stores an end that was reported, such as a break. A report says more than a look.
func (m *Memory) Note(name string, e End) {
	if m.locks == nil {
		m.locks = map[string]*past{}
	}
	p := m.locks[name]
	if p == nil {
		p = &past{last: redislock.Info{Name: name}}
		m.locks[name] = p
	}
	p.end(e)
}

// ofEnd is the trouble of an end, with the last seen state of the lock.
func ofEnd(name string, e End, last redislock.Info) Trouble {
	who := Who(e.Owner)
	t := Trouble{Kind: Ended, Level: Warning, Lock: name, Since: e.At}
	steps := []Step{lookLate(e.Owner)}
	switch e.How {
	case Lapsed:
		t.Title = Text(who) + " lost the lock: its lease ran out"
		t.cause = cause{kind: Ended, how: Lapsed, who: process(e.Owner)}
		t.Means = []Text{Text(who) + " did not renew in time: it was paused, gone, or cut off from Redis. What it did under the lock may be half done."}
		steps = append(steps, prevent("Let what is written store the fence and refuse a smaller one, and take a lease (WithLease) that is longer than the process may pause"))
	case WasLost:
		t.Title = Text(who) + " lost the lock"
		t.cause = cause{kind: Ended, how: WasLost, who: process(e.Owner)}
		t.Means = []Text{Text(who) + " says so itself: " + Text(safetext.Escape(e.Why)) + "."}
	case Closed:
		t.Title = Text(who) + " held the lock for its longest time, and lost it"
		t.Means = []Text{"The work takes longer than its program allows for."}
		steps = append(steps, prevent("WithMaxHold says how long a hold may last"))
	case Vanish:
		t.Title = Text(who) + " lost the lock with its key"
		t.cause = cause{kind: Ended, how: Vanish, at: e.At.UnixMilli()}
		t.Means = []Text{"The key was there and is gone before its time: somebody deleted it, or Redis has lost data (a restart, a failover, an eviction)."}
		steps = append([]Step{whatRedisDid}, steps...)
	case Robbed:
		t.Title = "the lock was stolen from " + Text(who)
		t.Means = []Text{"A caller took it because the hold had lasted for too long. The work hung, or takes longer than that caller tolerates."}
		steps = append(steps, prevent("WithStealAfter of the caller says from what age on it takes a lock"))
	case Broken:
		t.Title = "the lock of " + Text(who) + " was broken"
		if e.By != "" {
			t.Title += " by " + Text(safetext.Escape(e.By))
		}
		t.Means = []Text{"Until it hears of that, or for longer if it is paused, the old holder may go on."}
		if e.Why != "" {
			t.Means = append([]Text{"The reason given: " + Text(safetext.Text(e.Why)) + "."}, t.Means...)
		}
	}
	t.Means = append(hasNow(e, last), t.Means...)
	steps = append(steps, seeLock(name), lookStep(says("Look for late writes: those that came after %s with the fence"+theFence+" %d, or a smaller one. Where it is not stored, compare times in the log of that process", moment(e.At), e.Fence), ""))
	t.Steps = ranked(steps...)
	return t
}

// hasNow says who has the lock now that another has lost. That holder is in order: its lock need not be broken.
func hasNow(e End, last redislock.Info) []Text {
	if last.Now.IsZero() {
		return nil
	}
	if len(last.Holds) == 0 {
		return []Text{"Nobody has the lock now: there is nothing to break."}
	}
	h := present(last)
	late, never := late(h, last.Now)
	switch {
	case h.Fence == e.Fence, late && !never, !h.Deadline.After(last.Now):
		return nil
	case process(h.Owner) == process(e.Owner):
		return []Text{says("The same process has it again, since %s.", moment(h.Since))}
	}
	return []Text{says("%s has the lock now, since %s: there is nothing to break.", Who(h.Owner), moment(h.Since))}
}
