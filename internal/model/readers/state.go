package readers

import (
	"fmt"
	"slices"
)

// Rule names rules that a test may take away, to see what breaks.
type Rule uint8

// The rules.
const (
	// WithinBound: nobody is let in under a hold that may not be relied on.
	WithinBound Rule = 1 << iota
	// ShutByRecall: nobody is let in under a hold for which somebody is known to wait.
	ShutByRecall
	// ShutEarly: a recall that comes before the answer of the acquire counts.
	ShutEarly
	// AtOnce: under a hold that came out of the queue nobody is let in, for others may wait behind it.
	AtOnce
	// Longest: nobody is let in later than Most after the grant of the server's.
	Longest
	// LastOne: the last one who reads gives the hold back, and nobody before.
	LastOne
	// IdleIsRecalled: a hold under which nobody reads is given back when somebody is known to wait for it.
	IdleIsRecalled

	AllRules = 1<<iota - 1
)

// Config is what is searched: the end of time, the lease, how long others are let in, how many readers come to A, how often B
// writes, how many recalls are lost, and how many holds of A's an operator breaks.
type Config struct {
	MostTime, Lease, Most        int8
	Comers, Rounds, Lost, Breaks int8
	Without                      Rule
}

func (c *Config) has(r Rule) bool { return c.Without&r == 0 }

// Owner is who waits.
type Owner int8

// The owners.
const (
	Nobody Owner = iota
	A
	B
)

// State is everything. It is comparable.
type State struct {
	Time int8

	// The server.
	Holds  [4]Hold // of A: those of its doors, and those whose release is on its way
	Writer Hold    // of B
	Queue  [2]Owner
	Number int8 // of the last hold of A's

	Doors  [2]Door // the present one, and an older one under which some still read
	Asked  int8    // when A asked, plus 1; 0: it does not ask
	Queued bool    // it knows that it waits
	Early  bool    // a recall came before the answer
	Line   int8    // who came to A since it asked

	Wrote int8 // B has the lock until then, as far as it knows; 0: it has not

	Answer   Answer
	Recalls  [4]int8 // to the holds of A's of these numbers
	Releases [2]int8 // of the holds of A's of these numbers
	Broken   int8    // the hold of A's that was broken
	Heard    int8    // the last hold for which a recall has reached A

	Comers, Rounds, Lost, Breaks int8 // that are left
}

// Hold is the server's record of who has the lock, until At + the lease.
type Hold struct{ Number, At int8 }

// Door is a hold of A's, as A knows it.
type Door struct {
	Number       int8 // 0: none
	Since, Bound int8
	Inside       int8 // how many read under it
	Shut         bool
	OutOfQueue   bool // to be checked
}

// Answer is the server's to A's acquire, on its way.
type Answer struct {
	Number, Since int8
	OutOfQueue    bool
}

// Start is the state in which nobody has asked.
func (c *Config) Start() State {
	return State{Comers: c.Comers, Rounds: c.Rounds, Lost: c.Lost, Breaks: c.Breaks}
}

// String is the state, for people.
func (s State) String() string {
	return fmt.Sprintf("time %d\nserver: holds %+v, writer %+v, queue %v\nA: doors %+v, asked %d, queued %v, early %v, line %d\nB: until %d\nanswer %+v, recalls %v, releases %v, broken %d\n",
		s.Time, s.Holds, s.Writer, s.Queue, s.Doors, s.Asked, s.Queued, s.Early, s.Line, s.Wrote, s.Answer, s.Recalls, s.Releases, s.Broken)
}

func (s *State) waits(o Owner) bool { return s.Queue[0] == o || s.Queue[1] == o }

// room reports whether there is room for one more hold of A's.
func (s *State) room() bool {
	return slices.ContainsFunc(s.Holds[:], func(h Hold) bool { return h.Number == 0 })
}
