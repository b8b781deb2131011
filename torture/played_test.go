package torture

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"example.com/redislock"
)

// played plays a row and returns its run, for what is to be looked at besides. After the faults everybody who waits must
// be answered before the row goes on: one who is forgotten does not show where the lock goes round among others.
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

// playLoss plays a row in which the server forgets. What a handle believes because of that ends with its lease: after the
// loss no renewal succeeds, so two cannot believe that they hold for longer than one lease.
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

// renews waits until the server has renewed a hold of a worker once more, and says whether that came: a process that is
// too slow loses its lock.
func (x *Run) renews(w *Worker, name string) bool {
	x.Helper()
	var first time.Time
	renewed := false
	x.Eventually("the hold is renewed", func() bool {
		info := x.Inspect(name)
		for _, h := range info.Holds {
			switch {
			case h.Owner.Client != fmt.Sprint("worker ", w.Index) || h.Deadline.Sub(info.Now) > 2*x.Load.Lease:
				// somebody else's, or one of before the clock was set back
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

// done ends the test if the harness itself could not do something.
func (x *Run) done(err error) {
	x.Helper()
	if err != nil {
		x.Fatal(err)
	}
}

// answered waits until everything that was asked for before a time has its answer: what was granted by the old clock may
// be told only now.
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
