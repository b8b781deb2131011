// Package clock is until when something may be relied on, by the local clock.
//
// A server's deadline is told in the server's time. A [Bound] is a stretch of local time that ends no later (I6):
//
//	sent ├──────────────── deadline - now ────────────────┤ the server cannot reach the deadline before
//	     ├──────────── Bound ────────────┤ margin, 1/1000 │
//
// The time that the reply took makes the bound earlier, never later. Time that has passed is the larger of what the monotonic and
// the wall clock say.
package clock

import (
	"time"

	"example.com/redislock/internal/protocol"
)

// Elapsed is the time since t: the larger of what the monotonic and the wall clock say, because Linux stops the
// monotonic one while a machine is suspended, and Redis does not wait for it.
func Elapsed(t time.Time) time.Duration { return Between(t, time.Now()) }

// Between is Elapsed at some time.
func Between(t, now time.Time) time.Duration {
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

// Reached reports whether a time has come, by either clock.
func Reached(t, now time.Time) bool { return !now.Before(t) || !now.Round(0).Before(t.Round(0)) }

// Bound is a stretch of local time in which something may be relied on.
type Bound struct {
	// From is when it began, and Span how long it is.
	From time.Time
	Span time.Duration
}

// Left is what remains of it; negative when it has passed.
func (b Bound) Left() time.Duration { return b.LeftAt(time.Now()) }

// LeftAt is what remained of it at some time.
func (b Bound) LeftAt(now time.Time) time.Duration { return b.Span - Between(b.From, now) }

// Until is the bound for a deadline of the server. A request was sent at the local time sent, and its answer says that the
// server's time was now. So the server cannot reach the deadline before sent + (deadline - now). Less the margin, and a
// thousandth for clocks that run at different speeds (I6).
func Until(sent time.Time, now, deadline protocol.Micros, margin time.Duration) Bound {
	return Within(sent, deadline.Sub(now), margin)
}

// Within is the bound of a span that began at some time, less the margin, and a thousandth.
func Within(from time.Time, span, margin time.Duration) Bound {
	return Bound{From: from, Span: span - margin - span/1000}
}
