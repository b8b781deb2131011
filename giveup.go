package redislock

import (
	"context"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

const (
	// giveUpPatience is how long an acquire that failed waits for its own traces to be gone before it returns; they
	// go in the background otherwise.
	giveUpPatience = 250 * time.Millisecond
	// endedPatience is that where the caller's time is over: a round trip nearby.
	endedPatience = 10 * time.Millisecond
	// brief is how long a lock that was free may have been held so that hardly anybody can have begun to wait for it: its
	// release tries the command first with which the script begins. It finds nothing where somebody waits after all, and then
	// the script follows. The command spares a busy server a fifth of what a pair costs it (docs/protocol.md). A longer hold does
	// not try it: a waiter would pay one more round trip.
	brief = 5 * time.Millisecond
)

// vacate gives up a hold, with one request and its resends. The first result is what became of the hold, nil if this ended it; the
// second is why that was not answered.
func (c *Client) vacate(ctx context.Context, e *lease, now time.Time) (outcome, err error) {
	unanswered := false
	if e.isAlone() && !e.unanswered && clock.Between(e.granted, now) < brief {
		one := &transport.Call{}
		one.Init(lua.Release, e.boxedKey)
		one.Form, one.Args = transport.Head, append(one.Args, e.boxed)
		a := c.transport.Promptly(ctx, one)
		switch {
		case a.Err != nil || a.Value == int64(1):
			return nil, a.Err
		case a.Value != int64(0):
			return nil, protocol.Unexpected(a.Value)
		}
		unanswered = a.Unanswered
	}
	one := &transport.Call{}
	one.Init(lua.Release, e.boxedKey)
	one.Args = append(one.Args, e.boxed)
	if e.unanswered {
		one.Args = append(one.Args, "tombstone")
	}
	a := c.transport.Promptly(ctx, one)
	if a.Err != nil {
		return nil, a.Err
	}
	what, more, found, err := protocol.ParseRelease(a.Value)
	if more {
		c.giveUp(e.key(), e.token(), false)
	}
	if err == nil && what != "hold" {
		outcome = e.concluded(found, a.Unanswered || unanswered)
	}
	return outcome, err
}

// giveUp gives up whatever a token has on the server, in the background: for a wait that was cancelled, a hold that was
// lost, a grant that came late. With tombstone it leaves a tombstone against late copies.
func (c *Client) giveUp(key, token string, tombstone bool) <-chan struct{} {
	return c.transport.Insist(lua.Release, key, protocol.ReleaseArgs(token, tombstone), func(value any) bool {
		_, more, _, _ := protocol.ParseRelease(value)
		return more
	})
}
