package redislock

import (
	"errors"
	"fmt"
	"time"

	"example.com/redislock/internal/lease"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/replication"
	"example.com/redislock/internal/transport"
)

// The errors that callers decide by; test for them with [errors.Is]. Every error of this package also says which
// operation failed on which name. An error that is none of these is the network's or the server's own, wrapped: Redis
// could not be reached, or refused.
var (
	// ErrHeld says that somebody else holds the lock and the caller did not want to wait (longer). Nothing was left
	// behind: no hold, no place in the queue. [HeldError] says who.
	ErrHeld = errors.New("held by another")

	// ErrNotHeld says that the lock was no longer this handle's: its lease had run out, it was stolen, an operator broke
	// it, or it had been given back before. Somebody else may have had it in between. It also says that the context of
	// a [Lockable.Release], or the ticket of a [Client.Resume], is of no hold.
	ErrNotHeld = errors.New("not held")

	// ErrUnknown says that an attempt of the request had no answer, that a later one found its work done or not to be done any
	// more, and that nothing proves which: data was lost, or so much time has passed that what would tell is forgotten. After
	// [Lock.Release] and [Lock.ReleaseAfter] the handle does not hold the lock any more, and somebody else may have had it before
	// the call; after ReleaseAfter it may also have been free too soon. After [Client.Break] the holds that were meant are over,
	// by that Break or otherwise.
	ErrUnknown = errors.New("unknown what became of it")

	// ErrLost ends [Lock.Context] when the lock may no longer be trusted: the lease ran out before it could be
	// renewed, the server no longer knows the hold, or the longest time allowed by [WithMaxHold] is over.
	ErrLost = lease.ErrLost

	// ErrStolen ends [Lock.Context] when another caller found this hold older than its [WithStealAfter], or an
	// operator broke it by [Client.Break]. It is also an [ErrLost].
	ErrStolen = fmt.Errorf("lock stolen: %w", ErrLost)

	// ErrReleased ends [Lock.Context] when the lock was given back by [Lock.Release].
	ErrReleased = errors.New("lock released")

	// ErrDeadlock says that the caller asked for a lock under the context of a hold of that same lock, and for more
	// than that hold gives (Write under Read) or with [NonReentrant], and so would have waited for itself. Nothing was
	// sent.
	ErrDeadlock = errors.New("already held by the caller: waiting for it would never end")

	// ErrOrder says that a handle was released before those that are nested in it. It is still held.
	ErrOrder = errors.New("released out of order")

	// ErrConflict says that an upgrade cannot be: another reader waits for one already, and each would wait for the
	// other to give its read lock back. It also says that another goroutine is about to change the mode of this same
	// hold, or to hand it off.
	ErrConflict = errors.New("another change is under way")

	// ErrMode says that the lock is in use with other rules under the same name of a mode, or with too many different
	// modes. Nothing was left behind.
	ErrMode = errors.New("mode does not match")

	// ErrNotReplicated says that fewer replicas than [WithReplicas] asks for had the hold in time. It was given back: nothing
	// was left behind. An upgrade was undone: the lock is held in Read as before.
	ErrNotReplicated = replication.ErrNotReplicated

	// ErrClosed says that the Client was closed. Where the user's Redis client was closed under an open Client, the error of
	// whatever waits, and of whatever is asked for from then on, is go-redis' own, redis.ErrClosed; what is held is lost at its
	// bound.
	ErrClosed = transport.ErrClosed

	// ErrInvalid says that an argument or an option has a value that cannot work. Nothing was sent, or in case of a
	// [WithFenceFloor] that only the server knows to be too far ahead, nothing was left behind.
	ErrInvalid = errors.New("invalid")

	// ErrPermission says that the server's ACL refuses a command, key or channel that locks need. The text names what
	// is missing; [ACL] prints what suffices.
	ErrPermission = transport.ErrPermission

	// ErrDamaged says that the key of this one name has in it what this library has not written: another program uses
	// the key, or it was changed by hand. Nobody can be served under that name until it is deleted. Other names are not
	// concerned.
	ErrDamaged = protocol.ErrDamaged
)

// HeldError is an [ErrHeld] that says who holds the lock, as far as the server told. A context that ended while
// waiting is part of it: errors.Is(err, context.DeadlineExceeded) and errors.Is(err, ErrHeld) are both true then.
type HeldError struct {
	// Holder is who holds the lock; its zero value if that is not known.
	Holder Owner
	// Since is when the holder got the lock, by the server's clock; zero if that is not known.
	Since time.Time
	// Deadline is when the holder's lease ends unless it is renewed, by the server's clock. Of several holders it is
	// that of the first to end.
	Deadline time.Time
	// Holders is how many there are: more than one in a shared mode, where Holder is the oldest.
	Holders int
	// Waiting is how many others wait for the lock.
	Waiting int

	own   bool // the holder is this process, as far as its name, host and pid tell
	cause error
}

// Error says who holds the lock and since when. Where that is the process of the caller itself, it says so: an acquire that is
// to nest in a hold of the same name needs the context of that hold.
func (e *HeldError) Error() string {
	text := ErrHeld.Error()
	if !e.Since.IsZero() {
		text = fmt.Sprintf("held by %s since %s", e.Holder, e.Since.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	if e.Holders > 1 {
		text = fmt.Sprintf("%s and %d more", text, e.Holders-1)
	}
	if e.Waiting > 0 {
		text = fmt.Sprintf("%s, %d waiting", text, e.Waiting)
	}
	if e.own {
		text += "; that is this process itself: who asks under the lock passes its Context"
	}
	if e.cause != nil {
		text = fmt.Sprintf("%s (%v)", text, e.cause)
	}
	return text
}

// Unwrap makes a HeldError an [ErrHeld], and what ended the wait: the context's error, a network error, or neither.
func (e *HeldError) Unwrap() []error {
	if e.cause == nil {
		return []error{ErrHeld}
	}
	return []error{ErrHeld, e.cause}
}

// opError names the operation and the lock in front of a cause.
type opError struct {
	op, name string
	err      error
}

func (e *opError) Error() string {
	return fmt.Sprintf("redislock: %s %q: %v", e.op, e.name, e.err)
}

func (e *opError) Unwrap() error { return e.err }

func wrapOp(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &opError{op: op, name: name, err: err}
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// heldBy is the error of who found the lock taken.
func (c *Client) heldBy(h protocol.Holder, cause error) *HeldError {
	owner := parseOwner(h.Info)
	own := owner.Client == c.owner.Client && owner.Host == c.owner.Host && owner.PID == c.owner.PID
	return &HeldError{Holder: owner, Since: h.Since.Time(), Deadline: h.Deadline.Time(), Waiting: h.Waiting, Holders: h.Holders, own: own, cause: cause}
}
