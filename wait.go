package redislock

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// checkEvery is the longest time between two checks of a wait; lua/shared.lua drops Clients silent for three.
	checkEvery = 2 * time.Second
	// checkRetry is the pause after a check that failed.
	checkRetry = 500 * time.Millisecond
	// maxCheck is how many waits one check asks for: the oldest, and others in turn.
	maxCheck = 64
)

// grant is a lock that a wait got.
type grant struct {
	fence string
	valid bound
	sent  time.Time     // when it was asked for, or heard of
	lease time.Duration // how long the server holds it: less than asked for if it is only a claim
}

// wait is one token in a queue, from before its acquire is sent until it is granted, given up, or found gone. When it
// is gone the caller joins again with a new token and this one's ticket.
type wait struct {
	token  string
	line   *line
	steal  time.Duration // 0: never
	result chan outcome  // holds one: the first counts

	// Guarded by line.mu.
	place  int    // in line.waits, -1 when not in
	asked  bool   // a check may ask for it: its acquire was answered
	early  string // a grant message that came before the answer of the acquire
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
	now   micros
	epoch uint64
}

func (w *wait) settle(o outcome) {
	select {
	case w.result <- o:
	default: // settled before
	}
}

// done takes the wait out of the checks.
func (w *wait) done() {
	w.line.mu.Lock()
	w.asked = false
	w.line.mu.Unlock()
}

// line is all waits of this Client for one name, in the order in which they joined. They share their checks.
type line struct {
	client *Client
	name   string
	key    string
	task   task

	mu     sync.Mutex
	waits  []*wait // nil where one left; compacted when half are nil
	live   int
	cursor int                   // where the next check goes on behind the oldest
	steals map[time.Duration]int // how many waits steal after how long
	holder holder
}

// waits are the waits of a Client, by token and by name.
type waits struct {
	mu      sync.Mutex
	byToken map[string]*wait
	lines   map[string]*line
}

// add registers a wait before its acquire is sent: the message may be faster than the reply.
func (c *Client) addWait(name, token string, steal time.Duration) *wait {
	w := &wait{token: token, steal: steal, result: make(chan outcome, 1)}
	c.waits.mu.Lock()
	defer c.waits.mu.Unlock()
	l := c.waits.lines[name]
	if l == nil {
		l = &line{client: c, name: name, key: c.key(name), steals: map[time.Duration]int{}}
		l.task = task{run: l.check}
		c.waits.lines[name] = l
	}
	w.line = l
	c.waits.byToken[token] = w
	l.mu.Lock()
	defer l.mu.Unlock()
	w.place = len(l.waits)
	l.waits = append(l.waits, w)
	l.live++
	if steal > 0 {
		l.steals[steal]++
	}
	return w
}

// removeWait forgets a wait that is over.
func (c *Client) removeWait(w *wait) {
	c.waits.mu.Lock()
	defer c.waits.mu.Unlock()
	delete(c.waits.byToken, w.token)
	l := w.line
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits[w.place] = nil
	l.live--
	if l.steals[w.steal]--; l.steals[w.steal] <= 0 {
		delete(l.steals, w.steal)
	}
	if l.live == 0 {
		delete(c.waits.lines, l.name)
		c.agenda.remove(&l.task)
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

// joined notes that the server has this wait in its queue, and when to check it.
func (w *wait) joined(r reply, sent time.Time, epoch uint64) {
	l := w.line
	l.mu.Lock()
	w.asked = true
	w.sample = sample{sent, r.now, epoch}
	early := w.early
	l.mu.Unlock()
	l.plan(r.holder, r.now)
	if early != "" {
		l.client.granted(w, early)
	}
}

// plan sets the next check: at the holder's deadline, when the holder has become stale for one of us, and at the
// latest after checkEvery.
func (l *line) plan(h holder, now micros) {
	in := checkEvery - rand.N(checkEvery/4)
	l.mu.Lock()
	l.holder = h
	if h.since != 0 {
		in = min(in, h.deadline.sub(now)+expiredSlack)
		if steal := l.patience(); steal > 0 {
			if stale := h.since.add(steal).sub(now); stale > 0 {
				in = min(in, stale+expiredSlack)
			}
		}
	}
	l.mu.Unlock()
	l.client.agenda.hurry(&l.task, time.Now().Add(in))
}

// patience is the shortest steal-after of the waits, 0 if nobody steals. The caller holds l.mu.
func (l *line) patience() time.Duration {
	var shortest time.Duration
	for steal := range l.steals {
		if shortest == 0 || steal < shortest {
			shortest = steal
		}
	}
	return shortest
}

// check asks for the oldest wait and some others. It runs in the agenda.
func (l *line) check() {
	// The next one first: whoever finds meanwhile that it must come sooner is not overruled.
	l.client.agenda.hurry(&l.task, time.Now().Add(checkEvery-rand.N(checkEvery/4)))
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
		l.client.agenda.remove(&l.task) // the last one left while this was on its way
	}
	mode, epoch := l.client.hears(l.name).state()
	if len(asked) == 0 {
		return
	}
	if mode == "" {
		mode = uncountable // not subscribed now: what is granted meanwhile must wait for its claim
	}
	args := []any{l.client.sub.channel, mode, stealArg(steal)}
	for _, w := range asked {
		args = append(args, w.token)
	}
	l.client.send(&call{script: scriptCheck, key: l.key, args: args}, func(a answer) { l.checked(a, asked, epoch) })
}

// checked takes the answer of a check.
func (l *line) checked(a answer, asked []*wait, epoch uint64) {
	c := l.client
	if a.err != nil {
		c.agenda.hurry(&l.task, time.Now().Add(checkRetry))
		return
	}
	f, err := fieldsOf(a.value)
	if err != nil {
		c.agenda.hurry(&l.task, time.Now().Add(checkRetry))
		return
	}
	now, more, h := f.micros(0), f.int(1), f.holder(2)
	gone := false
	for i, w := range asked {
		switch what := f.text(7 + i); {
		case f.err != nil:
			c.agenda.hurry(&l.task, time.Now().Add(checkRetry))
			return
		case what == "waiting":
			l.mu.Lock()
			w.sample = sample{a.sent, now, epoch}
			l.mu.Unlock()
		case what == "gone":
			gone = true
			w.done()
			w.settle(outcome{gone: true})
		case len(what) == 40:
			g := fields{values: []any{what[:16], what[16:32], what[32:]}}
			fence, at, lease := g.text(0), g.micros(1), g.lease(2)
			if g.err == nil {
				w.done()
				w.settle(outcome{grant: grant{fence: fence, sent: a.sent, valid: c.after(a.sent, now, at+lease), lease: lease.sub(0)}})
			}
		}
	}
	if c.shards != nil {
		c.shards.verify(l.name)
	}
	if gone {
		c.sub.doubt()
	}
	l.plan(h, now)
	if gone || more > 0 { // others may be gone too, or wait behind places that are being cleared away
		c.agenda.hurry(&l.task, time.Now())
	}
}

// heard takes a message of the wake channel.
func (c *Client) heard(payload string) {
	switch {
	case len(payload) == 1+22+16+16+8 && payload[0] == 'g':
		c.waits.mu.Lock()
		w := c.waits.byToken[payload[1:23]]
		c.waits.mu.Unlock()
		if w != nil {
			c.granted(w, payload[23:])
		}
	case len(payload) >= 1+22+16 && payload[0] == 's':
		c.revoked(payload[1:23], payload[23:39], payload[39:])
	}
}

// granted takes a grant message for a wait: fence16 at16 lease8. It counts only within what the last reply of this
// same wait says about the server's clock, and no longer than a claim from now; past that a check has to tell.
func (c *Client) granted(w *wait, message string) {
	f := fields{values: []any{message[:16], message[16:32], message[32:]}}
	fence, at, lease := f.text(0), f.micros(1), f.lease(2)
	if _, err := parseMicros(fence); err != nil || f.err != nil {
		return // I9
	}
	l := w.line
	_, epoch := c.hears(l.name).state()
	l.mu.Lock()
	s, asked := w.sample, w.asked
	if !asked && w.early == "" { // a second one is forged: it would have to know the first
		w.early = message // the answer of the acquire is still on its way, and looks at this
	}
	l.mu.Unlock()
	if !asked {
		return
	}
	length := lease.sub(0)
	valid := bound{from: time.Now(), span: length - c.margin - length/1000}
	told := c.after(s.sent, s.now, at+lease)
	if told.left() < valid.left() {
		valid = told
	}
	if s.epoch != epoch || valid.left() <= 0 {
		c.agenda.hurry(&l.task, time.Now())
		return
	}
	w.settle(outcome{grant: grant{fence: fence, sent: time.Now(), valid: valid, lease: length}})
}

// recheck has the waits for a name checked: messages may have been lost.
func (c *Client) recheck(name string) {
	c.waits.mu.Lock()
	defer c.waits.mu.Unlock()
	if l := c.waits.lines[name]; l != nil {
		c.agenda.hurry(&l.task, time.Now())
	}
}

// waiting reports whether this process waits for that name.
func (c *Client) waiting(name string) bool {
	c.waits.mu.Lock()
	defer c.waits.mu.Unlock()
	return c.waits.lines[name] != nil
}

// askAll has every wait checked and every hold renewed: messages may have been lost.
func (c *Client) askAll() {
	c.waits.mu.Lock()
	lines := make([]*line, 0, len(c.waits.lines))
	for _, l := range c.waits.lines {
		lines = append(lines, l)
	}
	c.waits.mu.Unlock()
	for _, l := range lines {
		c.agenda.hurry(&l.task, time.Now())
	}
	c.mu.Lock()
	holds := make([]*hold, 0, len(c.holds))
	for _, h := range c.holds {
		holds = append(holds, h)
	}
	c.mu.Unlock()
	for _, h := range holds {
		h.lease.soon()
	}
}

// await sleeps until the wait is settled, ctx ends, or the Client is closed.
func (w *wait) await(ctx context.Context) outcome {
	select {
	case o := <-w.result:
		if ctx.Err() == nil {
			return o
		}
	case <-ctx.Done():
	case <-w.line.client.closing:
		return outcome{err: ErrClosed}
	}
	return outcome{err: ctx.Err()}
}

// last is who held the lock when it was last heard.
func (l *line) last() *holder {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.holder
	return &h
}

func (h holder) error(cause error) *HeldError {
	return &HeldError{Holder: h.owner, Since: h.since.time(), Deadline: h.deadline.time(), Waiting: h.waiting, Holders: h.holders, cause: cause}
}

func stealArg(after time.Duration) string {
	if after == 0 {
		return ""
	}
	return fmt.Sprint(after.Microseconds())
}
