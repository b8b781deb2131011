package torture

import (
	"context"
	"testing"
	"time"

	"example.com/redislock/internal/servertest"
)

// divided is a site on which the first half of the workers stays with the primary when that is cut off: they reach it by
// a front that is led elsewhere only when the network is whole again. The other half asks the Sentinels.
type divided struct {
	*servertest.Sentinel
	front *Front
}

func dividedSite(args ...string) Topology {
	return func(t *testing.T) *Site {
		site := UnderSentinels(tooLong, args)(t)
		s := site.More.(*servertest.Sentinel)
		front := NewFront(t, s.Servers[0].Addr())
		asking := site.Connect
		site.Connect = func(worker int) Connect {
			if worker < 4 {
				return Connect{Addrs: []string{front.Addr()}, User: app, Password: secret}
			}
			return asking(worker)
		}
		site.More = divided{s, front}
		return site
	}
}

// unhurried is a light load, so that two primaries do not grant one lock in the same µs. Otherwise both grants could
// have the same fence.
var unhurried = Load{
	Callers: 1, Lease: lasting, Try: 30, Hold: Span{40 * time.Millisecond, 120 * time.Millisecond},
	Think: Span{40 * time.Millisecond, 120 * time.Millisecond},
}

// alone cuts a primary off from its replicas and Sentinels, but not from the clients on its side.
func (x *Run) alone(s *servertest.Server) {
	x.Helper()
	s.CutReplicas()
	if err := s.Admin().ACLSetUser(context.Background(), "default", "-ping", "-info", "-publish", "-subscribe").Err(); err != nil {
		x.Fatal(err)
	}
}

// reunited ends that. The former primary becomes a replica, which the Sentinels would do a little later too.
func (x *Run) reunited(s, heir *servertest.Server) {
	x.Helper()
	s.AdmitReplicas()
	if err := s.Admin().ACLSetUser(context.Background(), "default", "+ping", "+info", "+publish", "+subscribe").Err(); err != nil {
		x.Fatal(err)
	}
	s.Follow(heir)
}

func TestOfTwoPrimariesTheFenceKnowsTheLater(t *testing.T) {
	Play(t, Row{
		Fault: "Sentinel: the old primary cut off with its clients",
		Promise: "Two primaries grant at the same time. A holder at the old primary goes on renewing there as long as the network is " +
			"divided. The resource refuses its writes by the fence, from the first write of the new holder on. The holder learns " +
			"of the loss when the old primary steps down, at the latest when its lease ends.",
		Topology: dividedSite(),
		Load:     unhurried,
		Short:    9 * time.Second, Full: 45 * time.Second,
		Bound:       afterLoss,
		Unreachable: true,
		Physics:     "Each side of a divided network can have a primary that knows nothing of the other.",
		Inject: func(x *Run) {
			s := x.More.(divided)
			for i := 0; x.Every(200 * time.Millisecond); i++ {
				name := []string{"a", "b"}[i%2]
				here, there := x.Workers()[i%4], x.Workers()[4+i%4]
				old := s.Primary()
				var heir *servertest.Server
				var down int64
				x.Loss("the primary was cut off", func() {
					x.alone(old)
					x.Hold(here, name, "exclusive")
					heir = s.Replaced(old)
					x.Hold(there, name, "exclusive")
					so := x.refused(here, name)
					x.Eventually("writes of the old side were refused", func() bool { return x.refused(here, name) >= so+50 })
					if !here.keeps(name) {
						x.Errorf("worker %d lost %s while its primary renewed it", here.Index, name)
					}
					x.reunited(old, heir)
					down = now()
				})
				x.Fault("the old primary stepped down", name)
				s.front.Lead(heir.Addr())
				x.Eventually("the holder of the old side knows", func() bool { return !here.keeps(name) })
				// It renewed until then, so a renewal is refused within a third of the lease, or twice that on a busy machine.
				if until := here.believed(name); until > down+x.Load.Lease.Microseconds()*2/3 {
					x.Errorf("I6: worker %d counted %s as held until %d, and no renewal was taken after %d", here.Index, name, until, down)
				}
				x.Drop(there, name)
				x.Follows(old)
				s.Whole()
			}
		},
	})
}

func TestAPrimaryThatMustHaveAReplicaGrantsNothingAlone(t *testing.T) {
	Play(t, Row{
		Fault: "Sentinel: the old primary cut off, with min-replicas-to-write 1",
		Promise: "A primary without a replica accepts no renewal. So a holder on its side loses the lock when its lease ends, before " +
			"the new primary grants the lock to another. A replicated hold is never held twice. If the network goes silent, this " +
			"begins after min-replicas-max-lag.",
		Topology: dividedSite("--min-replicas-to-write", "1"),
		Load:     unhurried,
		Short:    9 * time.Second, Full: 45 * time.Second,
		Bound:       afterLoss,
		Unreachable: true,
		Physics:     "Redis answers before it replicates, so the last grants before the division may be lost.",
		Inject: func(x *Run) {
			s := x.More.(divided)
			for i := 0; x.Every(200 * time.Millisecond); i++ {
				name := []string{"a", "b"}[i%2]
				here := x.Workers()[i%4]
				old := s.Primary()
				x.Hold(here, name, "exclusive")
				x.wholeLease(name)
				s.Whole() // wait until the replicas have it
				var heir *servertest.Server
				var cut int64
				x.Loss("the primary was cut off", func() {
					cut = now()
					x.alone(old)
					heir = s.Replaced(old)
					x.Eventually("another has "+name, func() bool {
						for _, w := range x.Workers()[4:] {
							if w.Holds(name) {
								return true
							}
						}
						return false
					})
					x.reunited(old, heir)
				})
				s.front.Lead(heir.Addr())
				x.Eventually("the holder of the old side knows", func() bool { return !here.keeps(name) })
				granted := granted(name, x.Workers()[4:], cut)
				if until := here.believed(name); until >= granted {
					x.Errorf("I1: worker %d counted %s as held until %d, and it was granted to another at %d", here.Index, name, until, granted)
				}
				x.Drop(here, name)
				x.Follows(old)
				s.Whole()
			}
		},
	})
}

// refused is how many writes of a worker under a lock the register has refused as stale.
func (x *Run) refused(w *Worker, name string) (n int) {
	for _, a := range x.register.log() {
		if a.Worker == w.Index && a.Name == name && !a.Accepted {
			n++
		}
	}
	return n
}

// granted is the first time after the given one at which one of the workers was granted a lock. It is forever if none
// was.
func granted(name string, workers []*Worker, after int64) int64 {
	at := forever
	for _, w := range workers {
		names := map[int64]string{}
		for _, e := range w.log() {
			switch {
			case e.Kind == Acquire:
				names[e.Op] = e.Name
			case e.Kind == Acquired && e.Err == "" && names[e.Op] == name && e.Fence > after:
				at = min(at, e.Fence)
			}
		}
	}
	return at
}
