package trouble

import (
	"cmp"
	"slices"
	"time"

	"example.com/redislock/ui/doctor"
)

const (
	// A Redis that was full counts as full until looks have found room for a while: little room for crowdedTime, clear room for
	// clearTime.
	crowdedTime = 2 * time.Minute
	clearTime   = 15 * time.Second
	// ExamineFull is how often a full Redis should be examined, so that it is soon seen to have room again.
	ExamineFull = 10 * time.Second
)

// full is why most acquires are refused if Redis has no memory left.
const full Text = "Redis is full"

// filled is what is remembered of a server that was full.
type filled struct {
	since   time.Time      // when it was first seen to be full; zero if it was so at the first look
	last    time.Time      // when it was last seen to be full
	finding doctor.Finding // of that look
}

// where names a check of one server.
type where struct{ node, check string }

// Server stores a report of the doctor, and returns it as the reports before it have it: a server that was full a moment ago is full
// still. Its memory in use rises and falls with the buffers of its clients, and one that says the opposite each moment helps nobody. The
// time is by the clock of Redis.
func (m *Memory) Server(r doctor.Report, now time.Time) doctor.Report {
	r.Findings = slices.Clone(r.Findings)
	told := map[string]bool{} // the nodes that are full
	see := func(i int, f doctor.Finding) {
		at := where{f.Node, f.Check}
		was, known := m.filled[at]
		switch {
		case told[f.Node]: // the memory says so, whatever became of the lock that was tried
			delete(m.filled, at)
			return
		case f.Stops == doctor.NoMemory:
			if since := now.Sub(m.examined); !known && !m.examined.IsZero() && since <= crowdedTime {
				was.since = now
			}
			f.Since = was.since
			was.last, was.finding = now, f
		case !known:
			return
		case was.over(f, now):
			delete(m.filled, at)
			m.wasFull = was
			return
		}
		if m.filled == nil {
			m.filled = map[where]filled{}
		}
		m.filled[at], r.Findings[i], told[f.Node] = was, was.finding, true
	}
	for _, first := range []bool{true, false} { // the memory, and then the lock that was tried
		for i, f := range r.Findings {
			if (f.Check == "memory") == first {
				see(i, f)
			}
		}
	}
	m.examined = now
	slices.SortStableFunc(r.Findings, func(a, b doctor.Finding) int { return cmp.Compare(b.Level, a.Level) })
	return r
}

// over reports whether there has been room for a while, now that a look has found some.
func (was filled) over(f doctor.Finding, now time.Time) bool {
	least := crowdedTime
	if f.Check == "memory" && f.Level < doctor.Danger {
		least = clearTime
	}
	since := now.Sub(was.last)
	return since >= least || since < 0 // or another clock counts by now
}

// ofFull is the trouble of a Redis that was full and has room again.
func ofFull(was filled) Trouble {
	t := Trouble{
		Kind: WasFull, Level: Warning, Since: was.last, Title: "Redis was full, and refused most acquires",
		Means: []Text{
			says("That was until %s. Refused callers leave no trace in Redis: their own logs say who was hit, and whether they tried again.", moment(was.last)),
		},
		Steps: ranked(lookStep("See in the logs of the callers what was not done", ""), lookStep("See how much room there is now", "redislock doctor")),
		stops: "Redis was full",
	}
	if !was.since.IsZero() {
		t.Means[0] = says("That was from %s", moment(was.since)) + t.Means[0][len("That was"):]
	}
	if node := was.finding.Node; node != "" {
		t.Title, t.stops = ofNode(node, t.Title), ""
	}
	return t
}
