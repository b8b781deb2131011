package redislock

import (
	"time"

	"example.com/redislock/internal/protocol"
)

// elapsed is the time since t: the larger of what the monotonic and the wall clock say, because Linux stops the
// monotonic one while a machine is suspended, and Redis does not wait for it.
func elapsed(t time.Time) time.Duration { return between(t, time.Now()) }

// between is elapsed at some time.
func between(t, now time.Time) time.Duration {
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

// reached reports whether a time has come, by either clock.
func reached(t, now time.Time) bool { return !now.Before(t) || !now.Round(0).Before(t.Round(0)) }

// bound is a stretch of local time in which something may be relied on.
type bound struct {
	from time.Time
	span time.Duration
}

// left is what remains of it; negative when it has passed.
func (b bound) left() time.Duration { return b.leftAt(time.Now()) }

func (b bound) leftAt(now time.Time) time.Duration { return b.span - between(b.from, now) }

// after is the bound of a deadline that a server told: a request that left at sent was answered when the server's
// clock said now, so the server cannot reach the deadline before sent + (deadline - now). Less the margin (I6).
func (c *Client) after(sent time.Time, now, deadline protocol.Micros) bound {
	span := deadline.Sub(now)
	return bound{from: sent, span: span - c.margin - span/1000}
}
