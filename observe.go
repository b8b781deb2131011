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

// Observer is told what happens to the locks of a Client ([WithObserver]). What a caller does (ask, be granted, release) is told
// on the caller's goroutine, so on many goroutines at once. What happens to a held lock (it is renewed or lost) is told in order,
// on one goroutine of the Client. However long an Observer takes, no renewal and no loss signal waits for it. So the Observer may
// be told of a loss a moment after the context ended. Held says when that was. If an Observer hangs, some thousand events on the
// Client's goroutine wait for it, and half as many renewals. Later events are dropped, and [EventDropped] tells of them when
// there is room again.
//
// A panic of an Observer on a caller's goroutine is the caller's: it comes out of the call. Before that the Client finishes
// what the call was about: it gives back a lock that the caller does not get, and it completes a release. On the Client's
// goroutine an event that ends in a panic counts as dropped. An Observer that calls [Client.Close] gets an error from it,
// because Close waits for the Observer.
type Observer interface {
	Observe(Event)
}

// ObserverFunc is a function that is an [Observer].
type ObserverFunc func(Event)

// Observe calls f.
func (f ObserverFunc) Observe(e Event) { f(e) }

// Observers makes an [Observer] that tells each of these, in their order. A nil one is left out.
func Observers(all ...Observer) Observer {
	all = slices.DeleteFunc(slices.Clone(all), func(o Observer) bool { return o == nil })
	return ObserverFunc(func(e Event) {
		for _, o := range all {
			o.Observe(e)
		}
	})
}

// Event is one thing that happened to a lock of this Client.
type Event struct {
	Kind EventKind
	// Context is the context that the lock was asked for under. It is there for its values, such as the span of a trace, and
	// may have ended.
	Context context.Context
	// Name is the lock's name, or the key of a [Client.First].
	Name string
	// Mode and Weight are what the lock is asked for in, or held in. Those of a lock that [Client.Resume] takes over are
	// known when it is granted.
	Mode   Mode
	Weight int
	// Fence is the fence of the grant, if there is one.
	Fence int64
	// Wait is how long the caller has waited. It is set for events up to the grant and the end of a wait.
	Wait time.Duration
	// Queued says that the caller had a place in the queue. It is set for the events that end a wait.
	Queued bool
	// Holder is the last known holder of the lock, and the oldest if there were several. It is set for the events that end a
	// wait. For EventRequested it is the Client that asks.
	Holder Owner
	// Held is how long the lock has been held, for events after the grant.
	Held time.Duration
	// Err is the cause: why the lock was lost, why a renewal failed, why a wait ended.
	Err error
	// Why is the reason that was given, for EventRequested.
	Why string
	// Dropped is how many events the Observer was not told, for EventDropped.
	Dropped int
}

// EventKind says what happened.
type EventKind uint8

// The kinds of events, in the order in which a lock meets them. Every EventAsked is followed by one event that ends the wait:
// EventGranted, EventGaveUp, or EventChanged if it was an upgrade. After an EventQueued, Queued of that event tells that the
// place is given up. Every EventGranted is followed, once the lock is not held any more, by one of EventLost, EventStolen,
// EventReleased and EventHandedOff. So differences of counts say how many wait and how many hold. An event on the Client's
// goroutine may come before or after one on the caller's: a lock that is broken at once may be stolen before it is granted.
// If [Client.Close] has given up waiting for a lock, only the release of that lock tells of its end.
const (
	// EventAsked: an acquire began, or an upgrade.
	EventAsked EventKind = iota + 1
	// EventQueued: the acquire got a place in the queue.
	EventQueued
	// EventGranted: the acquire got the lock.
	EventGranted
	// EventGaveUp: the acquire ended without the lock; Err says why.
	EventGaveUp
	// EventRenewed: the lease is whole again.
	EventRenewed
	// EventRenewalFailed: a renewal had no answer or an error. It is tried again until the lease ends.
	EventRenewalFailed
	// EventLost: the lock's context ended with ErrLost. EventStolen: the lock's context ended with ErrStolen.
	EventLost
	EventStolen
	// EventReleased: the lock was given back, at once or by [Lock.ReleaseAfter]. Err says why the server may not know of
	// that, or that the hold was not there any more.
	EventReleased
	// EventChanged: the hold has another mode: [Write] after Upgrade, which is a new grant, or [Read] after Downgrade.
	EventChanged
	// EventHandedOff: another process may resume the hold ([Lock.Handoff]).
	EventHandedOff
	// EventNotKept: one of these happened to a value of [Share]. It was fetched but could not be kept for others. The value has
	// expired and could not be fetched anew. The value was kept but cannot be decoded, and is fetched anew. Or a fetch that
	// nobody waits for has panicked ([PanicError]), or goes on after its time.
	EventNotKept
	// EventFailOpen: Redis could not be reached, and [WithFailOpen] said yes in its place.
	EventFailOpen
	// EventRequested: somebody asks for the lock by [Client.Ask]; see [Lock.Asked].
	EventRequested
	// EventDropped: the Observer was too slow, or panicked, and was not told of as many events as Dropped says. Counts that
	// were made of events may be wrong from then on. The event belongs to no lock: Name and Context are empty. Err is the
	// panic, if there was one.
	EventDropped
	// EventSubscribeFailed: the Client cannot subscribe to the channels of grants, steals and broadcasts. Err says why, and the
	// Client tries again all the time. Until it succeeds, checks do that work, and a hand-over takes up to two seconds. The event
	// comes once for each outage, and on a cluster once for each master, however many waiters and tries there are. A connection
	// that breaks and is replaced at once is not reported. The event belongs to no lock: Name and Context are empty.
	EventSubscribeFailed
	// EventDraining: [Client.Drain] has begun, and the Client takes no more locks. The event belongs to no lock: Name and
	// Context are empty.
	EventDraining
	// EventSelfWait: an acquire has waited for a second for a lock that its own process holds, and probably waits for its own
	// caller. It was asked for inside a function that runs under a lock, or by [Lockable.Acquire] under the same context as the
	// present hold. Such a wait never ends by itself: ask under the context of the lock, which that function was handed. Err is
	// [ErrDeadlock]. The wait goes on, and the event that ends it comes later.
	EventSelfWait
)

var eventNames = [...]string{
	"unknown", "asked", "queued", "granted", "gave up", "renewed", "renewal failed", "lost", "stolen", "released", "changed", "handed off", "not kept", "fail-open", "requested", "dropped", "subscribe failed", "draining", "waits for itself",
}

// String is the kind in words, such as "granted".
func (k EventKind) String() string {
	if int(k) < len(eventNames) && k > 0 {
		return eventNames[k]
	}
	return "EventKind(" + strconv.Itoa(int(k)) + ")"
}

// event makes an event of an acquisition.
func (q *acquisition) event(kind EventKind) Event {
	return Event{Kind: kind, Context: q.parent, Name: q.name, Mode: q.mode, Weight: int(q.weight), Wait: clock.Elapsed(q.asked)}
}

// outcome makes the event that ends an acquisition.
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
	e.Queued = q.Queued
	if q.Holder != nil && (e.Queued || err != nil) { // otherwise the lock was free when it was asked for again
		e.Holder = parseOwner(q.Holder.Info)
	}
	return e
}

// event makes an event of a hold.
func (h *hold) event(kind EventKind, err error) Event {
	h.mu.Lock()
	e := Event{Kind: kind, Context: h.first.asked, Name: h.name, Mode: *h.mode, Weight: int(h.weight), Err: err}
	h.mu.Unlock()
	e.Fence, e.Held = h.lease.Fence(), h.lease.Held()
	return e
}

// observe calls [Client.observe] with an event of a hold.
func (h *hold) observe(kind EventKind, err error) {
	if h.client.observer != nil {
		h.client.observe(h.event(kind, err))
	}
}

// observe tells the Observer of an event on the caller's goroutine. The Observer may panic. So the caller of observe has
// already done what must be done, or has deferred it. The Observer may also call Close. So a registered operation calls
// observeAside instead.
func (c *Client) observe(e Event) {
	if c.observer == nil {
		return
	}
	c.telling.Add()
	defer c.telling.Done()
	c.observer.Observe(e)
}

// tellOf calls observe, unless there is no event.
func (c *Client) tellOf(e Event) {
	if e.Kind != 0 {
		c.observe(e)
	}
}

// observeAside is observe in the middle of a registered operation. Meanwhile the operation counts as a call of the Observer.
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

// maxReports bounds the events that wait for the Observer. Most events are renewals, and they have room in one half of that
// only.
const maxReports = 4096

// reports are the events of the Client's own goroutines on their way to the Observer.
type reports struct {
	mu      sync.Mutex
	queue   []Event
	busy    bool // a goroutine delivers them
	dropped int  // events that were not told
	fault   error
}

// report queues an event from the Client's own goroutines, which must not wait for the Observer (I7). An event that comes
// while the queue is full is dropped and counted.
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

// deliver tells the Observer of the events that wait, one after the other, until none is left.
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

// next takes the event to be told next. EventDropped comes when half of the queue is free again.
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

// tell tells the Observer of one event. A panic must not end the process, because the user cannot recover on this goroutine. The
// event counts as dropped, and the next EventDropped says why.
func (r *reports) tell(o Observer, e Event) {
	fault := errEndedGoroutine
	defer func() {
		if p := recover(); p != nil {
			fault = fmt.Errorf("panic: %v", p)
		}
		if fault == nil || e.Kind == EventDropped { // an EventDropped cannot report itself
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
