package turn

import "fmt"

// Owner is who has or wants the lock on the server.
type Owner int8

// The owners.
const (
	Nobody Owner = iota
	A            // the process that takes turns
	B            // another process, which does not
)

// State is everything. It is comparable.
type State struct {
	// Time passes for everybody alike. The server's clock is Time + Offset.
	Time, Offset int8

	// Fence is the last one that the server knows of, and Hold its hold.
	Fence int8
	Hold  Hold
	// Queue are those who wait, with their tickets.
	Queue [2]Place
	// Holds is how many there were: each has a number of its own.
	Holds int8

	A Process
	B Other

	// What is on its way to A, and from it.
	Recall, Revoked, Release Message

	// Greatest is the greatest fence that was given to anybody.
	Greatest int8
	// Left are the faults that may still happen.
	Left Faults
}

// Hold is the server's record of who has the lock, until At + the lease.
type Hold struct {
	Of        Owner
	Number    int8
	Fence, At int8
	Revoked   bool
}

// Place is one in the queue of the server.
type Place struct {
	Of     Owner
	Ticket int8
}

// Process is what A knows.
type Process struct {
	Has           bool // a hold of the server's, of this number
	Number        int8
	Since, Bound  int8 // when it was granted, and until when it may be relied on: by Time
	Sample        int8 // the offset of the server's clock, as last heard
	Own, Last     int8 // the fence of the hold, and the last that A gave
	Waited        bool // somebody else waits
	Ticket        int8 // the ticket of who waits, as far as A knows
	Body          bool // one of its waiters has the lock
	Waiters       [2]Waiter
	Arrivals      int8 // how many more come
	Over, Ignored bool // to be checked: the hold was broken; the server has forgotten it
}

// Waiter is one of A's.
type Waiter struct {
	Here bool
	// Arrived is when it came, by the server's clock.
	Arrived int8
	// Later says that B waited already.
	Later bool
}

// Other is what B knows.
type Other struct {
	Holds  bool
	Bound  int8
	Rounds int8 // how many more times it asks
}

// Message is one on its way.
type Message struct {
	Sent   bool
	Number int8 // of the hold
	Value  int8 // a recall's ticket; the last fence of a release
}

// Faults are how many there may be of each.
type Faults struct {
	Backs    int8 // steps back of the server's clock
	Losses   int8 // of all data
	Breaks   int8
	Steals   int8
	Lost     int8 // recalls that do not arrive
	Doubles  int8 // recalls that arrive twice
	Renewals int8 // that A sends
}

func (s *State) clock() int8 { return s.Time + s.Offset }

func (s *State) waiting(o Owner) bool { return s.Queue[0].Of == o || s.Queue[1].Of == o }

func (s *State) empty() bool { return s.Queue[0].Of == Nobody }

// join puts one at the end of the queue.
func (s *State) join(o Owner) Place {
	p := Place{o, s.clock()}
	if s.empty() {
		s.Queue[0] = p
	} else {
		s.Queue[1] = p
	}
	return p
}

// String is the state, for people.
func (s State) String() string {
	return fmt.Sprintf("time %d, server's clock %d, fence %d\nhold %+v, queue %+v\nA %+v\nB %+v\nrecall %+v, revoked %+v, release %+v, greatest fence %d\n",
		s.Time, s.clock(), s.Fence, s.Hold, s.Queue, s.A, s.B, s.Recall, s.Revoked, s.Release, s.Greatest)
}
