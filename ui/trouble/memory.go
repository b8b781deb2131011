package trouble

import (
	"slices"
	"strings"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/safetext"
	"example.com/redislock/ui/history"
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

// past is that of one lock.
type past struct {
	last  redislock.Info
	look  int             // which of the looks the last one was
	waits []time.Duration // that were served
	grows growth
	ends  []End
	found []Trouble // by the last look
	held  time.Time // when somebody was last seen to hold it
}

// growth is a time in which the queue did not become shorter.
type growth struct {
	since    time.Time
	from, to int
}

// End is how a hold has ended that did not end as it should.
type End struct {
	How   How
	Owner redislock.Owner
	At    time.Time
	Fence int64
	// By and Why are who broke it and the reason, if that is known.
	By, Why string
}

// How a hold has ended.
type How string

// The ends.
const (
	Lapsed  How = "lapsed"  // its lease ran out without a renewal
	WasLost How = "lost"    // its owner says that it lost it
	Vanish  How = "vanish"  // its key is gone before its time
	Robbed  How = "stolen"  // a caller found it too old
	Broken  How = "broken"  // by an operator
	Closed  How = "expired" // WithMaxHold was over
)

// Told is an end that an entry of the history tells of; false if it tells of none, or of one that is as it should be.
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

// Ended is how a hold with that fence has ended, as looks have shown it; false if it is not known, or was as it should be.
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

// Ends are those of a lock that were not as they should be and are told at this time, the last first.
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

// Note takes in an end that was heard of, such as a break: it says more than looks do.
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

func (p *past) see(info redislock.Info) {
	p.served(info)
	p.ended(info)
	switch g := &p.grows; {
	case info.Waiting == 0 || info.Waiting < g.to || g.since.IsZero() || info.Now.Sub(p.last.Now) > blind:
		*g = growth{info.Now, info.Waiting, info.Waiting}
	default:
		g.to = info.Waiting
	}
	if info.Holders > 0 {
		p.held = info.Now
	}
	p.last = brief(info)
	p.found = ofLock(info, p.before())
	if len(p.found) > 0 {
		if p.found[0].Kind == NoLeader {
			p.lastLeader(&p.found[0])
		}
		return
	}
	switch g := p.grows; {
	case kindOf(info.Name) == "elect" && info.Idle():
		t := Trouble{
			Kind: NoLeader, Level: Warning, Lock: info.Name, Since: p.held, Title: "nobody leads, and nobody stands for it",
			Means: []Text{"All processes that took part have ended, or do not reach Redis. What the leader does is not done."},
			Steps: []Step{seeLock(info.Name), {Mend, "Start a process that takes part: it leads within seconds", "", ""}},
		}
		p.lastLeader(&t)
		p.found = append(p.found, t)
	case info.Waiting > 0 && queues(info.Name) && g.to-g.from >= growBy && info.Now.Sub(g.since) >= growTime:
		t := Trouble{
			Kind: Grows, Level: Warning, Lock: info.Name, Since: g.since, Waiting: info.Waiting, Title: says("the queue only grows: from %d to %d", g.from, g.to),
			Means: []Text{"More come than are served."}, Steps: []Step{watch(info.Name)},
		}
		if len(info.Holds) > 0 {
			h := present(info)
			t.Means = append(t.Means, says("%s holds the lock, since %s. If that is one long work, see what it does; if holders change, there are too many callers for one lock.", Who(h.Owner), moment(h.Since)))
			t.Steps = ranked(look(h.Owner, "which holds it"), watch(info.Name), askStep(info))
		}
		p.found = append(p.found, t)
	}
}

// lastLeader adds to a trouble who led last, if that one was lost.
func (p *past) lastLeader(t *Trouble) {
	if last := len(p.ends) - 1; last >= 0 && p.ends[last].How == Lapsed {
		who := p.ends[last].Owner
		if t.Since.IsZero() {
			t.Since = p.ends[last].At
		}
		t.Means = append(t.Means, says("The last to lead was %s, until %s: its lease ran out.", Who(who), moment(p.ends[last].At)))
		t.Steps = ranked(append([]Step{look(who, "the last leader")}, t.Steps...)...)
	}
}

// before is what is known for the next look.
func (p *past) before() before {
	known := before{long: p.long(), held: p.held}
	for _, e := range p.ends {
		known.ended = later(known.ended, e.At)
	}
	return known
}

// served remembers how long those have waited who hold the lock now.
func (p *past) served(info redislock.Info) {
	for _, h := range info.Holds {
		for _, w := range p.last.Places {
			if w.ID == h.ID && !w.Since.IsZero() {
				if p.waits = append(p.waits, h.Since.Sub(w.Since)); len(p.waits) > maxWaits {
					p.waits = slices.Delete(p.waits, 0, 1)
				}
			}
		}
	}
}

// long is from when on a wait is long for this lock.
func (p *past) long() time.Duration {
	if len(p.waits) < enoughWaits {
		return LongWait
	}
	return max(leastLong, longFactor*slices.Max(p.waits))
}

// ended remembers holds that are not there any more and did not end as they should. Where a hold may be among those that are not
// shown, or may have been renewed and released between two looks, nothing is said of it.
func (p *past) ended(info redislock.Info) {
	for _, h := range p.last.Holds {
		if info.Holders > len(info.Holds) || slices.ContainsFunc(info.Holds, func(is redislock.Hold) bool { return is.ID == h.ID }) {
			continue
		}
		was, _ := late(h, p.last.Now)
		switch {
		case h.Revoked:
			p.end(End{How: Robbed, Owner: h.Owner, At: info.Now, Fence: h.Fence})
		case was && !h.Deadline.After(info.Now):
			p.end(End{How: Lapsed, Owner: h.Owner, At: h.Deadline, Fence: h.Fence})
		}
	}
}

func (p *past) end(e End) {
	for _, known := range p.ends {
		if known.Fence == e.Fence { // told already
			return
		}
	}
	if p.ends = append(p.ends, e); len(p.ends) > maxEnds {
		p.ends = slices.Delete(p.ends, 0, 1)
	}
}

// brief is what is compared with the next look.
func brief(info redislock.Info) redislock.Info {
	info.Holds, info.Places = slices.Clone(info.Holds), slices.Clone(info.Places)
	return info
}

// whatRedisDid is how to see why keys are gone.
var whatRedisDid = lookStep("See whether Redis restarted, failed over or evicts", "redislock doctor")

// ofEnd is an end in words, of a lock that was then last seen like this.
func ofEnd(name string, e End, last redislock.Info) Trouble {
	who := Who(e.Owner)
	t := Trouble{Kind: Ended, Level: Warning, Lock: name, Since: e.At}
	steps := []Step{lookLate(e.Owner)}
	switch e.How {
	case Lapsed:
		t.Title = Text(who) + " lost the lock: its lease ran out"
		t.cause = cause{kind: Ended, how: Lapsed, who: process(e.Owner)}
		t.Means = []Text{"It did not renew in time: it was paused, gone, or cut off from Redis. What it did under the lock may be half done."}
		steps = append(steps, prevent("Let what is written store the fence and refuse a smaller one, and take a lease (WithLease) that is longer than the process may pause"))
	case WasLost:
		t.Title = Text(who) + " lost the lock"
		t.cause = cause{kind: Ended, how: WasLost, who: process(e.Owner)}
		t.Means = []Text{"It says so itself: " + Text(safetext.Escape(e.Why)) + "."}
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

// hasNow says who has a lock that another has lost: nothing is to be taken from that one.
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
