package turn

// Rule names rules that a test may take away, to see what breaks.
type Rule uint16

// The rules.
const (
	// BelowClock: a local fence is below the server's clock; who cannot have one waits until the clock is past it.
	BelowClock Rule = 1 << iota
	// CarriesLast: a release of A's tells the server the last fence that A gave.
	CarriesLast
	// PastInterval: any other end of such a hold, and a clock that went back, sets the server's fence past the lease.
	PastInterval
	// LookAtBound: A looks at the bound before each local grant.
	LookAtBound
	// TicketFirst: who waits elsewhere is passed by those of A who came before, and by others while the turn lasts.
	TicketFirst
	// LingerAlone: A does not keep an idle lock that somebody else waits for.
	LingerAlone
	// Longest: A serves its own under one hold for so long, and no longer.
	Longest

	AllRules = 1<<iota - 1
)

// Config is what is searched.
type Config struct {
	// MostTime ends the search. Lease, Turn and Most are lengths of time; no local grant is made later than Most after that of the
	// server.
	MostTime, Lease, Turn, Most int8
	// Arrivals is how many waiters come to A, and Rounds how often B wants the lock.
	Arrivals, Rounds int8
	Faults           Faults
	Without          Rule
}

func (c *Config) has(r Rule) bool { return c.Without&r == 0 }

// Start is the state in which nobody has asked. The clock begins late enough to go back.
func (c *Config) Start() State {
	return State{Offset: 5, A: Process{Arrivals: c.Arrivals}, B: Other{Rounds: c.Rounds}, Left: c.Faults}
}

// Next is one step from a state.
type Next struct {
	To   State
	What string
	// Fault is what the step violates.
	Fault string
}

// Steps are all steps from a state.
func (c *Config) Steps(s *State) []Next {
	w := walk{Config: c, from: s}
	w.time()
	w.process()
	w.messages()
	w.other()
	w.faults()
	return w.steps
}

type walk struct {
	*Config
	from  *State
	steps []Next
	fault string // of the step that is being made
}

// step adds one, made of a copy of the state.
func (w *walk) step(what string, change func(*State)) {
	to := *w.from
	w.fault = ""
	change(&to)
	if to.B.Holds && to.Time < to.B.Bound && to.A.Body && to.Time < to.A.Bound && !to.A.Over && !to.A.Ignored {
		w.fault = "two holders"
	}
	w.steps = append(w.steps, Next{To: to, What: what, Fault: w.fault})
}
