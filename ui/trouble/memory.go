package trouble

import (
	"slices"
	"time"

	"example.com/redislock"
)

const (
	// Recent is how long an end that was not as it should be is shown.
	Recent = 10 * time.Minute
	// A queue counts as one that only grows if it has not become shorter for growTime, and has become longer by growBy.
	growTime = 30 * time.Second
	growBy   = 3
	// blind is the longest time between two looks at a queue in which it may have grown. After a longer one the growth
	// is measured anew.
	blind = 15 * time.Second
	// maxWaits is how many served waits are remembered of a lock. They are used from enoughWaits on.
	maxWaits    = 20
	enoughWaits = 3
	// maxEnds is how many ends are shown of one lock.
	maxEnds = 3
	// leastAway is how long Redis must not have answered for that to be shown. A failover is shorter, and leases are longer.
	leastAway = 10 * time.Second
)

// Memory keeps the little of earlier looks at each lock that is needed to find what a single look does not show. It is for one
// goroutine. The zero Memory is ready for use.
type Memory struct {
	locks     map[string]*past
	looks     int            // how many looks were stored
	cycles    map[string]int // by madeOf: how many looks there were when a cycle was first seen
	deadlocks []Trouble
	sure      bool // the deadlocks come from SeeDeadlocks
	sureOf    []redislock.Cycle
	away      [2]time.Time // begin and end of the last outage of Redis
	filled    map[where]filled
	wasFull   filled    // the last time that Redis was full and has room again
	examined  time.Time // when the last report of the doctor came
}

// See stores a look at a lock. The looks at one lock must come in the order of their times.
func (m *Memory) See(info redislock.Info) {
	p := m.locks[info.Name]
	if p == nil {
		if info.Idle() && kindOf(info.Name) != "elect" {
			return // there is nothing to remember
		}
		if m.locks == nil {
			m.locks = map[string]*past{}
		}
		p = &past{}
		m.locks[info.Name] = p
	}
	m.looks++
	p.look = m.looks
	p.see(info)
	if p.last.Idle() && len(p.ends) == 0 && len(p.waits) == 0 && len(p.found) == 0 {
		delete(m.locks, info.Name)
	}
}

// Gone records that the key of a lock was not there at this time.
func (m *Memory) Gone(name string, now time.Time) {
	p := m.locks[name]
	if p == nil {
		return
	}
	for _, h := range p.last.Holds {
		if h.Deadline.After(now) {
			p.end(End{How: Vanish, Owner: h.Owner, At: now, Fence: h.Fence})
		}
	}
	p.see(redislock.Info{Name: name, Now: now})
	if p.found = nil; len(p.ends) == 0 {
		delete(m.locks, name)
	}
}

// CannotBeRead records that a lock cannot be read.
func (m *Memory) CannotBeRead(name, why string) {
	if m.locks == nil {
		m.locks = map[string]*past{}
	}
	p := m.locks[name]
	if p == nil {
		p = &past{last: redislock.Info{Name: name}}
		m.locks[name] = p
	}
	p.found = []Trouble{OfDamaged(name, why)}
}

// Away records an outage: looks failed from the first time on, and at the second Redis answers again. Both are by the
// clock of Redis.
func (m *Memory) Away(from, to time.Time) {
	if to.Sub(from) >= leastAway {
		m.away = [2]time.Time{from, to}
	}
}

// ofAway is the trouble of an outage of Redis.
func ofAway(from, to time.Time) Trouble {
	return Trouble{
		Kind: WasAway, Level: Warning, Since: to, Title: says("Redis did not answer for %s", Length(to.Sub(from))),
		Means: []Text{
			says("That was from %s to %s. If it was so for the processes too, no lock was given in that time, and holds whose leases ended meanwhile are lost: their processes were told, and others may have had the locks since.", moment(from), moment(to)),
			"If work was interrupted by that, see what is half done.",
		},
		Steps: []Step{lookStep("See whether Redis restarted or failed over, and whether it has lost data", "redislock doctor"), lookStep("See the log of Redis of that time", "")},
		stops: "Redis did not answer",
	}
}

// Troubles returns all troubles that are known at this time, unsorted.
func (m *Memory) Troubles(now time.Time) (all []Trouble) {
	m.findDeadlocks()
	all = slices.Clone(m.deadlocks)
	if from, to := m.away[0], m.away[1]; !to.IsZero() && now.Sub(to) <= Recent {
		all = append(all, ofAway(from, to))
	}
	if was := m.wasFull; !was.last.IsZero() && len(m.filled) == 0 && now.Sub(was.last) <= Recent {
		all = append(all, ofFull(was))
	}
	for name, p := range m.locks {
		p.ends = slices.DeleteFunc(p.ends, func(e End) bool { return now.Sub(e.At) > Recent })
		for _, t := range p.found {
			if !because(t, m.deadlocks) {
				all = append(all, t)
			}
		}
		for i, e := range p.ends {
			if i == len(p.ends)-1 && e.How == Lapsed && slices.ContainsFunc(p.found, func(t Trouble) bool { return t.Kind == NoLeader }) {
				continue // the trouble NoLeader includes it
			}
			all = append(all, ofEnd(name, e, p.last))
		}
		if p.last.Idle() && len(p.ends) == 0 && len(p.found) == 0 {
			delete(m.locks, name)
		}
	}
	return gather(all)
}

// whatRedisDid is the step that shows why keys are gone.
var whatRedisDid = lookStep("See whether Redis restarted, failed over or evicts", "redislock doctor")

func kindOf(name string) string {
	for i, r := range name {
		if r == ':' {
			return name[:i]
		}
	}
	return ""
}

// Sweep records that all locks have been looked at by now. Known locks that were not met are gone.
func (m *Memory) Sweep(met func(name string) bool, now time.Time) {
	for name := range m.locks {
		if !met(name) {
			m.Gone(name, now)
		}
	}
}
