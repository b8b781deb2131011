package redislock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"example.com/redislock/internal/clock"
)

// Observer is told what happens to the locks of a Client ([WithObserver]). What a caller does, such as to ask, to be
// granted and to release, is told on the caller's goroutine, from many at once; what happens to a lock meanwhile, such
// as to be renewed or lost, on one goroutine of the Client, in order. However long an Observer takes, no renewal and no
// loss signal waits for it: so it may hear of a loss a moment after the context ended, and Held says when it was. Of the
// events on the Client's goroutine some thousand wait for an Observer that hangs, renewals half as many; what comes then is
// dropped, and told by [EventDropped] when there is room again.
//
// A panic of an Observer on a caller's goroutine is the caller's: it comes out of the call. What that call was about is
// finished first: a lock that the caller does not get is given back, and a release is a release. On the Client's goroutine a
// panic is an event that was dropped. An Observer that calls [Client.Close] has an error of it, since Close waits for the
// Observer.
type Observer interface {
	Observe(Event)
}

// ObserverFunc is a function that is an [Observer].
type ObserverFunc func(Event)

// Observe calls f.
func (f ObserverFunc) Observe(e Event) { f(e) }

// Observers is an [Observer] that tells each of these, in their order.
func Observers(all ...Observer) Observer {
	all = slices.Clone(all)
	return ObserverFunc(func(e Event) {
		for _, o := range all {
			o.Observe(e)
		}
	})
}

// Event is one thing that happened to a lock of this Client.
type Event struct {
	Kind EventKind
	// Context is the one that the lock was asked for under: for its values, such as the span of a trace. It may have ended.
	Context context.Context
	// Name is the lock's name, or the key of a [Client.First].
	Name string
	// Mode and Weight are what it is asked for in, or held in. What [Client.Resume] takes over is known when it is granted.
	Mode   Mode
	Weight int
	// Fence is the grant's, where there is one.
	Fence int64
	// Wait is how long the caller has waited, for events up to the grant and the end of a wait.
	Wait time.Duration
	// Queued says that the caller had a place in the queue, for the events that end a wait.
	Queued bool
	// Holder is who had the lock when that was last heard, for the events that end a wait; of several the oldest. For
	// EventRequested it is who asks.
	Holder Owner
	// Held is how long the lock has been held, for events after the grant.
	Held time.Duration
	// Err is the cause: why it was lost, why a renewal failed, why a wait ended.
	Err error
	// Why is the reason that was given, for EventRequested.
	Why string
	// Dropped is how many events were not told, for EventDropped.
	Dropped int
}

// EventKind says what happened.
type EventKind uint8

// The kinds of events, in the order in which a lock meets them. Every EventAsked is followed by one event that ends the wait:
// EventGranted, EventGaveUp, or EventChanged if it was an upgrade. Who was told EventQueued is told by Queued of that event
// that the place is given up. And for every EventGranted there is, once the lock is not held any more, one of EventLost,
// EventStolen, EventReleased and EventHandedOff. So differences of counts say what is waited for and held. What is told on the
// Client's goroutine may come before or after what is told on the caller's: a lock that is broken at once may be
// stolen before it is granted. And when [Client.Close] has given up waiting for a lock, only its release tells of its end.
const (
	// EventAsked: an acquire began, or an upgrade.
	EventAsked EventKind = iota + 1
	// EventQueued: it got a place in the queue.
	EventQueued
	// EventGranted: it got the lock.
	EventGranted
	// EventGaveUp: it ended without the lock; Err says why.
	EventGaveUp
	// EventRenewed: the lease is whole again.
	EventRenewed
	// EventRenewalFailed: a renewal had no answer or an error; it is tried again until the lease ends.
	EventRenewalFailed
	// EventLost: the lock's context ended with ErrLost; EventStolen: with ErrStolen.
	EventLost
	EventStolen
	// EventReleased: the lock was given back, at once or by [Lock.ReleaseAfter]. Err says why the server may not know of it,
	// or that the hold was not there any more.
	EventReleased
	// EventChanged: the hold has another mode: [Write] by Upgrade, which is a new grant, or [Read] by Downgrade.
	EventChanged
	// EventHandedOff: the hold may be resumed by another process ([Lock.Handoff]).
	EventHandedOff
	// EventNotKept: a value of [Share] was fetched but could not be kept for others, or one that is over could not be
	// fetched anew, or one that was kept cannot be decoded and is fetched anew; or a fetch that nobody waits for has panicked
	// ([PanicError]), or goes on after its time.
	EventNotKept
	// EventFailOpen: Redis could not be reached and [WithFailOpen] said yes in its place.
	EventFailOpen
	// EventRequested: somebody asks for the lock by [Client.Ask]; see [Lock.Asked].
	EventRequested
	// EventDropped: the Observer was too slow, or panicked, and has not been told of as many events as Dropped says. Counts that
	// were made of events may be wrong from then on. It is of no lock: Name and Context are empty. Err is the panic, if there was one.
	EventDropped
	// EventSubscribeFailed: the Client cannot subscribe to the channels by which it hears of grants, steals and broadcasts; Err says why, and
	// it is tried again all the time. Until it succeeds checks do that work: a hand-over takes up to two seconds. It is told once for
	// each outage, on a cluster once for each master, whoever waits and however often it is tried; a connection that breaks and is
	// made anew at once is none. It is of no lock: Name and Context are empty.
	EventSubscribeFailed
)

var eventNames = [...]string{
	"unknown", "asked", "queued", "granted", "gave up", "renewed", "renewal failed", "lost", "stolen", "released", "changed", "handed off", "not kept", "fail-open", "requested", "dropped", "subscribe failed",
}

// String is the kind in words, such as "granted".
func (k EventKind) String() string {
	if int(k) < len(eventNames) && k > 0 {
		return eventNames[k]
	}
	return "EventKind(" + strconv.Itoa(int(k)) + ")"
}

// event is one of an acquisition.
func (q *acquisition) event(kind EventKind) Event {
	return Event{Kind: kind, Context: q.parent, Name: q.name, Mode: q.mode, Weight: q.weight, Wait: clock.Elapsed(q.asked)}
}

// outcome is the event that ends an acquisition.
func (q *acquisition) outcome(l *Lock, err error) Event {
	e := q.event(EventGranted)
	switch {
	case err != nil:
		e.Kind, e.Err = EventGaveUp, err
	case q.changes != nil:
		e.Kind, e.Fence, e.Held = EventChanged, l.Fence(), l.hold.lease.Held()
	default:
		e.Fence = l.Fence()
	}
	e.Queued = q.queued
	if q.Holder != nil && (e.Queued || err != nil) { // else it was free by the time it was asked for again
		e.Holder = parseOwner(q.Holder.Info)
	}
	return e
}

// event is one of a hold.
func (h *hold) event(kind EventKind, err error) Event {
	h.mu.Lock()
	e := Event{Kind: kind, Context: h.first.asked, Name: h.name, Mode: *h.mode, Weight: int(h.weight), Err: err}
	h.mu.Unlock()
	e.Fence, e.Held = h.lease.Fence(), h.lease.Held()
	return e
}

// observe is [Client.observe] of an event of a hold.
func (h *hold) observe(kind EventKind, err error) {
	if h.client.observer != nil {
		h.client.observe(h.event(kind, err))
	}
}

// observe tells of an event on the caller's goroutine. The Observer may panic, so whoever calls this has done before what must
// be done, or has deferred it; and it may call Close, so no registered operation calls this, but observeAside.
func (c *Client) observe(e Event) {
	if c.observer == nil {
		return
	}
	c.telling.Add()
	defer c.telling.Done()
	c.observer.Observe(e)
}

// tellOf is observe of an event that may be none.
func (c *Client) tellOf(e Event) {
	if e.Kind != 0 {
		c.observe(e)
	}
}

// observeAside is observe in the middle of a registered operation: it counts as a call of the Observer meanwhile.
func (c *Client) observeAside(e Event) {
	if c.observer == nil {
		return
	}
	c.telling.Add()
	c.background.Done()
	defer func() {
		c.background.Add()
		c.telling.Done()
	}()
	c.observer.Observe(e)
}

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
