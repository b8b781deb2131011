package torture

import (
	"context"
	"errors"
	"time"

	"example.com/redislock"
)

// Event is a line of a worker's log. It is written at once and as a whole, so the log of a killed process is complete
// up to the kill.
type Event struct {
	Kind EventKind `json:"k"`
	At   int64     `json:"at"`           // µs, by the clock of this machine, which the server uses too
	Op   int64     `json:"op,omitempty"` // the number of an acquire of the worker; later events of it have the same number

	// The fields of an acquire.
	Name   string `json:"name,omitempty"`
	Mode   string `json:"mode,omitempty"`
	Weight int    `json:"weight,omitempty"`
	Waits  bool   `json:"waits,omitempty"` // it joins the queue
	Lease  int64  `json:"lease,omitempty"` // µs
	Kept   bool   `json:"kept,omitempty"`  // it was ordered by the harness

	Fence int64  `json:"fence,omitempty"`
	Until int64  `json:"until,omitempty"` // the handle's Deadline, if the lock is taken in turns
	Held  bool   `json:"held,omitempty"`  // the handle counted as held, at a time not before At
	Err   string `json:"err,omitempty"`   // a class, see classify
	Text  string `json:"text,omitempty"`
}

// EventKind is what happened.
type EventKind string

// What happens.
const (
	Ready    EventKind = "ready"
	Acquire  EventKind = "acquire"  // Acquire is called
	Acquired EventKind = "acquired" // Acquire has returned
	Renewed  EventKind = "renewed"  // a script has renewed; At is the server's time
	Used     EventKind = "used"     // the handle was asked whether it is held; Fence and Err are of a write, if there was one
	Ended    EventKind = "ended"    // the Context has ended, and not by a release
	Change   EventKind = "change"   // an upgrade or a handoff is begun
	Changed  EventKind = "changed"  // it has succeeded: the hold has Mode, with a new fence
	Release  EventKind = "release"
	Released EventKind = "released"
	Closed   EventKind = "closed" // the Client was closed
	Leaked   EventKind = "leaked" // goroutines were left; Text has them
	Done     EventKind = "done"
)

// Classes of errors.
const (
	Held      = "held"
	Cancelled = "cancelled" // the caller's context has ended
	NotHeld   = "not held"
	Lost      = "lost"
	Stolen    = "stolen"
	Shut      = "closed"
	Conflict  = "conflict"
	Refused   = "refused" // the register refused the write as stale
	Failed    = "failed"  // an error of Redis or the network
	Misused   = "misused" // ErrInvalid, ErrMode and other errors that no fault can cause
)

func classify(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return Cancelled
	case errors.Is(err, redislock.ErrNotHeld):
		return NotHeld
	case errors.Is(err, redislock.ErrStolen):
		return Stolen
	case errors.Is(err, redislock.ErrLost):
		return Lost
	case errors.Is(err, redislock.ErrHeld):
		return Held
	case errors.Is(err, redislock.ErrClosed):
		return Shut
	case errors.Is(err, redislock.ErrConflict):
		return Conflict
	case errors.Is(err, redislock.ErrInvalid), errors.Is(err, redislock.ErrMode), errors.Is(err, redislock.ErrDeadlock),
		errors.Is(err, redislock.ErrOrder), errors.Is(err, redislock.ErrPermission):
		return Misused
	}
	return Failed
}

func now() int64 { return time.Now().UnixMicro() }
