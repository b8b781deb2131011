package redislock

import (
	"context"
	"sync"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/scheduler"
	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

const (
	// checkRetry is the pause after a check that failed.
	checkRetry = 500 * time.Millisecond
	// maxCheck is how many waits one check asks for: the oldest, and others in turn.
	maxCheck = 64
)

// waiters is all waits of this Client for one name, in the order in which they joined. They share their checks.
type waiters struct {
	client *Client
	name   string
	key    string
	task   scheduler.Task

	mu     sync.Mutex
	waits  []*wait // nil where one left; compacted when half are nil
	live   int
	cursor int                   // where the next check goes on behind the oldest
	steals map[time.Duration]int // how many waits steal after how long
	holder protocol.Holder
	why    error // the last check had no answer
}

// plan sets the next check: at the holder's deadline, when the holder has become stale for one of us, and at the
// latest after CheckEvery.
func (l *waiters) plan(h protocol.Holder, now protocol.Micros, ours bool) {
	in := protocol.CheckEvery - l.client.jitter(protocol.CheckEvery/4)
	l.mu.Lock()
	if !ours { // else it is one of us by now, who waited for the one before
		l.holder = h
	}
	if h.Since != 0 {
		in = min(in, h.Deadline.Sub(now)+expiredSlack)
		if steal := l.patience(); steal > 0 {
			if stale := h.Since.Add(steal).Sub(now); stale > 0 {
				in = min(in, stale+expiredSlack)
			}
		}
	}
	l.mu.Unlock()
	l.client.scheduler.SetNoLater(&l.task, time.Now().Add(in))
}

// patience is the shortest steal-after of the waits, 0 if nobody steals. The caller holds l.mu.
func (l *waiters) patience() time.Duration {
	var shortest time.Duration
	for steal := range l.steals {
		if shortest == 0 || steal < shortest {
			shortest = steal
		}
	}
	return shortest
}

// run checks the oldest wait and some others. It runs in the scheduler.
func (l *waiters) Run() {
	// The next one first: whoever finds meanwhile that it must come sooner is not overruled.
	l.client.scheduler.SetNoLater(&l.task, time.Now().Add(protocol.CheckEvery-l.client.jitter(protocol.CheckEvery/4)))
	l.mu.Lock()
	var asked []*wait
	add := func(w *wait) {
		if w != nil && w.asked {
			asked = append(asked, w)
		}
	}
	n := len(l.waits)
	oldest := 0
	for ; oldest < n && len(asked) == 0; oldest++ {
		add(l.waits[oldest])
	}
	start := max(l.cursor, oldest)
	if start >= n {
		start = oldest
	}
	end := start
	for ; end < n && len(asked) < maxCheck; end++ {
		add(l.waits[end])
	}
	l.cursor = end
	steal, live := l.patience(), l.live
	l.mu.Unlock()

	if live == 0 {
		l.client.scheduler.Remove(&l.task) // the last one left while this was on its way
	}
	mode, epoch := l.client.hub.Channel(l.name).State()
	if len(asked) == 0 {
		return
	}
	if mode == "" {
		mode = protocol.Uncountable // not subscribed now: what is granted meanwhile must wait for its claim
	}
	args := []any{l.client.hub.WakeChannel(), mode, stealArg(steal)}
	for _, w := range asked {
		args = append(args, w.token)
	}
	l.client.transport.Enqueue(transport.NewCall(lua.Check, l.key, args...), func(a transport.Answer) { l.checked(a, asked, epoch) })
}

// checked takes the answer of a check.
func (l *waiters) checked(a transport.Answer, asked []*wait, epoch uint64) {
	c := l.client
	l.mu.Lock()
	l.why = a.Err
	l.mu.Unlock()
	if a.Err != nil {
		c.scheduler.SetNoLater(&l.task, time.Now().Add(checkRetry))
		return
	}
	f, err := protocol.FieldsOf(a.Value)
	if err != nil {
		c.scheduler.SetNoLater(&l.task, time.Now().Add(checkRetry))
		return
	}
	now, more, h := f.Micros(0), f.Int(1), f.Holder(2)
	gone, granted := false, false
	for i, w := range asked {
		switch what := f.Text(7 + i); {
		case f.Err != nil:
			c.scheduler.SetNoLater(&l.task, time.Now().Add(checkRetry))
			return
		case what == "waiting":
			l.mu.Lock()
			w.sample = sample{a.Sent, now, epoch}
			l.mu.Unlock()
		case what == "gone":
			gone = true
			w.done()
			w.settle(outcome{gone: true})
		case len(what) == 40:
			g := protocol.Fields{Values: []any{what[:16], what[16:32], what[32:]}}
			fence, at, lease := g.Text(0), g.Micros(1), g.Lease(2)
			if g.Err == nil {
				granted = true
				w.done()
				w.settle(outcome{grant: grant{fence: fence, sent: a.Sent, valid: clock.Until(a.Sent, now, at+lease, c.margin), lease: lease.Sub(0)}})
			}
		}
	}
	c.hub.Verify(l.name)
	if gone || granted { // no message came
		c.hub.Suspect()
	}
	l.plan(h, now, granted)
	if gone || more > 0 { // others may be gone too, or wait behind places that are being cleared away
		c.scheduler.SetNoLater(&l.task, time.Now())
	}
}

// ended is the error of a wait whose ctx ended.
func (l *waiters) ended(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return transport.During(ctx.Err(), l.why)
}

// last is who held the lock when it was last heard.
func (l *waiters) last() protocol.Holder {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holder
}
