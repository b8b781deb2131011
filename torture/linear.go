package torture

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// linearTime bounds the search for an order, of one lock. A history that is not decided by then is a failure.
const linearTime = 30 * time.Second

// step is an operation of the model: a hold begins, or it ends, by its owner, by its lease, or because data was lost.
type step struct {
	begins bool
	hold   *Holding
	forget bool // what a change is of may have been forgotten
}

// lock is a state of the model: the holds, in the order of their grants, and the last fence.
type lock struct {
	holds []*Holding
	fence int64
}

// model is what a lock is: a grant is legal if it goes with the holds that there are and has a greater fence than all
// grants before it; an end is legal if the hold is there.
var model = porcupine.Model{
	Init: func() any { return lock{} },
	Step: func(state, input, _ any) (bool, any) {
		l, s := state.(lock), input.(step)
		if s.begins {
			holds := slices.Clone(l.holds)
			if s.hold.Prev != nil {
				i := slices.Index(holds, s.hold.Prev)
				if i < 0 && !s.forget {
					return false, l
				} else if i >= 0 {
					holds = slices.Delete(holds, i, i+1)
				}
			}
			holds = append(holds, s.hold)
			return s.hold.Fence > l.fence && together(holds), lock{holds, s.hold.Fence}
		}
		i := slices.Index(l.holds, s.hold)
		if i < 0 {
			return s.forget && s.hold.Next != nil, l
		}
		return true, lock{slices.Delete(slices.Clone(l.holds), i, i+1), l.fence}
	},
	Equal: func(a, b any) bool {
		l, m := a.(lock), b.(lock)
		return l.fence == m.fence && slices.Equal(l.holds, m.holds)
	},
	DescribeOperation: func(input, _ any) string {
		s := input.(step)
		return fmt.Sprintf("%s worker %d, op %d, fence %d, begins: %v", s.hold.Mode, s.hold.Worker, s.hold.Op, s.hold.Fence, s.begins)
	},
	DescribeState: func(state any) string {
		var text strings.Builder
		for _, h := range state.(lock).holds {
			fmt.Fprintf(&text, "%d:%s ", h.Fence, h.Mode)
		}
		return text.String()
	},
}

// steps is the history of one lock for the model. Acquires that failed or were never answered are not in it: they have
// no effect that anybody could see, or one that ends by itself.
func (h *History) steps(name string, losses []Mark) (ops []porcupine.Operation) {
	for _, hold := range h.of(name) {
		forget := len(losses) > 0
		begin := step{begins: true, hold: hold, forget: forget}
		ops = append(ops, porcupine.Operation{ClientId: hold.Worker, Input: begin, Call: hold.Invoked, Return: hold.Returned})
		if hold.Next != nil && !forget {
			continue // the change ends it
		}
		end := porcupine.Operation{ClientId: hold.Worker, Input: step{hold: hold, forget: forget}, Call: hold.ends(), Return: forever}
		if !hold.Gone && hold.Next == nil {
			end.Call, end.Return = hold.Release, hold.Answered
		}
		for _, loss := range losses {
			// What the server forgot is gone from then on. A release of it says so, or finds it gone after having been sent again.
			if slices.Contains(loss.Names, name) && loss.At <= hold.free() && hold.Start <= loss.To {
				end.Call = min(end.Call, max(loss.At, hold.Invoked))
				end.Return = forever
			}
		}
		ops = append(ops, end)
	}
	return ops
}

// linear says whether the history of a lock can have been one after the other.
func (h *History) linear(name string, losses []Mark, within time.Duration) error {
	switch porcupine.CheckOperationsTimeout(model, h.steps(name, losses), within) {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("%s: no order was found within %v, nor that there is none", name, within)
	}
	return fmt.Errorf("%s: the history is not linearizable", name)
}
