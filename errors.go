package redislock

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"example.com/redislock/internal/lease"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/replication"
	"example.com/redislock/internal/transport"
)

// These are the errors that callers decide by; test for them with [errors.Is]. Every error of this package also names the
// operation that failed and the lock. An error that is none of these is the network's or the server's own, wrapped: Redis
// could not be reached, or it refused.
var (
	// ErrHeld says that somebody else holds the lock, or that its limit ([Client.SetLimit]) leaves no room, and the caller did not
	// want to wait, or not any longer. Nothing was left behind: no hold and no place in the queue. [HeldError] names the holder and
	// the limit.
	ErrHeld = errors.New("held by another")

	// ErrQueueFull says that as many callers wait for the lock already as [WithMaxQueue] allows. It is part of a [HeldError], and
	// so it is an ErrHeld too. Nothing was left behind.
	ErrQueueFull = errors.New("the queue is full")

	// ErrNotHeld says that the lock was no longer this handle's. Its lease had run out, it was stolen, an operator broke it,
	// or it had been given back before. Somebody else may have had it in between. It also says that the context of a
	// [Lockable.Release], or the ticket of a [Client.Resume], belongs to no hold.
	ErrNotHeld = errors.New("not held")

	// ErrUnknown says that it cannot be known whether the request was executed. An attempt had no answer. A later attempt found
	// that its work was done, or was not to be done any more. Nothing proves which of them did it: data was lost, or the proof
	// was forgotten because so much time has passed. After [Lock.Release] and [Lock.ReleaseAfter] the handle does not hold the
	// lock any more, and somebody else may have had it before the call. After ReleaseAfter the lock may also have been free too
	// soon. After [Client.Break] the holds that were meant are over, by that Break or otherwise.
	ErrUnknown = errors.New("it is not known whether the request was executed")

	// ErrLost ends [Lock.Context] when the lock may no longer be trusted: the lease ran out before the Client could renew it,
	// the server no longer knows the hold, or the longest time allowed by [WithMaxHold] is over.
	ErrLost = lease.ErrLost

	// ErrStolen ends [Lock.Context] when another caller found this hold older than its [WithStealAfter], or when an operator
	// broke it by [Client.Break]. It is also an [ErrLost].
	ErrStolen = fmt.Errorf("lock stolen: %w", ErrLost)

	// ErrReleased ends [Lock.Context] when [Lock.Release] gave the lock back.
	ErrReleased = errors.New("lock released")

	// ErrDeadlock says that the caller would have waited for itself. It asked for a lock under the context of a hold of that
	// same lock, and either asked for more than that hold gives (Write under Read) or used [NonReentrant]. Nothing was sent. With
	// [WithDeadlockCheck] it is also the error of a wait in a circle of several: a [DeadlockError].
	ErrDeadlock = errors.New("already held by the caller: waiting for it would never end")

	// ErrOrder says that a handle was to be released before the handles that are nested in it. The handle is still held.
	ErrOrder = errors.New("released out of order")

	// ErrConflict says that an upgrade is impossible because another reader waits for one already: each would wait for the
	// other to give its read lock back. It also says that another goroutine is about to change the mode of this same hold, or
	// to hand the hold off.
	ErrConflict = errors.New("another change is under way")

	// ErrMode says that the lock is in use with a mode of the same name whose rules are about other modes, or with too many different
	// modes. Rules that differ in their numbers only, or by [Mode.Beside], are no error.
	// Nothing was left behind.
	ErrMode = errors.New("mode does not match")

	// ErrNotReplicated says that fewer replicas than [WithReplicas] asks for had the hold in time. The hold was given back,
	// and nothing was left behind. An upgrade was undone: the lock is held in Read as before.
	ErrNotReplicated = replication.ErrNotReplicated

	// ErrClosed says that the Client was closed. If the user's Redis client was closed under an open Client, every wait and
	// every later call fails with go-redis' own error, redis.ErrClosed, and each hold is lost at its bound.
	ErrClosed = transport.ErrClosed

	// ErrDraining says that the Client takes no more locks because [Client.Drain] was called. It is also an [ErrClosed].
	// Nothing was left behind.
	ErrDraining = transport.ErrDraining

	// ErrInvalid says that an argument or an option has a value that cannot work. Nothing was sent. A [WithFenceFloor] that
	// only the server knows to be too far ahead is the exception: there a request was sent, but nothing was left behind.
	ErrInvalid = errors.New("invalid")

	// ErrPermission says that the server's ACL refuses a command, key or channel that locks need. The text names what is
	// missing. [ACL] returns a rule that suffices.
	ErrPermission = transport.ErrPermission

	// ErrServer says that the server cannot serve locks: it is older than Redis 6.0, or it has no Lua, which is a separate module
	// from Valkey 9.1 on. The text says what to do. The weak kind is taken without Lua: there [Client.First] works, and the
	// release of [Client.AcquireWeak] is the call that says so.
	ErrServer = transport.ErrServer

	// ErrDamaged says that the key of this name has a value that this library has not written: another program uses the key, or
	// somebody changed it by hand. No caller gets a lock of that name until the key is deleted. Other names are not affected.
	ErrDamaged = protocol.ErrDamaged
)

// HeldError is an [ErrHeld] that names the holder, as far as the server told. If a context ended during the wait, its error
// is part of it: errors.Is(err, context.DeadlineExceeded) and errors.Is(err, ErrHeld) are then both true.
type HeldError struct {
	// Holder is the holder of the lock, or the zero value if that is not known.
	Holder Owner
	// Since is when the holder got the lock, by the server's clock; zero if that is not known.
	Since time.Time
	// Deadline is when the holder's lease ends unless it is renewed, by the server's clock. If there are several holders, it
	// is the earliest of their deadlines.
	Deadline time.Time
	// Holders is how many holders there are: more than one in a shared mode. Holder is then the oldest of them.
	Holders int
	// Waiting is how many others wait for the lock.
	Waiting int
	// Limit is the limit of the lock ([Client.SetLimit]) if, at the last answer, it left no room for the caller or for the first
	// waiter in the queue; otherwise it is zero. If nobody holds the lock, the limit alone is in the way.
	Limit Limit

	own   bool // the holder is this process, as far as its name, host and pid tell
	self  bool // and the caller has waited for itself, as far as its stack tells
	cause error
}

// Error says who holds the lock and since when, and that the limit of the lock leaves no room, if that is so. If the holder is
// the caller's own process, Error says that too, with a hint: an acquire that is to nest in a hold of the same name needs the
// context of that hold. If the caller has waited inside a function that runs under a lock ([EventSelfWait]), Error says that it
// looks as if the caller waited for itself.
func (e *HeldError) Error() string {
	text := ErrHeld.Error()
	limited := !e.Limit.Until.IsZero()
	if limited && e.Holders == 0 {
		text = "held by nobody"
	}
	if !e.Since.IsZero() {
		text = fmt.Sprintf("held by %s since %s", e.Holder, e.Since.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	if e.Holders > 1 {
		text = fmt.Sprintf("%s and %d more", text, e.Holders-1)
	}
	if e.Waiting > 0 {
		text = fmt.Sprintf("%s, %d waiting", text, e.Waiting)
	}
	if limited {
		var rules []string
		for _, r := range e.Limit.Rules {
			rules = append(rules, fmt.Sprintf("%d %s", r.most, strings.Join(r.modes, "+")))
		}
		text = fmt.Sprintf("%s; its limit leaves no room: at most %s until %s", text, strings.Join(rules, " and "), e.Limit.Until.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	switch {
	case e.self:
		text += "; that is this process itself, and it looks as if the caller waited for itself: it must pass the context of the lock that it holds"
	case e.own:
		text += "; that is this process itself: who asks under the lock passes its Context"
	}
	if e.cause != nil {
		text = fmt.Sprintf("%s (%v)", text, e.cause)
	}
	return text
}

// Unwrap makes a HeldError an [ErrHeld] and also the error that ended the wait: that of the context or of the network, if
// there was one.
func (e *HeldError) Unwrap() []error {
	if e.cause == nil {
		return []error{ErrHeld}
	}
	return []error{ErrHeld, e.cause}
}

// opError puts the operation and the name of the lock in front of a cause.
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

// heldBy is the error for a caller that found the lock taken.
func (c *Client) heldBy(h protocol.Holder, cause error) *HeldError {
	owner := parseOwner(h.Info)
	e := &HeldError{Holder: owner, Since: h.Since.Time(), Deadline: h.Deadline.Time(), Waiting: h.Waiting, Holders: h.Holders, own: c.isOwn(h.Info), cause: cause}
	if until, rules, ok := protocol.CutLimit(h.Limit); ok {
		e.Limit = Limit{Rules: limitRules(rules), Until: time.UnixMicro(protocol.ParseFence(until))}
	}
	return e
}

// both is two errors as one, which says them in one line; either may be nil.
func both(err, more error) error {
	switch {
	case err == nil:
		return more
	case more == nil:
		return err
	}
	return fmt.Errorf("%w; %w", err, more)
}
