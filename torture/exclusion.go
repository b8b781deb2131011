package torture

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Window is a time in which a lock had more holders than its modes allow.
type Window struct {
	Name     string
	From, To int64
	Late     *Holding // the hold whose grant began it
	Early    *Holding
	Loss     string // what made the server lose data, empty if nothing did
}

func (w Window) String() string {
	return fmt.Sprintf("%s: worker %d (op %d, fence %d, %s) was granted at %d, but worker %d (op %d, fence %d, %s) had it from %d until %d at least",
		w.Name, w.Late.Worker, w.Late.Op, w.Late.Fence, w.Late.Mode, w.From, w.Early.Worker, w.Early.Op, w.Early.Fence, w.Early.Mode,
		w.Early.Start, w.Early.ends())
}

// together says whether holds of one lock may exist at the same time.
func together(holds []*Holding) bool {
	if len(holds) < 2 {
		return true
	}
	weight := 0
	for _, h := range holds {
		if h.Mode != holds[0].Mode || guarded(h.Mode) {
			return false
		}
		weight += h.Weight
	}
	return holds[0].Mode == "read" || weight <= units
}

// windows finds each time in which there were incompatible holds (I1). A hold counts from its grant until the last
// moment at which somebody is known to have relied on it, or the server is known to have kept it.
func (h *History) windows(name string, losses []Mark) (windows []Window) {
	holds := h.of(name)
	slices.SortFunc(holds, func(a, b *Holding) int { return cmp.Compare(a.Start, b.Start) })
	var active []*Holding
	for _, late := range holds {
		active = slices.DeleteFunc(active, func(a *Holding) bool { return a.ends() <= late.Start })
		if !together(append(active, late)) {
			early := slices.MaxFunc(active, func(a, b *Holding) int { return cmp.Compare(a.ends(), b.ends()) })
			w := Window{Name: name, From: late.Start, To: min(early.ends(), max(late.ends(), late.Start)), Late: late, Early: early}
			for _, loss := range losses {
				// Holds that were granted after the loss must be compatible all the same.
				since := slices.DeleteFunc(slices.Clone(active), func(a *Holding) bool { return a.Start <= loss.To })
				if slices.Contains(loss.Names, name) && loss.At <= late.Start && together(append(since, late)) {
					w.Loss = loss.What
				}
			}
			windows = append(windows, w)
		}
		active = append(active, late)
	}
	return windows
}

// fences says which grants did not have a greater fence than the one before (I2). It compares grants whose order is known: one
// had returned before the other was asked for. Readers that have a lock together have one fence, which is greater than those of
// the writers before.
func (h *History) fences(name string) (problems []string) {
	holds := h.of(name)
	for i, hold := range holds {
		if i > 0 && holds[i-1].Fence == hold.Fence && !hold.shares(holds[i-1]) {
			problems = append(problems, fmt.Sprintf("%s: fence %d was granted twice", name, hold.Fence))
		}
	}
	slices.SortFunc(holds, func(a, b *Holding) int { return cmp.Compare(a.Invoked, b.Invoked) })
	returned := slices.SortedFunc(slices.Values(holds), func(a, b *Holding) int { return cmp.Compare(a.Returned, b.Returned) })
	var greatest, alone int64 // the greatest fence of all, and of those that are not of readers in turns
	for _, hold := range holds {
		for len(returned) > 0 && returned[0].Returned < hold.Invoked {
			greatest = max(greatest, returned[0].Fence)
			if !returned[0].among() {
				alone = max(alone, returned[0].Fence)
			}
			returned = returned[1:]
		}
		before := greatest
		if hold.among() {
			before = alone
		}
		if before > hold.Fence {
			problems = append(problems, fmt.Sprintf("%s: fence %d was granted after %d", name, hold.Fence, before))
		}
	}
	return problems
}

// accepted says where the register accepted a lower fence after a greater one, and how many attempts it refused.
func accepted(attempts []Attempt) (problems []string, refused int) {
	seen := map[string]int64{}
	for _, a := range attempts {
		switch {
		case !a.Accepted:
			refused++
		case a.Fence < seen[a.Name]:
			problems = append(problems, fmt.Sprintf("%s: a write with fence %d was accepted after %d", a.Name, a.Fence, seen[a.Name]))
		}
		if a.Accepted {
			seen[a.Name] = max(seen[a.Name], a.Fence)
		}
	}
	return problems, refused
}

// stall is the longest time for which somebody waited for a lock that nobody held.
func (h *History) stall(name string) (longest time.Duration, who Waiting) {
	type span struct{ from, to int64 }
	var held []span
	for _, hold := range h.of(name) {
		held = append(held, span{hold.Start, hold.free()})
	}
	for _, m := range h.Maybe {
		if m.Name == name {
			held = append(held, span{m.From, m.To})
		}
	}
	slices.SortFunc(held, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	held = append(held, span{forever, forever})
	for _, w := range h.Waits {
		if w.Name != name {
			continue
		}
		free := max(w.From, h.Since) // since when nobody has held it
		for _, s := range held {
			if gap := min(s.from, w.To) - free; gap > longest.Microseconds() {
				longest, who = time.Duration(gap)*time.Microsecond, w
			}
			if free = max(free, s.to); free >= w.To {
				break
			}
		}
	}
	return longest, who
}

// recoveries are the times from each fault to the next grant of a lock that it affected. A fault without a later grant
// is a problem.
func (h *History) recoveries(faults []Mark) (times []time.Duration, problems []string) {
	grants := map[string][]int64{}
	for _, hold := range h.Holds {
		grants[hold.Name] = append(grants[hold.Name], hold.Start)
	}
	for _, starts := range grants {
		slices.Sort(starts)
	}
	for _, f := range faults {
		for _, name := range f.Names {
			i, _ := slices.BinarySearch(grants[name], f.At+1)
			if i == len(grants[name]) {
				problems = append(problems, fmt.Sprintf("%s was not granted after the fault %q", name, f.What))
				continue
			}
			times = append(times, time.Duration(grants[name][i]-f.At)*time.Microsecond)
		}
	}
	slices.Sort(times)
	return times, problems
}

// percentile is the nearest rank of sorted times, 0 if there are none.
func percentile(times []time.Duration, p int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	return times[max(0, (len(times)*p+99)/100-1)]
}
