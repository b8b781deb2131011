package transport

import "slices"

// Errand is something that leaves with others in the renewal lane, and that the scheduler sets up.
type Errand interface {
	// Key is the key of its request.
	Key() string
	// Call is the request, made when it leaves; nil if there is no need of it any more.
	Call() *Call
	// Answered takes the answer.
	Answered(Answer)
}

// outgoing is an errand whose call is about to be sent.
type outgoing struct {
	call   *Call
	errand Errand
}

// Enqueue puts an errand into the next pipeline of the renewal lane; only tasks of the scheduler use it.
func (t *Transport) Enqueue(e Errand) { t.outbox = append(t.outbox, e) }

// Flush sends what the tasks that were due together collected, in pipelines for each master. A stuck connection delays none of
// the others. While all connections are stuck, renewals that fall due wait, and leave together.
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
		for _, e := range out {
			x := t.Executor(e.Key())
			x.mu.Lock()
			x.lane = append(x.lane, e)
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

// sendLane sends the renewals of the lane, with a goroutine for each pipeline, as far as there are connections. ended is how many
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

// deliver sends the calls of errands in a pipeline and hands their answers on.
func (x *executor) deliver(errands []Errand) {
	batch, calls := make([]outgoing, 0, len(errands)), make([]*Call, 0, len(errands))
	for _, e := range errands {
		if call := e.Call(); call != nil {
			batch, calls = append(batch, outgoing{call, e}), append(calls, call)
		}
	}
	x.Deliver(calls)
	for _, o := range batch {
		o.errand.Answered(o.call.Answer)
	}
}
