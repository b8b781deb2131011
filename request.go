package redislock

import (
	"context"
	"strings"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

const (
	// standardKeep is KEEP of lua/layout.lua: how long a key outlives its last grant on the fast path.
	standardKeep = 4600 * time.Second
)

// request makes a call of the script that asks, and its arguments.
func (q *acquisition) request(one *transport.Call, wait string) {
	if q.boxed == nil {
		q.boxed = q.token
	}
	if q.boxedKey == nil {
		q.boxedKey = q.key
	}
	switch {
	case q.changes != nil:
		hold := q.changes.hold.lease.Token()
		request, _ := q.text(wait, q.mode.wire.Line(q.weight, hold))
		one.Init(lua.Convert, q.boxedKey)
		one.Args = append(one.Args, hold, request, q.boxed)
		return
	case q.resumes != nil:
		request, _ := q.text(wait, "")
		one.Init(lua.Resume, q.boxedKey)
		one.Args = append(one.Args, q.boxed, request, q.resumes.token, q.resumes.fence)
		return
	}
	request, standard := q.text(wait, q.mode.wire.Line(q.weight, ""))
	script := lua.Acquire
	if !standard {
		script = lua.AcquireOwn
	}
	one.Init(script, q.boxedKey)
	one.Args = append(one.Args, q.boxed, request)
	if q.stealSet || q.Ticket != "" {
		one.Args = append(one.Args, protocol.StealArg(q.steal), q.Ticket)
	}
}

// text is a request as lua/layout.lua has it. The second result is that of length.
func (q *acquisition) text(wait, mode string) (string, bool) {
	c := q.client
	keep, standard := c.keep(q.lease)
	b := protocol.Request{Lease: q.lease, Keep: keep, Nonce: q.nonce, Wait: wait, Channel: c.subscriber.WakeChannel(), Mode: mode}.AppendTo(make([]byte, 0, 256))
	b = c.appendInfo(b, q.parent)
	b = append(b, q.metadata...)
	return string(b), standard
}

// appendInfo writes who asks under ctx, but for the metadata; see [Owner.info].
func (c *Client) appendInfo(b []byte, ctx context.Context) []byte {
	trace := ""
	if c.trace != nil {
		trace = c.trace(ctx)
	}
	if trace == "" || len(trace) > MaxTrace || strings.ContainsFunc(trace, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return append(b, c.info...)
	}
	b = append(b, c.info[:len(c.info)-1]...)
	b = append(b, ' ')
	b = append(b, trace...)
	return append(b, '\n')
}

// keep is how long the key outlives a grant for that lease. The second result is whether that is KEEP of lua/layout.lua,
// which the fast path sets.
func (c *Client) keep(lease time.Duration) (keep time.Duration, standard bool) {
	keep = lease + c.retention + 100*time.Second
	if c.retention == DefaultRetention && keep <= standardKeep {
		return standardKeep, true
	}
	return keep, false
}
