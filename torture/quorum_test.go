package torture

import (
	"context"
	"fmt"
	"testing"
	"time"

	"example.com/redislock/internal/servertest"
)

// overThree plays a row on three servers without replication between them, with eight processes and 20 names.
func overThree(t *testing.T, row Row) {
	row.Fault = "quorum: " + row.Fault
	row.Topology = OverQuorum
	row.Load = Load{Callers: 4, Lease: time.Second, Hold: Span{time.Millisecond, 5 * time.Millisecond}, Think: Span{0, 20 * time.Millisecond}, Cancel: 5}
	for i := range 20 {
		row.Load.Names = append(row.Load.Names, Name{fmt.Sprint("n", i), Exclusive})
	}
	row.Unreachable = true
	if row.Bound == 0 {
		row.Bound = 10 * time.Second
	}
	Play(t, row)
}

// quorum is the quorum of the row.
func (x *Run) quorum() *Quorum { return x.More.(*Quorum) }

// downs kills this many nodes at once. They come back without data after a while.
func (x *Run) downs(n int, down, after time.Duration) {
	for i := 0; x.Every(200 * time.Millisecond); i++ {
		nodes := x.quorum().Nodes
		x.over(func() {
			x.Fault(fmt.Sprintf("%d of %d servers were killed", n, len(nodes)))
			for k := range n {
				nodes[(i+k)%len(nodes)].Kill()
			}
			time.Sleep(down)
			for k := range n {
				nodes[(i+k)%len(nodes)].Restart()
			}
			time.Sleep(x.Load.Lease) // the holders ask the nodes meanwhile
		})
		x.settle(after)
	}
}

// over lets a worker of each half hold a lock during a fault, and counts the holds that last.
func (x *Run) over(fault func()) {
	x.Helper()
	workers := []*Worker{x.Workers()[0], x.Workers()[4]}
	for i, w := range workers {
		x.Hold(w, fmt.Sprint("n", i), "exclusive")
	}
	time.Sleep(x.Load.Lease / 10) // missing nodes are asked again meanwhile
	fault()
	for i, w := range workers {
		name := fmt.Sprint("n", i)
		if x.quorum().holds++; w.keeps(name) {
			x.quorum().kept++
		}
		x.Drop(w, name)
	}
	x.Remark("%d of %d holds lasted over a fault.", x.quorum().kept, x.quorum().holds)
}

// settle leaves the servers alone for a while, unless the time is up.
func (x *Run) settle(d time.Duration) {
	time.Sleep(max(0, min(d, time.Until(x.until))))
}

func TestAQuorumGoesOnWithoutOneOfThree(t *testing.T) {
	overThree(t, Row{
		Fault: "one of three killed, empty when it comes back",
		Promise: "Two of three nodes are a majority: the holders keep their locks, and the next callers get theirs. The node that comes " +
			"back has forgotten its votes. So it does not count until every lease that it may have granted is over.",
		Inject: func(x *Run) { x.downs(1, 1500*time.Millisecond, x.Load.longest()-500*time.Millisecond) },
	})
}

func TestAQuorumThatLostTwoOfThreeGrantsNothingUntilTheyCount(t *testing.T) {
	overThree(t, Row{
		Fault: "two of three killed, empty when they come back",
		Promise: "Without a majority nobody is granted a lock, and the holders lose theirs at their bounds. Two nodes that came back " +
			"empty do not count until every lease that they may have granted is over. So no lock is granted that is still in use.",
		Short:  4 * time.Second,
		Inject: func(x *Run) { x.downs(2, 500*time.Millisecond, 2*x.Load.longest()) },
	})
}

func TestAServerOfAQuorumThatComesBackEmptyGivesNothingAway(t *testing.T) {
	overThree(t, Row{
		Fault: "one restarted empty",
		Promise: "A node that restarts at once without its data has forgotten its votes, and would grant them again. So it does not " +
			"count for the time of the longest lease. The holders ask it again. So they keep a majority when one node after the " +
			"other restarts.",
		Inject: func(x *Run) { x.downs(1, 0, x.Load.longest()-500*time.Millisecond) },
	})
}

// stops stops each server for a while, one after the other.
func (x *Run) stops(during, after time.Duration) {
	for i := 0; x.Every(200 * time.Millisecond); i++ {
		s := x.quorum().Nodes[i%3]
		x.over(func() {
			x.Fault("a server was stopped")
			s.Pause()
			time.Sleep(during)
			s.Resume()
		})
		x.settle(after)
	}
}

func TestAServerOfAQuorumThatStallsForLessThanALeaseIsNotNoticed(t *testing.T) {
	overThree(t, Row{
		Fault: "one stopped (SIGSTOP) for less than a lease",
		Promise: "A node that does not answer for a while delays nobody, because the two others are a majority. When it goes on, it " +
			"executes the requests of that time. Votes that nobody wants any more are given back.",
		Inject: func(x *Run) { x.stops(700*time.Millisecond, 300*time.Millisecond) },
	})
}

func TestAServerOfAQuorumThatStallsForMoreThanALeaseGivesNothingAway(t *testing.T) {
	overThree(t, Row{
		Fault: "one stopped (SIGSTOP) for more than a lease",
		Promise: "The votes of the stopped node end at their bounds, and a holder with the votes of the two others keeps its lock. When " +
			"the node goes on, it executes the requests of that time. Votes that nobody wants any more are given back.",
		Inject: func(x *Run) { x.stops(2500*time.Millisecond, 500*time.Millisecond) },
	})
}

func TestOneClockOfAQuorumThatIsSteppedMovesNoFenceBack(t *testing.T) {
	overThree(t, Row{
		Fault: "one clock stepped by 1 h, and back",
		Promise: "A holder with the votes of all three nodes keeps its lock, because the two other nodes are a majority. Fences are " +
			"those of a majority, so they rise when the clock steps forward and back.",
		Physics: "If a lease ends too early by one clock, a holder with two votes has no majority left, and another caller may have one.",
		Inject: func(x *Run) {
			c := x.quorum().Clocked
			for x.Every(200 * time.Millisecond) {
				x.over(func() {
					x.Loss("a clock was set forward", func() { c.SetClock(time.Hour); x.heardOf(c.Server) })
					time.Sleep(time.Second)
					x.Fault("a clock was set back")
					c.SetClock(0)
				})
				x.settle(time.Second)
			}
		},
	})
}

// heardOf waits for a lease, in which each holder learns that a server has dropped its hold.
func (x *Run) heardOf(s *servertest.Server) {
	_ = s.Admin().Ping(context.Background()).Err()
	time.Sleep(x.Load.Lease / 2)
}

// divide cuts half of the workers off from some nodes for a while.
func (x *Run) divide(missing [2][]int, during, after time.Duration) {
	hush := func(quiet bool) {
		for half, all := range missing {
			for _, node := range all {
				x.quorum().Fronts[half][node].Hush(quiet)
			}
		}
	}
	x.over(func() {
		x.Fault("the network was divided")
		hush(true)
		time.Sleep(during)
		hush(false)
	})
	x.settle(after)
}

func TestADividedNetworkLeavesALockToTheSideOfTheMajority(t *testing.T) {
	overThree(t, Row{
		Fault: "network divided: half of the processes reach two, and half one",
		Promise: "A process that reaches two of three nodes is granted locks. A process that reaches one is not, and loses its locks at " +
			"their bounds. Requests that the division held up arrive late, and their votes are given back.",
		Inject: func(x *Run) {
			for i := 0; x.Every(200 * time.Millisecond); i++ {
				one := i % 3
				others := []int{(one + 1) % 3, (one + 2) % 3}
				missing := [2][]int{{one}, others}
				if i%2 == 1 {
					missing = [2][]int{others, {one}}
				}
				x.divide(missing, 1500*time.Millisecond, time.Second)
			}
		},
	})
}

func TestADividedNetworkThatLeavesAMinorityGrantsNothing(t *testing.T) {
	overThree(t, Row{
		Fault: "network divided: all processes reach one of three",
		Promise: "One of three nodes is no majority: nobody is granted a lock, and the holders lose theirs at their bounds. Locks are " +
			"granted again when the network is whole.",
		Inject: func(x *Run) {
			for i := 0; x.Every(200 * time.Millisecond); i++ {
				others := []int{i % 3, (i + 1) % 3}
				x.divide([2][]int{others, others}, 1500*time.Millisecond, time.Second)
			}
		},
	})
}

func TestALostSubscriptionToOneNodeOfAQuorumCostsNothing(t *testing.T) {
	overThree(t, Row{
		Fault:   "pub/sub of one node cut",
		Promise: "A lost message delays the vote of one node. The two other nodes are a majority.",
		Inject: func(x *Run) {
			for i := 0; x.Every(50 * time.Millisecond); i++ {
				x.over(func() {
					x.Fault("subscriptions to one node were cut")
					_ = x.quorum().Nodes[i%3].Admin().Do(context.Background(), "CLIENT", "KILL", "TYPE", "pubsub").Err()
				})
			}
		},
	})
}
