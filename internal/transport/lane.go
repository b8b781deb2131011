package transport

import "slices"

// outgoing is a call of the renewal lane, and who takes its answer.
type outgoing struct {
	call *Call
	then func(Answer)
}

// Enqueue puts a call into the next pipeline of the renewal lane; only tasks of the scheduler use it.
func (t *Transport) Enqueue(one *Call, then func(Answer)) {
	t.outbox = append(t.outbox, outgoing{one, then})
}

// Flush sends what the tasks that were due together collected, a pipeline for each master. Each has a goroutine of its
// own while it is under way, so that a stuck connection delays none of the others.
func (t *Transport) Flush() {
	out := t.outbox
	if len(out) == 0 {
		return
	}
	t.outbox = nil
	t.background.Add()
	go func() {
		defer t.background.Done()
		byMaster := map[*executor][]outgoing{}
		for _, o := range out {
			x := t.Executor(o.call.KeyText())
			byMaster[x] = append(byMaster[x], o)
		}
		for x, all := range byMaster {
			for batch := range slices.Chunk(all, maxBatch) {
				t.background.Add()
				go func() {
					defer t.background.Done()
					x.deliver(batch)
				}()
			}
		}
	}()
}

// deliver sends calls in a pipeline and hands their answers on.
func (x *executor) deliver(batch []outgoing) {
	calls := make([]*Call, len(batch))
	for i, o := range batch {
		calls[i] = o.call
	}
	x.Deliver(calls)
	for _, o := range batch {
		o.then(o.call.Answer)
	}
}
