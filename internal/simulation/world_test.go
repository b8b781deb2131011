package simulation_test

import (
	"bytes"
	"container/heap"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing/synctest"
	"time"
)

// world is one run: the processes, the server or those of a quorum, the network between them, and the events to come. Its goroutine
// lets one event happen per virtual instant, and waits until all of its consequences are over before the next.
type world struct {
	plan      plan
	draw      *rand.Rand // the random source of the network
	servers   []*server  // one server, or those of a quorum
	processes []*process
	conns     []*conn
	weather   weather // the faults that last for some time
	history   history
	checks    checks

	queue    events
	last     time.Time // the time of the last event
	noticed  chan struct{}
	waiting  int            // operations and faults that have not begun
	doing    map[int]*doing // operations under way; guarded by mu
	deadline time.Time
	ending   time.Time // the end of the plan
	over     time.Time // the end of the last fault

	mu    sync.Mutex
	dials []*dialing
}

// event is a function to be called at an instant.
type event struct {
	at    time.Time
	order int // the order among events of one instant, which are moved apart
	do    func()
}

type events []*event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(*event)) }
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*e = old[:len(old)-1]
	return last
}

// at schedules a function for an instant.
func (w *world) at(when time.Time, do func()) {
	w.weather.order++
	heap.Push(&w.queue, &event{when, w.weather.order, do})
}

// after schedules a function for after some time.
func (w *world) after(d time.Duration, do func()) { w.at(time.Now().Add(d), do) }

// notice wakes the world: somebody has written, dialled, closed or ended.
func (w *world) notice() {
	select {
	case w.noticed <- struct{}{}:
	default:
	}
}

// run lets all events happen until over returns true, or until the time is up.
func (w *world) run(over func() bool) (done bool) {
	for {
		synctest.Wait()
		w.collect()
		if over() {
			return true
		}
		now := time.Now()
		next := w.deadline
		if len(w.queue) > 0 && w.queue[0].at.Before(next) {
			next = w.queue[0].at
		}
		if !now.Before(w.deadline) {
			return false
		}
		if now.Before(next) {
			timer := time.NewTimer(next.Sub(now))
			select {
			case <-timer.C:
			case <-w.noticed:
			}
			timer.Stop()
			continue
		}
		if !now.After(w.last) { // this instant has had its one event
			w.queue[0].at = w.last.Add(1)
			heap.Fix(&w.queue, 0)
			continue
		}
		w.last = now
		heap.Pop(&w.queue).(*event).do()
	}
}

// collect takes up what the processes and the server have sent.
func (w *world) collect() {
	w.mu.Lock()
	dials := w.dials
	w.dials = nil
	w.mu.Unlock()
	for _, d := range dials {
		w.connect(d)
	}
	for _, c := range w.conns {
		c.mu.Lock()
		written, closing := c.written, c.closed && !c.fin
		c.written = nil
		c.fin = c.fin || closing
		c.mu.Unlock()
		if len(written) > 0 { // joined into one packet, as the lengths of the machine's and the process's name decide where a long write is split
			w.send(c, true, bytes.Join(written, nil), nil)
		}
		if closing {
			w.send(c, true, nil, io.EOF)
		}
	}
	for _, c := range w.conns {
		if text := c.server.said(); len(text) > 0 {
			c.granted, c.server.granted = append(c.granted, c.server.granted...), nil
			w.send(c, false, text, nil)
		}
	}
	w.forget()
}

// forget drops connections that are closed on both sides.
func (w *world) forget() {
	kept := w.conns[:0]
	for _, c := range w.conns {
		c.mu.Lock()
		over := c.fin && c.server.ended
		c.mu.Unlock()
		if !over {
			kept = append(kept, c)
		}
	}
	clear(w.conns[len(kept):])
	w.conns = kept
}

// connect answers a dial.
func (w *world) connect(d *dialing) {
	w.history.conns++
	c := &conn{world: w, number: w.history.conns, owner: d.owner, to: d.to, arrived: make(chan struct{})}
	if until := w.weather.until[c.link()]; time.Now().Before(until) {
		w.at(until.Add(w.latency()), func() { d.err = errRefused; close(d.done) })
		return
	}
	w.at(latest(time.Now().Add(w.latency()), w.weather.stopped[d.owner.number]), func() {
		if d.to.down > 0 || d.owner.gone {
			d.err = errRefused
			w.history.note(d.owner.name+" is refused a connection"+d.to.called(), true)
		} else {
			d.conn = c
			c.server = d.to.accept(c)
			w.conns = append(w.conns, c)
			w.history.note(d.owner.name+" connects"+d.to.called(), true)
		}
		close(d.done)
	})
}

var errRefused = fmt.Errorf("connection refused")

// send sends a packet, or the end of the connection.
func (w *world) send(c *conn, toServer bool, data []byte, end error) {
	due := &c.toClient
	if toServer {
		due = &c.toServer
	}
	if c.dead {
		return
	}
	when := w.weather.fate(w, c, toServer, data)
	if !when.After(*due) { // packets of a connection stay in their order
		when = due.Add(1)
	}
	*due = when
	granted := c.granted
	if !toServer {
		c.granted = nil
	}
	var arrive func()
	arrive = func() {
		if c.dead {
			return
		}
		if until, stands := w.stands(c.owner); stands && !toServer { // it was under way when the process was stopped
			w.at(until, arrive)
			return
		}
		if !toServer && len(data) > 0 && c.server.subscribed && w.weather.dropped[c.link()] {
			return // the message is lost
		}
		w.history.packet(c, toServer, data, end)
		c.owner.crossed(true)
		defer c.owner.crossed(false)
		if toServer {
			if len(data) > 0 {
				c.server.take(data)
			}
			if end != nil {
				c.server.end()
			}
			return
		}
		if c.deliver(data, end) {
			w.checks.heard(c.owner, granted)
		}
	}
	w.at(when, arrive)
}

// latency is how long a packet takes.
func (w *world) latency() time.Duration {
	return 50*time.Microsecond + time.Duration(w.draw.Int64N(int64(2*time.Millisecond)))
}
