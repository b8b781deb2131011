package redislock

import (
	"errors"
	"fmt"
	"sync"
)

// maxReports bounds the events that wait for the Observer. Renewals, of which there are most, have room in one half of that only.
const maxReports = 4096

// reports are the events of the Client's own goroutines on their way to the Observer.
type reports struct {
	mu      sync.Mutex
	queue   []Event
	busy    bool // a goroutine tells of them
	dropped int  // events that were not told
	fault   error
}

// report tells of an event from the Client's own goroutines, which must not wait for the observer (I7). What comes while the
// queue is full is dropped, and counted.
func (c *Client) report(e Event) {
	if c.observer == nil {
		return
	}
	r := &c.reports
	r.mu.Lock()
	defer r.mu.Unlock()
	room := maxReports
	if e.Kind == EventRenewed || e.Kind == EventRenewalFailed {
		room /= 2
	}
	if len(r.queue) >= room {
		r.dropped++
		return
	}
	r.queue = append(r.queue, e)
	if !r.busy {
		r.busy = true
		c.telling.Add()
		go c.deliver()
	}
}

// deliver tells of the events that wait, one after the other, until none is left.
func (c *Client) deliver() {
	done := false
	defer func() {
		if !done { // the Observer has ended the goroutine
			go c.deliver()
			return
		}
		c.telling.Done()
	}()
	for {
		e, more := c.reports.next()
		if !more {
			done = true
			return
		}
		c.reports.tell(c.observer, e)
	}
}

// next takes what is to be told next. What was dropped is told when half of the queue is free again.
func (r *reports) next() (Event, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dropped > 0 && len(r.queue) <= maxReports/2 {
		e := Event{Kind: EventDropped, Dropped: r.dropped, Err: r.fault}
		r.dropped, r.fault = 0, nil
		return e, true
	}
	if len(r.queue) == 0 {
		r.queue, r.busy = nil, false
		return Event{}, false
	}
	e := r.queue[0]
	r.queue[0] = Event{}
	r.queue = r.queue[1:]
	return e, true
}

var errEndedGoroutine = errors.New("it ended its goroutine")

// tell tells of one event. A panic must not end the process, since nobody can recover here: the event counts as dropped, and the
// next one says why.
func (r *reports) tell(o Observer, e Event) {
	fault := errEndedGoroutine
	defer func() {
		if p := recover(); p != nil {
			fault = fmt.Errorf("panic: %v", p)
		}
		if fault == nil || e.Kind == EventDropped { // that cannot be told
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.dropped++
		r.fault = fault
	}()
	o.Observe(e)
	fault = nil
}
