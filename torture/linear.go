package torture

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// linearTime bounds the search for an order, for one lock. If the history is not decided by then, that is a failure.
const linearTime = 30 * time.Second

// step is an operation of the model: a hold begins, or it ends by its owner, by its lease, or by a loss of data.
type step struct {
	begins bool
	hold   *Holding
	rank   int  // how many grants have a smaller fence, and so come before it
	letIn  bool // let in under the hold of another reader of its process
	forget bool // the hold that is changed may have been lost with the data
}

// lock is a state of the model: the holds, in the order of their fences, the last fence, and the last one that was not of readers
// in turns.
type lock struct {
	holds        []*Holding
	fence, alone int64
	grants       int
}

// granted returns the state after a grant, and whether the grant is legal. All grants come at some time, in the order of their fences.
// So a grant is out of order if one with a smaller fence is still to come. With many readers nothing else bounds the search.
func (l lock) granted(s step, holds []*Holding) (bool, lock) {
	at, _ := slices.BinarySearchFunc(holds, s.hold, func(a, b *Holding) int { return cmp.Or(cmp.Compare(a.Fence, b.Fence), cmp.Compare(a.Op, b.Op)) })
	next := lock{slices.Insert(holds, at, s.hold), max(l.fence, s.hold.Fence), l.alone, l.grants}
	legal := s.hold.Fence > l.fence && s.rank == l.grants
	if s.letIn {
		legal = s.hold.Fence <= l.fence && s.hold.Fence > l.alone
	} else {
		next.grants++
	}
	if !s.hold.among() {
		next.alone = s.hold.Fence
	}
	return legal && together(next.holds), next
}

// model is the model of a lock. A grant is legal if it is compatible with the present holds and has a greater fence than all grants
// before it. It is also legal if it is let in under the hold of a reader, and no writer has had the lock since. An end is legal if the
// hold exists.
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
			return l.granted(s, holds)
		}
		i := slices.Index(l.holds, s.hold)
		if i < 0 {
			return s.forget && s.hold.Next != nil, l
		}
		l.holds = slices.Delete(slices.Clone(l.holds), i, i+1)
		return true, l
	},
	Equal: func(a, b any) bool {
		l, m := a.(lock), b.(lock)
		return l.fence == m.fence && l.alone == m.alone && l.grants == m.grants && slices.Equal(l.holds, m.holds)
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
	holds, rank := h.of(name), 0
	for i, hold := range holds {
		forget := len(losses) > 0
		begin := step{begins: true, hold: hold, rank: rank, letIn: i > 0 && hold.shares(holds[i-1]), forget: forget}
		if !begin.letIn {
			rank++
		}
		ops = append(ops, porcupine.Operation{ClientId: hold.Worker, Input: begin, Call: hold.Invoked, Return: hold.Returned})
		if hold.Next != nil && !forget {
			continue // the change ends it
		}
		end := porcupine.Operation{ClientId: hold.Worker, Input: step{hold: hold, forget: forget}, Call: hold.ends(), Return: forever}
		if !hold.Gone && hold.Next == nil {
			end.Call, end.Return = hold.Release, hold.Answered
		}
		for _, loss := range losses {
			// A hold that the server has lost has ended with the loss. Its release reports that, or finds nothing when it is sent again.
			if slices.Contains(loss.Names, name) && loss.At <= hold.free() && hold.Start <= loss.To {
				end.Call = min(end.Call, max(loss.At, hold.Invoked))
				end.Return = forever
			}
		}
		ops = append(ops, end)
	}
	return ops
}

// linear reports whether the operations of a lock can have happened one after the other.
func (h *History) linear(name string, losses []Mark, within time.Duration) error {
	switch porcupine.CheckOperationsTimeout(model, h.steps(name, losses), within) {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("%s: no order was found within %v, nor that there is none", name, within)
	}
	return fmt.Errorf("%s: the history is not linearizable", name)
}
