package torture

import (
	"fmt"
	"testing"
	"time"
)

func TestALockInTurnsIsGivenToNobodyElseBeforeTheLeaseOfItsProcessEnds(t *testing.T) {
	within := 0
	played(t, Row{
		Fault: "turns and linger: processes killed, and paused past their leases (SIGSTOP)",
		Promise: "A process that passes a lock on among its callers, or lets it linger after the release, has it until its lease ends " +
			"and no longer, even if it is dead or paused. Each grant within a process has a greater fence than all before, so the " +
			"register refuses late writes.",
		Load:  inTurns(Exclusive, 4),
		Bound: 6 * time.Second,
		Inject: func(x *Run) {
			faults, lingered := x.hitInTurns("exclusive", "exclusive")
			h := x.history()
			for i, hold := range h.Holds {
				if i > 0 && h.Holds[i-1].Name == hold.Name && h.Holds[i-1].Worker == hold.Worker {
					within++
				}
			}
			x.Remark("%d of %d grants followed one of the same process; in %d of %d faults its lock lingered.", within, len(h.Holds), lingered, faults)
		},
	})
	if t.Logf("%d grants within a process", within); within == 0 {
		t.Error("no process passed a lock on")
	}
}

func TestReadersOfAProcessInTurnsHaveNoWriterBesideThem(t *testing.T) {
	together := 0
	played(t, Row{
		Fault: "readers in turns, and writers: processes killed, and paused past their leases (SIGSTOP)",
		Promise: "The readers of a process have a lock together, under one hold. No writer has it before the last of them has given it " +
			"back, or before the lease of their process ends if that is dead or paused. Their fence is above those of the writers before " +
			"them and below those of the writers after.",
		Load:  inTurns(ReadMostly, 2),
		Short: 2 * time.Second,
		Bound: 6 * time.Second,
		Inject: func(x *Run) {
			faults, lingered := x.hitInTurns("read", "write")
			h := x.history()
			for i, hold := range h.Holds {
				if i > 0 && hold.shares(h.Holds[i-1]) {
					together++
				}
			}
			x.Remark("%d of %d grants were those of readers that were let in beside another one of their process; in %d of %d faults its lock lingered.",
				together, len(h.Holds), lingered, faults)
		},
	})
	if t.Logf("%d readers let in", together); together == 0 {
		t.Error("no process let a reader in")
	}
}

// keptNames is how many names are taken only on the order of the injector. Nobody else waits for them, so they linger.
const keptNames = 8

// inTurns is a load in turns of 1 ms, with lingers of 50 ms.
func inTurns(mix Mix, names int) Load {
	l := Load{
		Callers: 4, Lease: time.Second, Turn: time.Millisecond, Linger: 50 * time.Millisecond,
		Hold: Span{0, time.Millisecond}, Think: Span{0, 10 * time.Millisecond}, Try: 5, Cancel: 5,
	}
	for i := range names {
		l.Names = append(l.Names, Name{string(rune('a' + i)), mix})
	}
	for i := range keptNames {
		l.Names = append(l.Names, Name{fmt.Sprint("k", i), Kept})
	}
	return l
}

// hitInTurns kills processes and pauses them past their leases: while one of their callers has a lock in a mode, and while that lock lingers. Each
// time another process then has the lock in a mode that excludes it.
func (x *Run) hitInTurns(mode, excluding string) (faults, lingered int) {
	x.Helper()
	for i := 0; x.Every(50 * time.Millisecond); i++ {
		workers := x.Workers()
		w, other := workers[i%len(workers)], workers[(i+1)%len(workers)]
		name, lingers, kill := "a", i%4 == 0 || i%4 == 3, i%2 == 1
		if lingers {
			name = fmt.Sprint("k", i/2%keptNames)
		}
		x.Hold(w, name, mode)
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
		x.Hold(other, name, excluding)
		if kill {
			x.Replace()
		} else {
			x.Resume(w)
		}
		if !lingers && !kill {
			x.Drop(w, name)
		}
		if lingers && !kill { // its hold has ended, and the other process has the lock
			w.tell(Command{Do: "hold", Name: name, Mode: mode})
			time.Sleep(50 * time.Millisecond)
		}
		x.Drop(other, name)
		if lingers && !kill {
			x.Eventually("it has the lock again", func() bool { return w.keeps(name) })
			x.Drop(w, name)
		}
	}
	return faults, lingered
}

// leftWith reports whether a worker that was hit has a hold that belongs to none of its callers.
func (x *Run) leftWith(w *Worker, name string) bool {
	x.Helper()
	info := x.Inspect(name)
	return len(info.Holds) > 0 && info.Holds[0].Owner.Client == fmt.Sprint("worker ", w.Index) && !w.Holds(name)
}
