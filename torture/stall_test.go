package torture

import (
	"testing"
	"time"
)

func TestAServerThatStallsGivesNothingAwayTwice(t *testing.T) {
	Play(t, Row{
		Fault: "server stalled (SIGSTOP), for less and for more than the lease",
		Promise: "While the server does not answer, handles end by their own clock, before the server can give the lock to another. " +
			"When it goes on, it executes the requests of that time once, and the queue goes on.",
		Load:        Load{Lease: time.Second},
		Unreachable: true, // a release is tried for 5 s only
		Inject: func(x *Run) {
			for i := 0; x.Every(400 * time.Millisecond); i++ {
				w := x.Workers()[i%len(x.Workers())]
				x.Hold(w, "a", "exclusive")
				x.Fault("the server was stopped")
				x.Server.Pause()
				time.Sleep([]time.Duration{300 * time.Millisecond, 1300 * time.Millisecond}[i%2])
				x.Server.Resume()
				x.Drop(w, "a")
			}
		},
	})
}
