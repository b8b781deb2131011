package torture

import (
	"testing"
	"time"
)

func TestWaitersCancelledAtTheGrantLeaveNothing(t *testing.T) {
	Play(t, Row{
		Fault: "cancel storms at the grant",
		Promise: "If the context of an acquire ends at the instant of its grant, the acquire returns the lock or gives it back. It " +
			"leaves no place in the queue. The next waiter is granted the lock.",
		Load: Load{Cancel: 50, CancelIn: Span{0, 40 * time.Millisecond}},
		Inject: func(x *Run) {
			workers := x.Workers()
			for i := 0; x.Every(50 * time.Millisecond); i++ {
				name := []string{"a", "b"}[i%2]
				x.Hold(workers[0], name, "exclusive")
				for _, w := range workers[1:] {
					x.Storm(w, name, 5)
				}
				x.Eventually("the storm waits", func() bool { return x.Inspect(name).Waiting >= 5*len(workers[1:]) })
				x.Fault("35 waiters were cancelled while the lock went through their queue", name)
				for _, w := range workers[1:] {
					x.Cancel(w)
				}
				x.Drop(workers[0], name)
				x.Eventually("the storm is over", func() bool { return x.Inspect(name).Waiting < 5*len(workers[1:])/2 })
			}
		},
	})
}

func TestKilledWaitersArePassedOver(t *testing.T) {
	Play(t, Row{
		Fault: "4 of 8 waiting processes killed",
		Promise: "A dead waiter is passed over when its channel has no receiver and its check is overdue, at most 2.5 s after the last " +
			"check. The waiters behind it keep their order. Its place leaves nothing behind.",
		// Each dead waiter that is not passed over costs a claim of 5 s, and the first one of a process the rest of 2.5 s. The lock is held by another process when they die, so no grant is under way.
		Load:  Load{Names: []Name{{"a", Exclusive}}, Lease: 6 * time.Second},
		Bound: 4 * time.Second,
		Inject: func(x *Run) {
			for x.Every(100 * time.Millisecond) {
				workers := x.Workers()
				x.Hold(workers[0], "a", "exclusive")
				for _, w := range workers[1:] {
					x.Storm(w, "a", 3)
				}
				x.Eventually("all wait", func() bool { return x.Inspect("a").Waiting >= 3*len(workers[1:]) })
				x.Fault("half of the waiting processes were killed", "a")
				for _, w := range workers[1:5] {
					x.Kill(w)
				}
				x.Drop(workers[0], "a")
				for range 4 {
					x.Replace()
				}
			}
		},
	})
}
