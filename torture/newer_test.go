package torture

import (
	"context"
	"testing"
	"time"
)

// Faults that only newer servers have.

func TestLocksOfASlotThatValkeyMovesAtOnceLoseNothing(t *testing.T) {
	movedAtOnce(t, "valkey newest", "cluster of Valkey 9: slots moved at once (MIGRATESLOTS) under load")
}

func TestLocksOfASlotThatRedisMovesAtOnceLoseNothing(t *testing.T) {
	movedAtOnce(t, "redis newest", "cluster of Redis 8.4 and later: slots moved at once (CLUSTER MIGRATION) under load")
}

func movedAtOnce(t *testing.T, server, fault string) {
	Play(t, Row{
		Fault: fault,
		Promise: "A slot takes its locks along as a whole: no holder loses its lock, and the waiters keep their places. Requests in the " +
			"pause of writes at the end are answered after it, or sent again to the new master.",
		Topology: onCluster(server, 1, 0),
		Load:     Load{Lease: 4 * time.Second},
		Short:    8 * time.Second, Full: 30 * time.Second,
		Inject: func(x *Run) {
			for x.Every(50 * time.Millisecond) {
				for _, name := range append(x.names(), "queue") {
					x.Fault("the slot of "+name+" was given to another master", name)
					x.migrateAtOnce(name)
				}
				x.InOrder("queue", func() { x.migrateAtOnce("queue") })
			}
		},
	})
}

// migrateAtOnce moves the slot of a lock to the next master.
func (x *Run) migrateAtOnce(name string) {
	x.Helper()
	c := x.Cluster()
	from := c.Serving(x.Key(name))
	for i, m := range c.Masters {
		if m == from {
			if err := c.MigrateAtOnce(c.Slot(x.Key(name)), c.Masters[(i+1)%len(c.Masters)]); err != nil {
				x.Fatal(err)
			}
			return
		}
	}
	x.Fatalf("%s serves %s, and is none of the masters", from.Addr(), name)
}

// writePause is how long Redis 8.4 may pause writes in a migration unless it is told otherwise.
const writePause = 10 * time.Second

func TestAPauseOfWritesEndsLeasesAndGivesNothingAwayTwice(t *testing.T) {
	lost := 0
	played(t, Row{
		Fault: "writes paused for 10 s (CLIENT PAUSE WRITE)",
		Promise: "A lease that is shorter than the pause ends by the holder's own clock, before the server can give the lock to " +
			"another. A longer lease is renewed after the pause. A lock that was handed over just before the pause is lost after " +
			"its claim of 5 s, and goes to the next waiter. The queue goes on when the pause is over.",
		Load:        Load{Lease: 4 * time.Second},
		Short:       13 * time.Second,
		Full:        26 * time.Second,
		Bound:       writePause + 10*time.Second,
		Unreachable: true, // a release is tried for 5 s only
		Inject: func(x *Run) {
			w := x.Workers()[0]
			for x.Every(2 * time.Second) {
				x.Hold(w, "a", "exclusive")
				x.Fault("writes were paused")
				if err := x.Server.Admin().Do(context.Background(), "client", "pause", writePause.Milliseconds(), "write").Err(); err != nil {
					x.Fatal(err)
				}
				begun := time.Now()
				x.Eventually("the holder's lease is over", func() bool { return !w.keeps("a") })
				if took := time.Since(begun); took < writePause {
					lost++
				}
				time.Sleep(writePause - time.Since(begun))
				x.Drop(w, "a")
			}
		},
	})
	if t.Logf("%d leases ended in the pause", lost); lost == 0 {
		t.Error("no lease ended in a pause that was longer")
	}
}

func TestAPrimaryThatIsSwappedTakesEveryLockAlong(t *testing.T) {
	Play(t, Row{
		Fault: "Sentinel of Valkey 9: coordinated failover",
		Promise: "The primary pauses writes until the replica has all of them, so nothing is forgotten. No holder loses its lock, and " +
			"the waiters keep their places.",
		Topology:    underSentinels("valkey newest", 0, nil),
		Load:        Load{Lease: lasting},
		Short:       8 * time.Second,
		Full:        40 * time.Second,
		Bound:       afterLoss,
		Unreachable: true,
		Inject: func(x *Run) {
			s := x.Sentinel()
			for i := 0; x.Every(200 * time.Millisecond); i++ {
				w := x.Workers()[i%len(x.Workers())]
				x.Hold(w, "a", "exclusive")
				x.Fault("the primary was swapped", "a")
				old := s.Primary()
				s.Swap()
				if !x.renews(w, "a") {
					x.Errorf("worker %d lost its lock in a failover that loses nothing", w.Index)
				}
				x.Drop(w, "a")
				x.Follows(old)
				s.Whole()
			}
		},
	})
}
