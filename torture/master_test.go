package torture

import (
	"testing"
	"time"

	"example.com/redislock/internal/servertest"
)

// lasting is a lease that is longer than a failover, so that what holders believe after the failover can be measured.
const lasting = 8 * time.Second

// afterLoss is how long a lock may have no holder after a loss of data: the time of a failover, a lease for a hold of the old
// state that was given back since, and a claim for each place that a worker has left since.
const afterLoss = lasting + 7*claim + recovery

func TestALockThatDiesWithItsMasterIsFencedOff(t *testing.T) {
	Play(t, Row{
		Fault: "cluster: a master killed while its replica lags",
		Promise: "The replica goes on with the data that it has. A holder whose grant it does not know believes that it has the lock " +
			"until its next renewal is refused, while another has the lock. Fences rise all the same, and the resource refuses " +
			"late writes. The locks of other masters lose nothing.",
		Topology: OnCluster(1, tooLong),
		Load:     Load{Callers: 1, Lease: lasting, Try: 30},
		Short:    9 * time.Second, Full: 45 * time.Second,
		Bound:       afterLoss,
		Unreachable: true,
		Physics:     "Redis answers before it replicates, so the last grants of a master may be lost with it.",
		Inject: func(x *Run) {
			c := x.Cluster()
			for i := 0; x.Every(200 * time.Millisecond); i++ {
				name := []string{"a", "b"}[i%2]
				old := c.Serving(x.Key(name))
				old.CutReplicas() // what it grants from now on dies with it
				w := x.Workers()[i%len(x.Workers())]
				x.Hold(w, name, "exclusive")
				var killed int64
				x.Loss("a master was killed", func() {
					killed = now() // about the time of the kill; the error is within the time of a request
					c.KillMaster(old)
				}, x.served(old)...)
				x.Disabused(w, name, killed)
				if !x.Injecting() {
					break
				}
				old.Restart()
				c.Whole()
			}
		},
	})
}

func TestALockOutlivesItsMasterWhereTheReplicaHasIt(t *testing.T) {
	const lease = 20 * time.Second
	Play(t, Row{
		Fault: "cluster: a master killed while its replica has all",
		Promise: "The holds that the replica knows go on, with their deadlines, and so does the queue. Renewals reach the new master as " +
			"soon as there is one. So a holder with enough of its lease left keeps its lock.",
		Topology: OnCluster(1, tooLong),
		Load:     Load{Callers: 1, Lease: lease},
		Short:    9 * time.Second, Full: 45 * time.Second,
		Bound:       lease + afterLoss,
		Unreachable: true,
		Physics:     "Redis answers before it replicates, so the last grants of a master may be lost with it.",
		Inject: func(x *Run) {
			c := x.Cluster()
			for i := 0; x.Every(200 * time.Millisecond); i++ {
				name := []string{"a", "b"}[i%2]
				old := c.Serving(x.Key(name))
				w := x.Workers()[i%len(x.Workers())]
				x.Hold(w, name, "exclusive")
				x.wholeLease(name)
				c.Whole() // the replicas have it
				begun := time.Now()
				x.Loss("a master was killed", func() { c.KillMaster(old) }, x.served(old)...)
				if took := time.Since(begun); took < lease/3 { // the lease was renewed at most a third of it before
					x.Keeps(w, name)
				} else {
					x.Logf("the failover took %v", took)
				}
				x.Drop(w, name)
				if !x.Injecting() {
					break
				}
				old.Restart()
				c.Whole()
			}
		},
	})
}

// served are the locks on a master.
func (x *Run) served(master *servertest.Server) (names []string) {
	x.Helper()
	for _, name := range x.names() {
		if x.Cluster().Serving(x.Key(name)) == master {
			names = append(names, name)
		}
	}
	return names
}

// Disabused waits until another worker is granted a lock that one worker was made to hold, and until that worker knows
// that it lost the lock. It checks that the worker did not rely on the lock for longer than a lease after its last
// renewal, which was before the given time.
func (x *Run) Disabused(w *Worker, name string, last int64) {
	x.Helper()
	x.Eventually("another has "+name, func() bool {
		for _, other := range x.Workers() {
			if other != w && other.Holds(name) {
				return true
			}
		}
		return false
	})
	x.Eventually("the former holder knows", func() bool { return !w.keeps(name) })
	if until := w.believed(name); until > last+x.Load.Lease.Microseconds() {
		x.Errorf("I6: worker %d counted %s as held until %d, and no renewal was taken after %d", w.Index, name, until, last)
	}
}

// believed is the last time at which a worker's handle counted as held, for the lock that it was last made to hold.
func (w *Worker) believed(name string) (until int64) {
	var op int64
	for _, e := range w.log() {
		switch {
		case e.Kind == Acquire && e.Kept && e.Name == name:
			op = e.Op
		case e.Kind == Used && e.Op == op && e.Held:
			until = e.At
		}
	}
	return until
}

// Keeps checks that a worker still holds a lock that it was made to hold, after its next renewal.
func (x *Run) Keeps(w *Worker, name string) {
	x.Helper()
	from, renewed := now(), false
	x.Eventually("it was renewed", func() bool {
		for _, e := range w.log() {
			renewed = renewed || e.Kind == Renewed && e.At > from && e.Name == name
		}
		return renewed || !w.keeps(name)
	})
	if !w.keeps(name) {
		x.Errorf("worker %d lost %s, which the new primary knew", w.Index, name)
	}
}

// wholeLease waits until a hold that may have been granted by message has its whole lease instead of a claim.
func (x *Run) wholeLease(name string) {
	x.Helper()
	x.Eventually("its lease is whole", func() bool {
		info := x.Inspect(name)
		return len(info.Holds) == 1 && info.Holds[0].Deadline.Sub(info.Now) > max(claim, x.Load.Lease/2)
	})
}
