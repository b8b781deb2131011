package redislock

import (
	"fmt"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
	"example.com/redislock/internal/waiting"
	"example.com/redislock/lua"
)

// errGone says that a grant was over before it was used: broken, revoked, or lost with the server's data.
var errGone = fmt.Errorf("%w: granted, and taken away before it was used", ErrLost)

// confirm makes good what the grant itself does not give: a fence above all that were seen, and replicas that have the
// hold. Nearly always neither is wanted, and nothing is sent. The bound of a hold that was confirmed is that of the
// confirmation (I6).
func (q *acquisition) confirm(g waiting.Grant) (waiting.Grant, error) {
	c := q.client
	fence := protocol.ParseFence(g.Fence)
	seen := q.seenBefore(fence)
	if fence > seen && fence > q.floor && q.replicas == 0 {
		c.floors.note(q.name, fence)
		return g, nil
	}
	token := q.token
	if q.changes != nil {
		token = q.changes.hold.lease.Token()
	}
	args := []any{token, floorArg(q.floor), floorArg(seen)}
	var a transport.Answer
	if q.replicas > 0 {
		a = c.replicated(q.parent, q.settings, lua.Confirm, q.key, args)
	} else {
		a = c.transport.Ask(q.parent, nil, lua.Confirm, q.key, args...)
	}
	if a.Err != nil {
		return g, a.Err
	}
	r, err := protocol.ParseReply(a.Value)
	switch {
	case err != nil:
		return g, err
	case r.Status == "gone":
		return g, errGone
	case r.Status == "ahead":
		return g, invalid("WithFenceFloor(%d): more than a day ahead of the server's clock, which says %d", q.floor, r.Now)
	case r.Status != "granted":
		return g, fmt.Errorf("unexpected answer %q", r.Status)
	}
	g.Fence, g.Lease, g.Valid = r.Fence, r.Lease.Sub(0), clock.Until(a.Sent, r.Now, r.At+r.Lease, c.margin)
	if fence = protocol.ParseFence(g.Fence); fence <= seen {
		c.floors.forget(q.name)
	}
	c.floors.note(q.name, fence)
	if q.changes != nil && !q.changes.hold.lease.Final() { // a final lease ends when it was to end
		q.changes.hold.lease.Extend(g.Valid, a.Sent)
	}
	return g, nil
}

func floorArg(fence int64) string {
	if fence == 0 {
		return ""
	}
	return fmt.Sprintf("%016d", fence)
}
