package torture

import (
	"testing"
	"time"
)

func TestAKilledHoldersLockPassesOnWhenItsLeaseEnds(t *testing.T) {
	Play(t, Row{
		Fault: "holder killed",
		Promise: "Nobody is granted the lock before the lease of a killed holder ends. A waiter has it right after. This depends on the " +
			"server's clock alone.",
		Load: Load{Lease: time.Second},
		Inject: func(x *Run) {
			for i := 0; x.Every(300 * time.Millisecond); i++ {
				name, w := []string{"a", "b"}[i%2], x.Workers()[0]
				x.Hold(w, name, "exclusive")
				x.Fault("a holder was killed", name)
				x.Kill(w)
				x.Replace()
			}
		},
	})
}

func TestAPausedHoldersLateWriteIsRefused(t *testing.T) {
	Play(t, Row{
		Fault: "holder paused past its lease (SIGSTOP)",
		Promise: "A stopped process cannot give its lock up, so others get the lock when the lease is over, and not before. When the " +
			"process goes on, its handle says that the lock is lost, and the resource refuses by the fence what the process still " +
			"writes.",
		Load:  Load{Lease: time.Second},
		Bound: 6 * time.Second,
		Inject: func(x *Run) {
			for i := 0; x.Every(200 * time.Millisecond); i++ {
				name, w := []string{"a", "b"}[i%2], x.Workers()[i%len(x.Workers())]
				x.Hold(w, name, "exclusive")
				x.Fault("a holder was paused", name)
				x.Pause(w)
				x.Granted(name, time.Now(), w)
				x.Resume(w)
				x.Drop(w, name)
			}
		},
	})
}
