package redislock

import (
	"context"
	"strconv"
	"sync"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/scheduler"
)

// grant is a lock that a wait got.
type grant struct {
	fence string
	valid clock.Bound
	sent  time.Time     // when it was asked for, or heard of
	lease time.Duration // how long the server holds it: less than asked for if it is only a claim
	alone bool          // nobody else had it or waited for it
}

// wait is one token in a queue, from before its acquire is sent until it is granted, given up, or found gone. When it
// is gone the caller joins again with a new token and this one's ticket. Most acquires find the lock free, so what
// costs something comes with the answer that says otherwise: until then it is in no waiters.
type wait struct {
	token  string
	lease  time.Duration // what it asks for
	steal  time.Duration // 0: never
	result chan *outcome // holds one: the first counts

	// Guarded by waits.mu.
	waiters *waiters               // nil until its acquire was answered
	early   *protocol.GrantMessage // one that came before that

	// Guarded by waiters.mu.
	place  int  // in waiters.waits
	asked  bool // a check may ask for it
	hasty  bool // guarded by waits.mu: a message that says to look came early
	sample sample
}

type outcome struct {
	grant grant
	gone  bool
	err   error
}

// sample relates the server's clock to ours: a request left at sent and was answered when the server said now.
type sample struct {
	sent  time.Time
	now   protocol.Micros
	epoch uint64
}

func (w *wait) settle(o outcome) {
	select {
	case w.result <- &o:
	default: // settled before
	}
}

// done takes the wait out of the checks.
func (w *wait) done() {
	w.waiters.mu.Lock()
	w.asked = false
	w.waiters.mu.Unlock()
}

// waits are the waits of a Client, by token and by name.
type waits struct {
	mu      sync.Mutex
	byToken map[string]*wait
	byName  map[string]*waiters
}

// expect registers a wait before its acquire is sent: the message may be faster than the reply.
func (c *Client) expect(w *wait, token string, lease, steal time.Duration) {
	w.token, w.lease, w.steal = token, lease, steal
	c.waits.mu.Lock()
	defer c.waits.mu.Unlock()
	c.waits.byToken[token] = w
}

// joined notes that the server has this wait in its queue, and when to check it.
func (c *Client) joined(w *wait, name string, r protocol.Reply, s sample) {
	c.waits.mu.Lock()
	l := c.waits.byName[name]
	if l == nil {
		l = &waiters{client: c, name: name, key: c.keys.Lock(name)}
		l.task = scheduler.Task{Job: l}
		c.waits.byName[name] = l
	}
	early, hasty := w.early, w.hasty
	w.waiters, w.result = l, make(chan *outcome, 1)
	l.mu.Lock()
	w.place, w.asked, w.sample = len(l.waits), true, s
	l.waits = append(l.waits, w)
	l.live++
	if w.steal > 0 {
		if l.steals == nil {
			l.steals = map[time.Duration]int{}
		}
		l.steals[w.steal]++
	}
	l.mu.Unlock()
	c.waits.mu.Unlock()
	l.plan(r.Holder, r.Now, false)
	if early != nil {
		c.settled(w, *early)
	}
	if hasty {
		c.scheduler.SetNoLater(&l.task, time.Now())
	}
}

// removeWait forgets a wait that is over.
func (c *Client) removeWait(w *wait) {
	c.waits.mu.Lock()
	defer c.waits.mu.Unlock()
	delete(c.waits.byToken, w.token)
	l := w.waiters
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits[w.place] = nil
	l.live--
	if w.steal > 0 {
		if l.steals[w.steal]--; l.steals[w.steal] <= 0 {
			delete(l.steals, w.steal)
		}
	}
	if l.live == 0 {
		delete(c.waits.byName, l.name)
		c.scheduler.Remove(&l.task)
		return
	}
	if len(l.waits) > 32 && l.live < len(l.waits)/2 {
		kept := l.waits[:0]
		for _, other := range l.waits {
			if other != nil {
				other.place = len(kept)
				kept = append(kept, other)
			}
		}
		clear(l.waits[len(kept):])
		l.waits = kept
	}
}

// recheck has the waits for a name checked: messages may have been lost.
func (c *Client) recheck(name string) {
	c.waits.mu.Lock()
	defer c.waits.mu.Unlock()
	if l := c.waits.byName[name]; l != nil {
		c.scheduler.SetNoLater(&l.task, time.Now())
	}
}

// waiting reports whether this process waits for that name.
func (c *Client) waiting(name string) bool {
	c.waits.mu.Lock()
	defer c.waits.mu.Unlock()
	return c.waits.byName[name] != nil
}

// askAll has every wait checked and every hold renewed: messages may have been lost.
func (c *Client) askAll() {
	c.waits.mu.Lock()
	lines := make([]*waiters, 0, len(c.waits.byName))
	for _, l := range c.waits.byName {
		lines = append(lines, l)
	}
	c.waits.mu.Unlock()
	for _, l := range lines {
		c.scheduler.SetNoLater(&l.task, time.Now())
	}
	for _, h := range c.allHolds() {
		h.lease.soon()
	}
}

// await sleeps until the wait is settled, ctx ends, or the Client is closed.
func (w *wait) await(ctx context.Context) outcome {
	select {
	case o := <-w.result:
		if ctx.Err() == nil {
			return *o
		}
	case <-ctx.Done():
	case <-w.waiters.client.closing:
		return outcome{err: w.waiters.client.cause}
	}
	return outcome{err: w.waiters.ended(ctx)}
}

// error is for a caller of this Client.
// heldBy is the error of who found the lock taken.
func (c *Client) heldBy(h protocol.Holder, cause error) *HeldError {
	owner := parseOwner(h.Info)
	own := owner.Client == c.owner.Client && owner.Host == c.owner.Host && owner.PID == c.owner.PID
	return &HeldError{Holder: owner, Since: h.Since.Time(), Deadline: h.Deadline.Time(), Waiting: h.Waiting, Holders: h.Holders, own: own, cause: cause}
}

func stealArg(after time.Duration) string {
	if after == 0 {
		return ""
	}
	return strconv.FormatInt(after.Microseconds(), 10)
}
