package torture

import (
	"context"
	"errors"
	"time"

	"example.com/redislock"
)

// Event is a line of a worker's log. It is written whole and at once, so the log of a process that is killed is right
// up to that instant.
type Event struct {
	Kind EventKind `json:"k"`
	At   int64     `json:"at"`           // µs of the clock that the server on this machine has too
	Op   int64     `json:"op,omitempty"` // numbers the acquires of a worker; what follows on one has its number

	// Of an acquire.
	Name   string `json:"name,omitempty"`
	Mode   string `json:"mode,omitempty"`
	Weight int    `json:"weight,omitempty"`
	Waits  bool   `json:"waits,omitempty"` // it joins the queue
	Lease  int64  `json:"lease,omitempty"` // µs
	Kept   bool   `json:"kept,omitempty"`  // by the harness's wish

	Fence int64  `json:"fence,omitempty"`
	Until int64  `json:"until,omitempty"` // the handle's Deadline, where the lock is taken in turns
	Held  bool   `json:"held,omitempty"`  // the handle said so, at a time not before At
	Err   string `json:"err,omitempty"`   // a class, see classify
	Text  string `json:"text,omitempty"`
}

// EventKind is what happened.
type EventKind string

// What happens.
const (
	Ready    EventKind = "ready"
	Acquire  EventKind = "acquire"  // is called
	Acquired EventKind = "acquired" // has returned
	Renewed  EventKind = "renewed"  // a script said so; At is the server's time
	Used     EventKind = "used"     // was asked whether it is held; Fence and Err are those of a write, if there was one
	Ended    EventKind = "ended"    // the Context, and not by a release
	Change   EventKind = "change"   // of the mode, or of the owner: an upgrade or a handoff is begun
	Changed  EventKind = "changed"  // to Mode, with a new fence
	Release  EventKind = "release"
	Released EventKind = "released"
	Closed   EventKind = "closed" // the Client
	Leaked   EventKind = "leaked" // goroutines were left; Text has them
	Done     EventKind = "done"
)

// Classes of errors.
const (
	Held      = "held"
	Cancelled = "cancelled" // the caller's context
	NotHeld   = "not held"
	Lost      = "lost"
	Stolen    = "stolen"
	Shut      = "closed"
	Conflict  = "conflict"
	Refused   = "refused" // by the register, as stale
	Failed    = "failed"  // Redis or the network
	Misused   = "misused" // ErrInvalid, ErrMode and what else no fault brings about
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
