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

// Flush sends what the tasks that were due together collected, in pipelines for each master. A stuck connection delays none of
// the others. Where all connections are stuck, what falls due meanwhile waits, and leaves together.
func (t *Transport) Flush() {
	out := t.outbox
	if len(out) == 0 {
		return
	}
	t.outbox = nil
	t.background.Add()
	go func() {
		defer t.background.Done()
		var masters []*executor
		for _, o := range out {
			x := t.Executor(o.call.KeyText())
			x.mu.Lock()
			x.lane = append(x.lane, o)
			x.mu.Unlock()
			if !slices.Contains(masters, x) {
				masters = append(masters, x)
			}
		}
		for _, x := range masters {
			x.sendLane(0)
		}
	}()
}

// sendLane sends what is in the lane, a goroutine for each pipeline, as many as there are connections for. ended is how many
// pipelines have ended just now.
func (x *executor) sendLane(ended int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for x.lanes -= ended; len(x.lane) > 0 && x.lanes < x.connections; x.lanes++ {
		n := min(len(x.lane), maxBatch)
		batch := x.lane[:n:n]
		if x.lane = x.lane[n:]; len(x.lane) == 0 {
			x.lane = nil
		}
		x.background.Add()
		go func() {
			defer x.background.Done()
			defer x.sendLane(1) // also where a hook ends this goroutine
			x.deliver(batch)
		}()
	}
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
