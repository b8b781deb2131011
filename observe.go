package redislock

import (
	"strconv"
	"sync"
	"time"
)

// Observer is told what happens to the locks of a Client ([WithObserver]). What a caller does, such as to ask, to be
// granted and to release, is told on the caller's goroutine, from many at once; what happens to a lock meanwhile, such
// as to be renewed or lost, on one goroutine of the Client, in order. However long an Observer takes, no renewal and no
// loss signal waits for it: so it may hear of a loss a moment after the context ended, and Held says when it was.
type Observer interface {
	Observe(Event)
}

// ObserverFunc is a function that is an [Observer].
type ObserverFunc func(Event)

// Observe calls f.
func (f ObserverFunc) Observe(e Event) { f(e) }

// Event is one thing that happened to a lock of this Client.
type Event struct {
	Kind EventKind
	// Name is the lock's name, or the key of a [Client.First].
	Name string
	// Fence is the grant's, where there is one.
	Fence int64
	// Wait is how long the caller has waited, for events up to the grant and the end of a wait.
	Wait time.Duration
	// Held is how long the lock has been held, for events after the grant.
	Held time.Duration
	// Err is the cause: why it was lost, why a renewal failed, why a wait ended.
	Err error
}

// EventKind says what happened.
type EventKind uint8

// The kinds of events, in the order in which a lock meets them.
const (
	// EventAsked: an acquire began.
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
	// EventReleased: the lock was given back.
	EventReleased
	// EventChanged: the hold has another mode, by Upgrade or Downgrade.
	EventChanged
	// EventHandedOff: the hold may be resumed by another process ([Lock.Handoff]).
	EventHandedOff
	// EventNotKept: a value of [Share] was fetched but could not be kept for others, or one that is over could not be
	// fetched anew.
	EventNotKept
	// EventFailOpen: Redis could not be reached and [WithFailOpen] said yes in its place.
	EventFailOpen
)

var eventNames = [...]string{
	"unknown", "asked", "queued", "granted", "gave up", "renewed", "renewal failed", "lost", "stolen", "released", "changed", "handed off", "not kept", "fail-open",
}

// String is the kind in words, such as "granted".
func (k EventKind) String() string {
	if int(k) < len(eventNames) && k > 0 {
		return eventNames[k]
	}
	return "EventKind(" + strconv.Itoa(int(k)) + ")"
}

// observe tells of an event on the caller's goroutine.
func (c *Client) observe(e Event) {
	if c.observer != nil {
		c.observer.Observe(e)
	}
}

// report tells of an event from the Client's own goroutines, which must not wait for the observer (I7).
func (c *Client) report(e Event) {
	if c.observer == nil {
		return
	}
	c.reports.mu.Lock()
	defer c.reports.mu.Unlock()
	c.reports.queue = append(c.reports.queue, e)
	if c.reports.busy {
		return
	}
	c.reports.busy = true
	c.background.add()
	go func() {
		defer c.background.done()
		for {
			c.reports.mu.Lock()
			queue := c.reports.queue
			c.reports.queue = nil
			c.reports.busy = len(queue) > 0
			c.reports.mu.Unlock()
			if len(queue) == 0 {
				return
			}
			for _, e := range queue {
				c.observer.Observe(e)
			}
		}
	}()
}

// reports are the events on their way to the observer.
type reports struct {
	mu    sync.Mutex
	queue []Event
	busy  bool
}
