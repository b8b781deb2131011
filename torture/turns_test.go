package torture

import (
	"fmt"
	"testing"
	"time"
)

func TestALockInTurnsIsGivenToNobodyElseBeforeTheLeaseOfItsProcessEnds(t *testing.T) {
	const kept = 8
	names := []Name{{"a", Exclusive}, {"b", Exclusive}, {"c", Exclusive}, {"d", Exclusive}}
	for i := range kept { // nobody else waits for them, so they linger
		names = append(names, Name{fmt.Sprint("k", i), Kept})
	}
	within, lingered := 0, 0
	played(t, Row{
		Fault: "turns and linger: processes killed, and paused past their leases (SIGSTOP)",
		Promise: "A process that passes a lock on among its callers, or lets it linger after the release, has it until its lease ends " +
			"and no longer, even if it is dead or paused. Each grant within a process has a greater fence than all before, so the " +
			"register refuses late writes.",
		Load: Load{
			Callers: 4, Lease: time.Second, Turn: time.Millisecond, Linger: 50 * time.Millisecond, Names: names,
			Hold: Span{0, time.Millisecond}, Think: Span{0, 10 * time.Millisecond}, Try: 5, Cancel: 5,
		},
		Bound: 6 * time.Second,
		Inject: func(x *Run) {
			faults := 0
			for i := 0; x.Every(50 * time.Millisecond); i++ {
				workers := x.Workers()
				w, other := workers[i%len(workers)], workers[(i+1)%len(workers)]
				name, lingers, kill := "a", i%4 == 0 || i%4 == 3, i%2 == 1
				if lingers {
					name = fmt.Sprint("k", i/2%kept)
				}
				x.Hold(w, name, "exclusive")
				if lingers {
					x.Drop(w, name)
					x.Eventually("the lock is given back", func() bool { return !w.keeps(name) })
				}
				faults++
				if kill {
					x.Fault("a process was killed", name)
					x.Kill(w)
				} else {
					x.Fault("a process was paused", name)
					x.Pause(w)
				}
				if lingers && x.leftWith(w, name) {
					lingered++
				}
				if lingers {
					x.Hold(other, name, "exclusive")
				} else {
					x.Granted(name, time.Now(), w)
				}
				if kill {
					x.Replace()
				} else {
					x.Resume(w)
				}
				switch {
				case lingers && !kill: // what it had is over, and the other one has the lock
					w.tell(Command{Do: "hold", Name: name, Mode: "exclusive"})
					time.Sleep(50 * time.Millisecond)
					x.Drop(other, name)
					x.Eventually("it has the lock again", func() bool { return w.keeps(name) })
					x.Drop(w, name)
				case lingers:
					x.Drop(other, name)
				case !kill:
					x.Drop(w, name)
				}
			}
			h := x.history()
			for i, hold := range h.Holds {
				if i > 0 && h.Holds[i-1].Name == hold.Name && h.Holds[i-1].Worker == hold.Worker {
					within++
				}
			}
			x.Remark("%d of %d grants followed one of the same process; in %d of %d faults its lock lingered.", within, len(h.Holds), lingered, faults)
		},
	})
	if t.Logf("%d grants within a process, %d locks that lingered", within, lingered); within == 0 {
		t.Error("no process passed a lock on")
	}
}

// leftWith says whether a worker that was hit has a hold that none of its callers has.
func (x *Run) leftWith(w *Worker, name string) bool {
	x.Helper()
	info := x.Inspect(name)
	return len(info.Holds) > 0 && info.Holds[0].Owner.Client == fmt.Sprint("worker ", w.Index) && !w.Holds(name)
}
