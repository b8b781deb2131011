package quorum

// Rule names rules that a test may take away, to see what breaks.
type Rule uint16

// The rules.
const (
	// WriteBack: the fence of a grant is written to a majority before the grant counts.
	WriteBack Rule = 1 << iota
	// TokenHolds: it is written where the own token holds, and counts only there.
	TokenHolds
	// NotAbove: a node whose own fence is above it does not count.
	NotAbove
	// Yield: an attempt without a majority gives a vote to an older one that asks for it.
	Yield
	// FreshWaits: a node that came back with nothing does not count until it has been up for longer than the longest lease.
	FreshWaits
	// MajorityBound: the lock counts as held only while a majority of the votes is inside its bounds.
	MajorityBound

	AllRules = 1<<iota - 1
)

// Config is what is searched.
type Config struct {
	// Attempts is how many there are.
	Attempts int
	// Fences says that fences are searched: without them a majority of votes is a grant, and the search is smaller.
	Fences bool
	// Clockless says that a node may let any hold lapse at any time, whatever its owner believes. Then there is nothing to be
	// said about who holds the lock, only about fences: an attempt asks each node once, and hears at once.
	Clockless bool
	// SlowClocks says that the clock of a node which loses its data is behind the fences that it gave. Else they go on with the clock.
	SlowClocks bool
	// Wishes are the fences that the attempts would like, 0 for none. A node gives it where it knows its last fence and that is less, so
	// that several may give the same.
	Wishes [Attempts]int8
	// AnyWish: a node may also not give it, for its clock is behind the wish, or too far past it.
	AnyWish bool
	// MostFences bounds the fences, and so the search: a node that has given so many executes no request of a free lock any more.
	MostFences int8
	Faults     Faults
	Without    Rule
}

func (c *Config) has(r Rule) bool { return c.Without&r == 0 }

// Start is the state in which nobody has asked.
func (c *Config) Start() State {
	s := State{Left: c.Faults}
	for i := range s.Nodes {
		s.Nodes[i].Holder = -1
	}
	for k := c.Attempts; k < Attempts; k++ {
		s.Attempts[k].Phase = Over
	}
	return s
}

// Next is one step from a state. A Must step happens sooner or later; any other is a fault, or is up to a caller.
type Next struct {
	To   State
	Must bool
	What string
	// Fault is what the step violates.
	Fault string
}

// Steps are all steps from a state.
func (c *Config) Steps(s *State) []Next {
	w := walk{Config: c, from: s}
	for k := range c.Attempts {
		w.attempt(k)
	}
	for i := range s.Nodes {
		w.node(i)
		for k := range c.Attempts {
			w.link(i, k)
		}
	}
	return w.steps
}

type walk struct {
	*Config
	from  *State
	steps []Next
}

// step adds one, made of a copy of the state.
func (w *walk) step(must bool, what string, change func(*State)) {
	to := *w.from
	change(&to)
	w.steps = append(w.steps, Next{To: to, Must: must, What: what, Fault: w.fault(&to)})
}

// fault is what a state violates.
func (w *walk) fault(s *State) string {
	for k := range w.Attempts {
		for other := range k {
			if !w.Clockless && s.holds(k) && s.holds(other) {
				return "two holders"
			}
			if a, b := &s.Attempts[k], &s.Attempts[other]; w.Fences && a.Was && b.Was && a.Fence == b.Fence {
				return "two grants with one fence"
			}
		}
		if a := &s.Attempts[k]; w.Fences && a.Was && a.Fence <= a.After {
			return "a later grant with a lower fence"
		}
	}
	return ""
}
