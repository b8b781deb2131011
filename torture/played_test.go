package torture

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"example.com/redislock"
)

// played plays a row and returns its run, for further checks. After the faults every waiter must be answered before the
// row goes on. Otherwise a forgotten waiter would not show while the lock goes round among others.
func played(t *testing.T, row Row) (x *Run) {
	inject := row.Inject
	row.Inject = func(r *Run) {
		x = r
		inject(r)
		r.answered(now())
	}
	Play(t, row)
	return x
}

// playLoss plays a row in which the server loses data. After the loss no renewal of an old hold succeeds. So two handles
// can count as held at the same time for at most one lease.
func playLoss(t *testing.T, row Row) *Run {
	x := played(t, row)
	h := x.history()
	for _, name := range x.names() {
		for _, w := range h.windows(name, x.losses) {
			if d := time.Duration(w.To-w.From) * time.Microsecond; d > x.Load.Lease {
				t.Errorf("two believed that they held for %v, longer than the lease: %v", d, w)
			}
		}
	}
	if len(x.losses) == 0 {
		t.Error("nothing was lost in a row about losses")
	}
	return x
}

// history is what all workers have logged so far.
func (x *Run) history() *History {
	h := &History{Quorum: x.Nodes != nil, Since: x.ready, Turns: x.Load.turns()}
	for _, w := range x.workers {
		h.readWorker(w, x.Load.Lease, redislock.DefaultClockMargin, x.Unreachable)
	}
	h.sort()
	return h
}

// renews waits until the server has renewed a hold of a worker once more, and reports whether it has, as a process that
// is too slow loses its lock.
func (x *Run) renews(w *Worker, name string) bool {
	x.Helper()
	var first time.Time
	renewed := false
	x.Eventually("the hold is renewed", func() bool {
		info := x.Inspect(name)
		for _, h := range info.Holds {
			switch {
			case h.Owner.Client != fmt.Sprint("worker ", w.Index) || h.Deadline.Sub(info.Now) > 2*x.Load.Lease:
				// a renewal of another hold, or one from before the clock was set back
			case first.IsZero():
				first = h.Deadline
			default:
				renewed = h.Deadline.After(first)
			}
		}
		return renewed || !w.keeps(name)
	})
	return renewed
}

// done ends the test if an action of the harness itself failed.
func (x *Run) done(err error) {
	x.Helper()
	if err != nil {
		x.Fatal(err)
	}
}

// answered waits until all acquires from before a time are answered. A grant by the old clock may arrive only now.
func (x *Run) answered(before int64) {
	x.Helper()
	x.Eventually("what was asked for before is answered", func() bool {
		return !slices.ContainsFunc(x.Workers(), func(w *Worker) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, e := range w.open {
				if e.At < before {
					return true
				}
			}
			return false
		})
	})
}
