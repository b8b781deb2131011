package trouble

import (
	"slices"
	"time"

	"example.com/redislock"
)

const (
	// Recent is for how long an end that was not as it should be is told.
	Recent = 10 * time.Minute
	// growTime is for how long a queue must not have become shorter, and growBy by how much longer, to count as one that only grows.
	growTime = 30 * time.Second
	growBy   = 3
	// blind is how long nobody may have looked at a queue for it to count as seen to grow.
	blind = 15 * time.Second
	// maxWaits is how many waits that were served are remembered of a lock, and enoughWaits from how many on they count.
	maxWaits    = 20
	enoughWaits = 3
	// maxEnds is how many ends are told of one lock.
	maxEnds = 3
	// leastAway is from how long on it is told that Redis did not answer: a failover is over in less, and leases last longer.
	leastAway = 10 * time.Second
)

// Memory is what earlier looks have seen: of each lock as little as shows what a look alone does not. It is for one goroutine. The
// zero Memory is ready for use.
type Memory struct {
	locks     map[string]*past
	looks     int            // that were taken in
	cycles    map[string]int // of waits, by what each is made of: how many looks there were when it was first seen
	deadlocks []Trouble
	sure      bool // the deadlocks are those of sureOf
	sureOf    []redislock.Cycle
	away      [2]time.Time // the last time in which Redis did not answer
}

// See takes in a look at a lock. Looks at one lock come in the order of their times.
func (m *Memory) See(info redislock.Info) {
	p := m.locks[info.Name]
	if p == nil {
		if info.Idle() && kindOf(info.Name) != "elect" {
			return // nothing to remember
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

// Gone takes in that nothing is known of a lock any more at this time: its key is not there.
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

// CannotBeRead takes in that a lock cannot be read.
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

// Away takes in that looks failed since the one time, by the clock of Redis, and that it answers again at the other.
func (m *Memory) Away(from, to time.Time) {
	if to.Sub(from) >= leastAway {
		m.away = [2]time.Time{from, to}
	}
}

// ofAway is that Redis did not answer.
func ofAway(from, to time.Time) Trouble {
	return Trouble{
		Kind: WasAway, Level: Warning, Since: to, Title: says("Redis did not answer for %s", Length(to.Sub(from))),
		Means: []Text{
			says("That was from %s to %s. If it was so for the processes too, no lock was given in that time, and holds whose leases ended meanwhile are lost: their processes were told, and others may have had the locks since.", moment(from), moment(to)),
			"Where work was cut off by that, look what is half done.",
		},
		Steps: []Step{lookStep("See whether Redis restarted or failed over, and whether it has lost data", "redislock doctor"), lookStep("See the log of Redis of that time", "")},
		stops: "Redis did not answer",
	}
}

// Troubles is all that is known at this time, unsorted.
func (m *Memory) Troubles(now time.Time) (all []Trouble) {
	m.findDeadlocks()
	all = slices.Clone(m.deadlocks)
	if from, to := m.away[0], m.away[1]; !to.IsZero() && now.Sub(to) <= Recent {
		all = append(all, ofAway(from, to))
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
				continue // that nobody leads says it
			}
			all = append(all, ofEnd(name, e, p.last))
		}
		if p.last.Idle() && len(p.ends) == 0 && len(p.found) == 0 {
			delete(m.locks, name)
		}
	}
	return gather(all)
}

// whatRedisDid is how to see why keys are gone.
var whatRedisDid = lookStep("See whether Redis restarted, failed over or evicts", "redislock doctor")

func kindOf(name string) string {
	for i, r := range name {
		if r == ':' {
			return name[:i]
		}
	}
	return ""
}

// Sweep takes in that everything there is has been looked at by now, and that of what was known only these locks were met.
func (m *Memory) Sweep(met func(name string) bool, now time.Time) {
	for name := range m.locks {
		if !met(name) {
			m.Gone(name, now)
		}
	}
}
