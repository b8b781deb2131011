package torture

import (
	"context"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// far is how far the server's clock is ahead at the start of these rows, so that no fence can be mistaken for a time
// of this machine's clock.
const far = 100 * time.Hour

// clocked is a server whose clock is far ahead; Site.More is that.
func clocked(t *testing.T) *Site {
	c := servertest.StartWithClock(t)
	c.SetClock(far)
	return &Site{
		Connect: func(int) Connect { return Connect{Addrs: []string{c.Addr()}} },
		Admin:   c.Connect(), Server: c.Server, More: c,
	}
}

func TestAServersClockThatIsSetBackGivesNothingAway(t *testing.T) {
	kept, steps := 0, 0
	played(t, Row{
		Fault: "server clock stepped back by 1 h",
		Promise: "A hold that was granted in what is now the future begins anew when a script next looks at it. A live holder keeps it. " +
			"A dead one has it for one lease more, not for an hour. Fences go on rising from the last one.",
		Topology: clocked,
		Load:     Load{Lease: 1500 * time.Millisecond},
		Bound:    10 * time.Second, // the lease of the harness's hold, which is not in the logs, and as much again
		Short:    5 * time.Second,
		Inject: func(x *Run) {
			ahead := far
			for i := 0; x.Every(200 * time.Millisecond); i++ {
				w := x.Workers()[i%len(x.Workers())]
				x.Hold(w, "a", "exclusive")
				x.deadHold("b")
				x.Fault("the clock was set back")
				ahead -= time.Hour
				x.More.(*servertest.Clocked).SetClock(ahead)
				stepped := time.Now()
				steps++
				if x.renews(w, "a") { // renewed by the new clock
					kept++
				}
				x.Drop(w, "a")
				x.Granted("b", stepped, nil) // when the dead hold has ended
			}
		},
	})
	if t.Logf("%d of %d holds were kept", kept, steps); kept == 0 {
		t.Error("no hold was kept over a step")
	}
}

// deadHold takes a lock for a process that dies at once.
func (x *Run) deadHold(name string) {
	x.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	rdb := x.Server.Connect()
	c, err := redislock.New(rdb, redislock.WithPrefix(prefix))
	x.done(err)
	_, err = c.Acquire(ctx, name, redislock.WithLease(x.Load.Lease))
	x.done(err)
	x.done(rdb.Close())
	x.done(c.Close(ctx))
}

func TestAServersClockThatIsSetForwardIsALossThatFencesSurvive(t *testing.T) {
	playLoss(t, Row{
		Fault: "server clock stepped forward by 1 h",
		Promise: "All leases end on the server at once, and it may grant a lock that is still in use, until the holder's next renewal. " +
			"Fences rise with the clock. The waiters seem to have been silent for an hour, and join the queue again at their next " +
			"check.",
		Topology: clocked,
		Physics:  "Leases ended by the server's clock that go on by all other clocks.",
		Short:    3500 * time.Millisecond,
		Inject: func(x *Run) {
			ahead := far
			for i := 0; x.Every(300 * time.Millisecond); i++ {
				workers := x.Workers()
				name, w := []string{"a", "b"}[i%2], workers[i%len(workers)]
				x.Hold(w, name, "exclusive")
				x.Loss("the clock was set forward", func() {
					ahead += time.Hour
					x.More.(*servertest.Clocked).SetClock(ahead)
					x.answered(now())
				})
				x.Eventually("the holder has learnt of it", func() bool { return !w.keeps(name) })
			}
		},
	})
}
