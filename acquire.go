package redislock

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
	"example.com/redislock/internal/waiting"
	"example.com/redislock/lua"
)

// acquire obtains a grant and makes a Lock of it, or nests a handle in a Lock.
func (c *Client) acquire(ctx context.Context, name string, opts []Option) (*Lock, error) {
	if err := c.called(ctx); err != nil {
		return nil, err
	}
	q := c.turns.acquisition()
	q.client, q.name, q.parent, q.settings = c, name, ctx, c.defaults
	if err := c.accept(ctx, name, opts, &q.settings); err != nil {
		return nil, err
	}
	if l, nested, err := c.nest(ctx, name, &q.settings); nested {
		return l, err
	}
	l, err := c.seek(q)
	if err == nil && q.token == nil && !q.Queued { // it got the lock within the process, at once: nothing knows it any more
		c.turns.again(q)
	}
	return l, err
}

// accept checks everything that can be checked without Redis, and applies the options to the settings.
func (c *Client) accept(ctx context.Context, name string, opts []Option, s *settings) error {
	if err := c.called(ctx); err != nil {
		return err
	}
	if err := checkName(name); err != nil {
		return err
	}
	err := s.apply(opts)
	if err == nil {
		err = s.strong()
	}
	if err == nil {
		err = c.countable(s)
	}
	switch {
	case err != nil:
		return err
	case s.lease-s.lease/1000 <= c.margin:
		return invalid("WithLease(%v): nothing of it is left under a clock margin of %v", s.lease, c.margin)
	}
	if err := c.refuses(ctx); err != nil {
		return err
	}
	return ctx.Err()
}

// countable refuses WithReplicas where the write and its WAIT may be sent on two connections. WAIT would then answer for the
// writes of somebody else, or for no writes at all, which every replica has.
func (c *Client) countable(s *settings) error {
	if s.replicas == 0 {
		return nil
	}
	if b := c.behind; !b.Wrapped && (b.Single != nil || b.Cluster != nil) {
		if size := transport.PoolSize(b); size < 2 {
			return invalid("WithReplicas(%d, %v) over a pool of %d: renewals would have to stand behind the WAIT", s.replicas, s.replicaTime, size)
		}
		return nil
	}
	return invalid("WithReplicas(%d, %v) over a %T: it needs the write and the WAIT on one connection, and so a *redis.Client or a *redis.ClusterClient",
		s.replicas, s.replicaTime, c.rdb)
}

// seek is pursue, with its events for the Observer. If the caller does not get the lock because the Observer panics or ends
// the goroutine, seek gives the lock back (I8).
func (c *Client) seek(q *acquisition) (l *Lock, err error) {
	inTurns := q.inTurns()
	if !inTurns { // otherwise often nothing is sent
		q.key = c.keys.Lock(q.name)
	}
	q.asked = time.Now()
	returned := false
	defer func() {
		if !returned && l != nil {
			_ = l.finish(context.Background(), true, 0) // if Redis does not answer, it goes on in the background
		}
	}()
	if c.observer != nil {
		c.observe(q.event(EventAsked))
	}
	if inTurns {
		l, err = q.inTurn()
	} else {
		l, err = q.pursue()
	}
	if c.observer != nil {
		c.observe(q.outcome(l, err))
	}
	returned = true
	return l, err
}

// start begins the loops of the Client, once. It does nothing if the Client is closed.
func (c *Client) start() {
	if c.enter() != nil {
		return
	}
	defer c.leave()
	c.begin.Do(func() {
		c.loops.Add()
		go func() {
			defer c.loops.Done()
			c.scheduler.Run(c.stopped)
		}()
		c.subscriber.Start()
	})
}

// adopt takes a new hold into the Client's books. It refuses if the Client was closed, or if the Client drains and the hold
// belongs to no other held lock.
func (c *Client) adopt(h *hold) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return ErrClosed
	case c.empty != nil && c.first(carriedBy(h.first.asked)) == nil:
		return ErrDraining
	}
	c.holds[h.lease.Token()] = h
	return nil
}

// holdOf is the hold with that token in the Client's books, or nil.
func (c *Client) holdOf(token string) *hold {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.holds[token]
}

// inBooks reports whether the hold is still in the Client's books, that is, has not ended.
func (c *Client) inBooks(h *hold) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.holds[h.lease.Token()] == h
}

// forget takes a hold that has ended out of the books.
func (c *Client) forget(h *hold) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holds[h.lease.Token()] != h { // not known, or it has gone on within the process
		return
	}
	delete(c.holds, h.lease.Token())
	if c.empty != nil && len(c.holds) == 0 {
		close(c.empty)
	}
}

const (
	// standardKeep is KEEP of lua/layout.lua: how long a key outlives its last grant on the fast path.
	standardKeep = 4600 * time.Second
)

// request fills in the call: the script that asks for the lock, and its arguments.
func (q *acquisition) request(one *transport.Call, wait string) {
	switch {
	case q.changes != nil:
		hold := q.changes.hold.lease.Token()
		request, _ := q.text(wait, q.mode.wire.Line(int(q.weight), hold))
		one.Init(lua.Convert, q.key)
		one.Args = append(one.Args, hold, request, q.token)
		return
	case q.resumes != nil:
		request, _ := q.text(wait, "")
		one.Init(lua.Resume, q.key)
		one.Args = append(one.Args, q.token, request, q.resumes.token, q.resumes.fence)
		return
	}
	request, standard := q.text(wait, q.mode.wire.Line(int(q.weight), ""))
	script := lua.Acquire
	if !standard {
		script = lua.AcquireOwn
	}
	one.Init(script, q.key)
	one.Args = append(one.Args, q.token, request)
	bounded := q.maxQueue > 0 && q.Waits && q.Ticket == "" // one that lost its place has its turn already
	if q.stealSet || q.Ticket != "" || bounded {
		one.Args = append(one.Args, protocol.StealArg(q.steal), q.Ticket)
	}
	if bounded {
		one.Args = append(one.Args, strconv.Itoa(int(q.maxQueue)))
	}
	if v := q.vote(); v != nil {
		one.Args = append(one.Args, "", v.ticket)
	}
}

// text is the request as lua/layout.lua describes it. The second result is that of keep.
func (q *acquisition) text(wait, mode string) (string, bool) {
	c := q.client
	keep, standard := c.keep(q.lease)
	b := protocol.Request{Lease: q.lease, Keep: keep, Nonce: q.nonce, Wait: wait, Channel: c.subscriber.WakeChannel(), Mode: mode}.AppendTo(make([]byte, 0, 256))
	var own *hold
	if q.changes != nil {
		own = q.changes.hold
	}
	b = c.appendInfo(b, q.parent, own, q.inTurns())
	b = append(b, q.metadata...)
	return string(b), standard
}

// appendInfo writes the owner and the trace of ctx, without the metadata; see [Owner.info]. Behind the trace are the holds under
// which the request is made: those of ctx, and own.
func (c *Client) appendInfo(b []byte, ctx context.Context, own *hold, inTurns bool) []byte {
	trace := ""
	if c.trace != nil {
		trace = c.trace(ctx)
	}
	if trace == "" || len(trace) > MaxTrace || strings.ContainsFunc(trace, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		trace = ""
	}
	under := own != nil || ctx.Value(innermostKey{}) != nil
	if trace == "" && !under {
		if inTurns {
			return append(b, c.inTurns...)
		}
		return append(b, c.info...)
	}
	b = append(b, c.info[:len(c.info)-1]...)
	b = append(b, ' ')
	b = append(b, trace...)
	n := len(b)
	if under {
		b = appendUnder(b, ctx, own)
	}
	if inTurns {
		if len(b) == n {
			b = append(b, ' ')
		}
		b = append(b, ' ', protocol.TurnsMark)
	}
	return append(b, '\n')
}

// keep is how long the key outlives a grant for that lease. The second result says whether that is KEEP of lua/layout.lua,
// which the fast path sets.
func (c *Client) keep(lease time.Duration) (keep time.Duration, standard bool) {
	keep = lease + c.retention + 100*time.Second
	if c.retention == DefaultRetention && keep <= standardKeep {
		return standardKeep, true
	}
	return keep, false
}

// ask sends the acquire once more. If the Client is subscribed, the request asks to join the queue.
func (q *acquisition) ask(ctx context.Context) (r protocol.Reply, s waiting.Sample, err error) {
	c := q.client
	mode := protocol.NoWait
	if q.Waits {
		m, e := c.subscriber.State(q.name)
		if m == "" && q.Without {
			m = protocol.Uncountable
		}
		if m != "" {
			mode, s.Epoch = m, e
			if q.wait == nil { // before it is sent: the message may be faster than the reply
				if q.wait = &q.firstWait; q.wait.Token() != "" {
					q.wait = &waiting.Wait{}
				}
				c.waits.Expect(q.wait, q.token.(string), q.lease, q.steal)
			}
		}
	}
	one := &transport.Call{} // separate, so that a long wait does not keep its memory
	q.request(one, mode)
	stays := q.stays || ctx.Done() == nil
	if !stays { // I8: the answer may come when nobody waits for it any more
		undo := q.undoing(true)
		one.Late = func(a transport.Answer) {
			if a.Err == nil {
				undo()
			}
		}
	}
	q.Asking = true
	a := c.transport.Attempt(ctx, one, stays)
	q.Asking = false
	s.Sent = a.Sent
	q.Unanswered = q.Unanswered || a.Unanswered
	if a.Err != nil {
		return r, s, a.Err
	}
	if r, err = protocol.ParseReply(a.Value); err != nil {
		q.Unanswered = true // whatever the answer was, it must not become a hold
	}
	if q.resumes != nil && r.Status == "granted" {
		mode, weight := protocol.ParseMode(r.Note)
		q.mode.wire, q.weight = mode, int32(weight)
	}
	if r.Status == "" { // the fast path: the lock was granted at this very time
		r.Status, r.Lease, r.Alone = "granted", protocol.Micros(q.lease.Microseconds()), true
	}
	s.Now = r.Now
	return r, s, err
}

// direct reports whether an answer grants the lock at the time of the answer, and no caller waits for the lock.
func (q *acquisition) direct(r protocol.Reply) bool {
	return r.Alone || r.Status == "granted" && r.At == r.Now && !q.Unanswered && !q.Joined && q.Ticket == ""
}

// refusal is the error of an answer that says no. It is nil if another caller has the lock.
func (q *acquisition) refusal(r protocol.Reply) error {
	switch r.Status {
	case "held":
		return nil
	case "full":
		return ErrQueueFull
	case "clash":
		return clash(q.mode, r.Note)
	case "conflict":
		return ErrConflict
	case "gone":
		return ErrNotHeld
	}
	return fmt.Errorf("unexpected answer %q", r.Status)
}

// clash is the error of a mode that cannot be used on a lock together with the modes that others use there.
func clash(m Mode, rules string) error {
	if rules == "" {
		return fmt.Errorf("%w: too many different modes are in use on this lock", ErrMode)
	}
	return fmt.Errorf("%w: %q has the rules %q here, and is in use on this lock with %q", ErrMode, m.Name(), m.wire.Rules, rules)
}
