package redislock

import (
	"context"
	"slices"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/lua"
)

const (
	// giveUpPatience is how long an acquire that failed waits for its own traces to be gone before it returns; they
	// go in the background otherwise.
	giveUpPatience = 250 * time.Millisecond
	// endedPatience is that where the caller's time is over: a round trip nearby.
	endedPatience = 10 * time.Millisecond
	// giveUpTime is how long that is tried: the life of a tombstone.
	giveUpTime = time.Minute
	// brief is how long a lock that was free may have been held so that hardly anybody can have begun to wait for it: its
	// release tries the command first with which the script begins. It finds nothing where somebody waits after all, and then
	// the script follows.
	brief = 5 * time.Millisecond
)

// vacate gives up a hold, with one request and its resends. The first result is what became of the hold, nil if this ended it; the
// second is why that was not answered.
func (c *Client) vacate(ctx context.Context, e *lease, now time.Time) (outcome, err error) {
	unanswered := false
	if e.alone && !e.bury && between(e.granted, now) < brief && !c.crowds.has(e.hold.name) {
		one := &call{}
		one.init(lua.Release, e.boxedKey)
		one.form, one.args = head, append(one.args, e.boxed)
		a := c.promptly(ctx, one)
		switch {
		case a.err != nil || a.value == int64(1):
			return nil, a.err
		case a.value != int64(0):
			return nil, protocol.Unexpected(a.value)
		}
		unanswered = a.unanswered
		c.crowds.met(e.hold.name, true)
	}
	one := &call{}
	one.init(lua.Release, e.boxedKey)
	one.args = append(one.args, e.boxed)
	if e.bury {
		one.args = append(one.args, "tombstone")
	}
	a := c.promptly(ctx, one)
	if a.err != nil {
		return nil, a.err
	}
	what, more, found, err := protocol.ParseRelease(a.value)
	if a.value == int64(1) { // there was nothing but the hold
		c.crowds.met(e.hold.name, false)
	}
	if more {
		c.giveUp(e.key(), e.token(), false)
	}
	if err == nil && what != "hold" {
		outcome = e.concluded(found, a.unanswered || unanswered)
	}
	return outcome, err
}

// promptly sends a request that does not end with ctx, and returns within the time for resends.
func (c *Client) promptly(ctx context.Context, one *call) answer {
	ctx = detached(ctx)
	if c.prompt { // it cannot take long, so it costs no other goroutine
		return c.attempt(ctx, one, true)
	}
	bounded, cancel := context.WithTimeout(ctx, resendTime)
	defer cancel()
	return c.attempt(bounded, one, false)
}

// giveUp gives up whatever a token has on the server, in the background: for a wait that was cancelled, a hold that was
// lost, a grant that came late. With bury it leaves a tombstone against late copies.
func (c *Client) giveUp(key, token string, bury bool) <-chan struct{} {
	return c.insist(lua.Release, key, protocol.ReleaseArgs(token, bury), func(value any) bool {
		_, more, _, _ := protocol.ParseRelease(value)
		return more
	})
}

// insist sends a request in the background until it is answered, and until the answer is not that more is to be done,
// for a minute at the most. The channel closes when it is through.
func (c *Client) insist(s *lua.Script, key string, args []any, more func(any) bool) <-chan struct{} {
	done := make(chan struct{})
	c.background.add()
	go func() {
		defer c.background.done()
		defer close(done)
		until := time.Now().Add(giveUpTime)
		for attempt := 1; ; attempt++ {
			one := newCall(s, key, args...)
			c.executor(key).do(context.Background(), one)
			if err := one.answer.err; err == nil {
				if !more(one.answer.value) {
					return
				}
				continue
			} else if permanent(err) || c.isOrphaned() || time.Now().After(until) {
				return
			}
			pause := time.NewTimer(min(backoff(attempt), time.Second))
			select {
			case <-pause.C:
			case <-c.stopped:
				pause.Stop()
				return
			}
		}
	}()
	return done
}

func (c *Client) isStopped() bool {
	select {
	case <-c.stopped:
		return true
	default:
		return false
	}
}

// outgoing is a call of the renewal lane, and who takes its answer.
type outgoing struct {
	call *call
	then func(answer)
}

// send puts a call into the next pipeline of the renewal lane; only tasks of the scheduler use it.
func (c *Client) send(one *call, then func(answer)) {
	c.outbox = append(c.outbox, outgoing{one, then})
}

// flush sends what the tasks that were due together collected, a pipeline for each master. Each has a goroutine of its
// own while it is under way, so that a stuck connection delays none of the others.
func (c *Client) flush() {
	out := c.outbox
	if len(out) == 0 {
		return
	}
	c.outbox = nil
	c.background.add()
	go func() {
		defer c.background.done()
		byMaster := map[*executor][]outgoing{}
		for _, o := range out {
			x := c.executor(o.call.keyText())
			byMaster[x] = append(byMaster[x], o)
		}
		for x, all := range byMaster {
			for batch := range slices.Chunk(all, maxBatch) {
				c.background.add()
				go func() {
					defer c.background.done()
					x.deliver(batch)
				}()
			}
		}
	}()
}

// deliver sends calls in a pipeline and hands their answers on.
func (x *executor) deliver(batch []outgoing) {
	calls := make([]*call, len(batch))
	for i, o := range batch {
		calls[i] = o.call
	}
	x.send(calls)
	for _, o := range batch {
		o.then(o.call.answer)
	}
}
