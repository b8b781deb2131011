package torture

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// forever is the time of an event that did not happen.
const forever = int64(math.MaxInt64)

// claim is the most that a hold granted by message has until its owner confirms it (lua/rules.lua).
const claim = 5 * time.Second

// Holding is one hold, as far as the logs show it.
type Holding struct {
	Name, Mode string
	Weight     int
	Worker     int
	Op         int64
	Fence      int64

	Invoked, Returned int64    // the acquire
	Start             int64    // the grant: the time in the fence if it tells the time; otherwise the return of the acquire
	Until             int64    // in turns: the server keeps it until then, or longer by later renewals
	Seen              int64    // the last time at which the handle is known to have counted as held
	Release, Answered int64    // forever if there was none
	Next              *Holding // what it became by an upgrade or a handoff
	Prev              *Holding // what it was before
	Gone              bool     // the release reported a loss, or was not answered
	Least             int64    // the server keeps it at least until then; 0 if that is not known
	Most              int64    // the server keeps it at most until then
	Turns             bool     // readers of its process may have it together
}

// among says whether a hold may be one of readers that share one fence, which is above the fences of all earlier exclusive
// holds.
func (h *Holding) among() bool { return h.Turns && h.Mode == "read" }

// shares says whether two handles belong to one hold on the server.
func (h *Holding) shares(other *Holding) bool {
	return h.among() && other.among() && h.Name == other.Name && h.Worker == other.Worker && h.Fence == other.Fence
}

// Waiting is a time in which a live worker waited for a lock.
type Waiting struct {
	Name     string
	Worker   int
	From, To int64
	Died     int64 // if the waiter died and may have held the lock: when it died
}

// History is what all workers did.
type History struct {
	Holds    []*Holding // in the order of their fences; those with one fence in the order in which they were asked for
	Waits    []Waiting
	Maybe    []Waiting // waits of workers that died meanwhile, and may have held the lock
	Calls    int       // the number of calls of Acquire and TryAcquire
	Lost     int       // handles that reported a loss
	Problems []string  // errors that should not be
	Since    int64     // waits before this time are no stalls, as servers that have just started count in a quorum only after a while
	Quorum   bool      // a fence does not tell the time of the grant: it may be the ticket, and the last vote may come later
	Turns    bool      // a process passes locks on by itself, with fences that are lower bounds of the time
}

// readWorker adds the log of a worker. The clock margin and a thousandth of the lease decide when a process stops
// relying on a lock.
func (h *History) readWorker(w *Worker, lease, margin time.Duration, unreachable bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls, holds := map[int64]Event{}, map[int64]*Holding{}
	type name struct {
		name  string
		fence int64
	}
	renewed := map[name]int64{}
	for _, e := range w.events {
		if e.Kind == Renewed {
			renewed[name{e.Name, e.Fence}] = max(renewed[name{e.Name, e.Fence}], e.At)
		}
	}
	for _, e := range w.events {
		call, hold := calls[e.Op], holds[e.Op]
		if e.Err == Misused || e.Err == Failed && !unreachable && (e.Kind != Ended) {
			h.problem("worker %d: %s of %q: %s", w.Index, e.Kind, call.Name, e.Text)
		}
		switch e.Kind {
		case Acquire:
			calls[e.Op] = e
			h.Calls++
		case Acquired:
			delete(calls, e.Op)
			if call.Waits {
				h.wait(w, call, e.At)
			}
			if e.Err != "" {
				continue
			}
			hold = &Holding{
				Name: call.Name, Mode: call.Mode, Weight: call.Weight, Worker: w.Index, Op: e.Op, Turns: h.Turns,
			}
			hold.granted(call.At, e, !h.Quorum)
			hold.Until = e.Until
			holds[e.Op] = hold
			h.Holds = append(h.Holds, hold)
		case Used:
			if e.Held {
				hold.Seen = max(hold.Seen, e.At)
			}
			hold.Until = max(hold.Until, e.Until)
		case Change:
			calls[e.Op] = e
		case Changed:
			delete(calls, e.Op)
			if e.Err != "" {
				continue
			}
			next := &Holding{
				Name: hold.Name, Mode: e.Mode, Weight: hold.Weight, Worker: w.Index, Op: e.Op, Prev: hold, Turns: h.Turns,
			}
			next.granted(call.At, e, !h.Quorum)
			hold.Next, holds[e.Op] = next, next
			h.Holds = append(h.Holds, next)
		case Ended:
			h.Lost++
		case Release:
			hold.Release = e.At
		case Released:
			hold.Answered = e.At
			if e.Err == "" || e.Err == Failed {
				hold.Seen = max(hold.Seen, hold.Release)
			}
			hold.Gone = e.Err != ""
		}
	}
	end := w.killed
	for _, call := range calls {
		if end > 0 && call.Kind == Acquire {
			h.wait(w, call, end)
			h.Maybe = append(h.Maybe, Waiting{call.Name, w.Index, call.At, end + lease.Microseconds(), end})
		}
	}
	for _, hold := range holds {
		confirmed, length := renewed[name{hold.Name, hold.Fence}], lease
		if confirmed == 0 {
			confirmed, length = hold.Start, min(lease, claim)
		}
		deadline := confirmed + length.Microseconds()
		bound := deadline - (margin + length/500).Microseconds()
		if h.Turns { // its lease may have begun with an earlier grant
			deadline, bound = hold.Until, hold.Until
		}
		// A process that was stopped before it could give up, until after the deadline or for ever, has logged nothing of that.
		silent := func(from, to int64) bool {
			return from >= hold.Returned && from < bound && to > deadline && hold.Release >= to
		}
		hold.Most = max(hold.Seen, hold.Start) + lease.Microseconds()
		if w.killed > 0 && silent(w.killed, forever) {
			hold.Least, hold.Most = deadline, w.killed+lease.Microseconds()
		}
		for _, p := range w.paused {
			to := p.To
			if to == 0 {
				to = forever
			}
			if silent(p.From, to) {
				hold.Least, hold.Most = deadline, p.From+lease.Microseconds()
			}
		}
	}
}

// granted adds the answer to an acquire that was called at invoked. timed says that a fence is the time of its grant.
func (h *Holding) granted(invoked int64, e Event, timed bool) {
	h.Fence, h.Invoked, h.Returned, h.Start, h.Release, h.Answered, h.Gone = e.Fence, invoked, e.At, e.At, forever, forever, true
	if timed && e.Fence >= invoked && e.Fence <= e.At {
		h.Start = e.Fence
	}
	if e.Held {
		h.Seen = e.At
	}
}

// wait adds the wait of a worker, without the time in which it was stopped.
func (h *History) wait(w *Worker, call Event, to int64) {
	from := call.At
	for _, p := range w.paused {
		end := p.To
		if end == 0 {
			end = forever
		}
		if p.From < to && end > from {
			if p.From > from {
				h.Waits = append(h.Waits, Waiting{Name: call.Name, Worker: w.Index, From: from, To: p.From})
			}
			from = min(end, to)
		}
	}
	if to > from {
		h.Waits = append(h.Waits, Waiting{Name: call.Name, Worker: w.Index, From: from, To: to})
	}
}

// sort puts the holds into the order of their fences. A dead worker did not hold a lock at a time at which another held
// it. A grant of a process to its next caller was not before the previous caller gave the lock back.
func (h *History) sort() {
	slices.SortFunc(h.Holds, func(a, b *Holding) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Fence, b.Fence), cmp.Compare(a.Worker, b.Worker), cmp.Compare(a.Invoked, b.Invoked))
	})
	for i, hold := range h.Holds {
		if !h.Turns || i == 0 || !guarded(hold.Mode) {
			continue
		}
		if before := h.Holds[i-1]; before.Name == hold.Name && before.Worker == hold.Worker && before.Release <= hold.Returned {
			hold.Start = max(hold.Start, before.Release)
		}
	}
	h.Maybe = slices.DeleteFunc(h.Maybe, func(m Waiting) bool {
		return slices.ContainsFunc(h.Holds, func(hold *Holding) bool {
			return hold.Name == m.Name && guarded(hold.Mode) && hold.Start < m.Died && hold.ends() > m.Died
		})
	})
}

// of returns the holds of a lock.
func (h *History) of(name string) []*Holding {
	var holds []*Holding
	for _, hold := range h.Holds {
		if hold.Name == name {
			holds = append(holds, hold)
		}
	}
	return holds
}

// ends is the earliest time at which the server may have dropped a hold that its owner did not give back, if no data
// was lost.
func (h *Holding) ends() int64 {
	switch {
	case h.Next != nil:
		return h.Next.Start
	case h.Release < forever && (!h.Gone || h.Seen == h.Release):
		return h.Release
	case h.Least > 0:
		return h.Least
	}
	return max(h.Seen, h.Start)
}

// free is the latest time at which it had ended, as far as the logs show.
func (h *Holding) free() int64 {
	switch {
	case h.Next != nil:
		return h.Next.Start
	case !h.Gone:
		return h.Answered
	}
	return max(h.Most, h.Start)
}

func (h *History) problem(format string, args ...any) {
	h.Problems = append(h.Problems, fmt.Sprintf(format, args...))
}
