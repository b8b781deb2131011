// Package waiting has the waiters of this process: the waits of a Client, and the checks that serve them when no message
// comes.
//
// A [Wait] is one token in the queue of a lock, from before its acquire is sent until it is settled or removed:
//
//	                Expect                       Join                      message "granted", within what the last
//	(acquisition) ─────────▶ expected ──────────────────────▶ waiting ───────── answer bears out (queue.grant) ──▶ granted
//	                          │    ▲     the acquire was        │ ▲ │
//	                          ▼    │     answered "waiting"     │ │ └────────── a check finds its hold ──────────▶ granted
//	                        a message that comes before that    │ │
//	                        answer is kept until then           │ └─ a check: it still waits; a message that is not borne
//	                                                            │    out, "sooner", or a new subscription: check now
//	                                                            └─────────── a check finds neither place nor hold ▶ gone
//
// A waiter that is gone joins again, with a new token and the ticket of the old one, so it keeps its turn (I5). A waiter that
// leaves before that, by its context, by Close or after a grant, is removed (Remove). The acquisition gives up whatever such
// a waiter may still have on the server (I8).
//
// All waits of a Client for one name are a queue and share its checks. A check is due when the lock may be free, when its
// holder has become stale for one of the waits, and every [protocol.CheckEvery] at the latest. So a lost message costs time
// and never the lock (I9), and the Client notices a server that has lost the queue.
//
//	waiting.go  Waits: what the rest of the engine calls; only this file has locks, timers and requests
//	wait.go     Wait: one token, and its outcome
//	queue.go    the waits for one name, as a machine without I/O, clock or goroutine: which waits to ask for, what an answer means
package waiting

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/scheduler"
	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

// Subscriptions has the subscriptions by which the waits are told of their grants: a *wakeup.Subscriber.
type Subscriptions interface {
	WakeChannel() string                           // the name of the Client's channel
	State(name string) (mode string, epoch uint64) // how a grant of that lock can be told; empty if it cannot
	Verify(name string)                            // a check has come back: is the channel where the lock is?
	Suspect()                                      // no message came of what a check has found
}

// Sender sends a request with the next batch. Its answer comes on another goroutine.
type Sender interface{ Enqueue(e transport.Errand) }

// Config is the configuration of the waits of a Client.
type Config struct {
	Keys          protocol.Keys
	Subscriptions Subscriptions
	Sender        Sender
	Scheduler     *scheduler.Scheduler
	Margin        time.Duration                           // for clocks that differ (I6)
	Jitter        func(below time.Duration) time.Duration // random
}

// Waits are the waits of a Client, by token and by name.
type Waits struct {
	cfg Config

	mu      sync.Mutex
	byToken map[string]*Wait
	byName  map[string]*named
	ended   [2]error // why waits fail: those that are not nested, and all of them; nil: they do not
}

// named is a queue with its lock and its timer.
type named struct {
	waits *Waits
	name  string
	task  scheduler.Task // the next check

	mu     sync.Mutex
	queue  queue
	leaves bool // a check is about to leave: while all connections are stuck, no other is put behind it
}

// check is one check on its way.
type check struct {
	*named
	asked []*Wait
	epoch uint64
}

// New makes the waits of a Client, of which there are none yet.
func New(cfg Config) *Waits {
	return &Waits{cfg: cfg, byToken: map[string]*Wait{}, byName: map[string]*named{}}
}

// Expect registers a wait before its acquire is sent, because the message of the grant may be faster than the answer. lease
// is the lease that is asked for. steal is the age from which the hold of another is stolen; 0 means never.
func (ws *Waits) Expect(w *Wait, token string, lease, steal time.Duration) {
	w.token, w.lease, w.steal = token, lease, steal
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.byToken[token] = w
}

// End makes waits fail, those that join later too: all of them, or those that belong to no lock which is held.
func (ws *Waits) End(all bool, cause error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.ended[0] = cmp.Or(ws.ended[0], cause); all {
		ws.ended = [2]error{cause, cause}
	}
	for _, w := range ws.byToken {
		if w.named != nil {
			ws.end(w)
		}
	}
}

// end makes a wait fail if it is to. The caller has locked ws.mu.
func (ws *Waits) end(w *Wait) {
	cause := ws.ended[1]
	if cause == nil && !w.nested {
		cause = ws.ended[0]
	}
	if cause != nil {
		w.Fail(cause)
	}
}

// Join notes that the server has the wait in its queue, as the answer r says, and plans its check. nested says that it belongs to a lock
// which is held.
func (ws *Waits) Join(w *Wait, nested bool, name string, r protocol.Reply, s Sample) {
	ws.mu.Lock()
	n := ws.byName[name]
	if n == nil {
		n = &named{waits: ws, name: name}
		n.task = scheduler.Task{Job: n}
		ws.byName[name] = n
	}
	early, hasty := w.early, w.hasty
	w.named, w.outcome, w.nested = n, make(chan *Outcome, 1), nested
	ws.end(w)
	n.mu.Lock()
	n.queue.join(w, s)
	n.mu.Unlock()
	ws.mu.Unlock()
	n.plan(r.Holder, r.Now, false)
	if early != nil {
		n.granted(w, *early)
	}
	if hasty {
		n.checkAt(time.Now())
	}
}

// Remove forgets a wait that is over.
func (ws *Waits) Remove(w *Wait) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.byToken, w.token)
	n := w.named
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queue.leave(w)
	if n.queue.live == 0 {
		delete(ws.byName, n.name)
		ws.cfg.Scheduler.Remove(&n.task)
	}
}

// Granted handles the message of a grant. If no wait has that token, the message says nothing (I9).
func (ws *Waits) Granted(token string, g protocol.GrantMessage) {
	ws.mu.Lock()
	w := ws.byToken[token]
	early := w != nil && w.named == nil
	if early && w.early == nil { // a second message is forged: it would have to know the first
		w.early = &g
	}
	ws.mu.Unlock()
	if w != nil && !early {
		w.named.granted(w, g)
	}
}

// Sooner handles the message that the lock may be free sooner than this wait knows. A check asks until when it is held.
func (ws *Waits) Sooner(token string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.byToken[token]
	switch {
	case w == nil:
	case w.named == nil:
		w.hasty = true // the answer of the acquire is still on its way, and may be older
	default:
		w.named.checkAt(time.Now())
	}
}

// Recheck makes the waits for a name check, because messages may have been lost.
func (ws *Waits) Recheck(name string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if n := ws.byName[name]; n != nil {
		n.checkAt(time.Now())
	}
}

// RecheckAll makes all waits check, in the order of their names, because messages may have been lost: the first recheckAtOnce now, and
// the others within recheckWithin, one after the other.
func (ws *Waits) RecheckAll() {
	ws.mu.Lock()
	all := slices.Collect(maps.Values(ws.byName))
	ws.mu.Unlock()
	slices.SortFunc(all, func(a, b *named) int { return strings.Compare(a.name, b.name) })
	now := time.Now()
	for i, n := range all { // one whose last wait has left meanwhile finds that out by itself
		at := now
		if i >= recheckAtOnce {
			at = now.Add(recheckWithin * time.Duration(i) / time.Duration(len(all)))
		}
		n.checkAt(at)
	}
}

const (
	recheckAtOnce = 64
	recheckWithin = protocol.CheckEvery / 2
)

// Any reports whether this process waits for that name.
func (ws *Waits) Any(name string) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return ws.byName[name] != nil
}

// Holder is the last known holder of that lock. The second result is false if this process does not wait for it.
func (ws *Waits) Holder(name string) (h protocol.Holder, known bool) {
	ws.mu.Lock()
	n := ws.byName[name]
	ws.mu.Unlock()
	if n == nil {
		return h, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.queue.holder, true
}

// checkAt plans the next check, unless one is planned before that.
func (n *named) checkAt(at time.Time) { n.waits.cfg.Scheduler.SetNoLater(&n.task, at) }

// latest is the time within which the next check must come, whatever messages come before.
func (n *named) latest() time.Duration {
	return protocol.CheckEvery - n.waits.cfg.Jitter(protocol.CheckEvery/4)
}

// plan plans the next check by what an answer said of the holder. ours says that the holder is one of the waits by now.
func (n *named) plan(h protocol.Holder, now protocol.Micros, ours bool) {
	latest := n.latest()
	n.mu.Lock()
	in := min(latest, n.queue.heard(h, now, ours))
	n.mu.Unlock()
	n.checkAt(time.Now().Add(in))
}

// Run sends a check. It runs in the scheduler.
func (n *named) Run() {
	cfg := &n.waits.cfg
	n.checkAt(time.Now().Add(n.latest())) // this comes first, so that it does not overrule a call that makes the next check earlier
	n.mu.Lock()
	live := n.queue.live
	leaves := live > 0 && !n.leaves
	n.leaves = n.leaves || leaves
	n.mu.Unlock()
	if live == 0 {
		cfg.Scheduler.Remove(&n.task) // the last wait left while this check was on its way
	}
	if leaves {
		cfg.Sender.Enqueue(&check{named: n})
	}
}

// Key is the key of the lock.
func (n *named) Key() string { return n.waits.cfg.Keys.Lock(n.name) }

// Call is the check, when it leaves; nil if there is no wait to ask for.
func (c *check) Call() *transport.Call {
	cfg := &c.waits.cfg
	c.mu.Lock()
	c.leaves = false
	asked, steal := c.queue.due()
	c.mu.Unlock()
	if len(asked) == 0 {
		return nil
	}
	mode, epoch := cfg.Subscriptions.State(c.name)
	if mode == "" {
		mode = protocol.Uncountable // not subscribed now: a grant in the meantime must wait for its claim
	}
	args := []any{cfg.Subscriptions.WakeChannel(), mode, protocol.StealArg(steal)}
	for _, w := range asked {
		args = append(args, w.token)
	}
	c.asked, c.epoch = asked, epoch
	return transport.NewCall(lua.Check, c.Key(), args...)
}

// Answered handles the answer of the check.
func (c *check) Answered(a transport.Answer) { c.checked(a, c.asked, c.epoch) }

// checked handles the answer of a check.
func (n *named) checked(a transport.Answer, asked []*Wait, epoch uint64) {
	cfg := &n.waits.cfg
	c, err := protocol.Check{}, a.Err
	if err == nil {
		c, err = protocol.ParseCheck(a.Value, len(asked))
	}
	n.mu.Lock()
	n.queue.why = err
	var settled []settled
	if err == nil {
		settled = n.queue.answered(c, asked, Sample{a.Sent, c.Now, epoch}, cfg.Margin)
	}
	n.mu.Unlock()
	if err != nil {
		n.checkAt(time.Now().Add(checkRetry))
		return
	}
	gone, granted := false, false
	for _, s := range settled {
		gone, granted = gone || s.outcome.Gone, granted || !s.outcome.Gone
		s.wait.settle(s.outcome)
	}
	cfg.Subscriptions.Verify(n.name)
	if gone || granted { // and no message had come
		cfg.Subscriptions.Suspect()
	}
	n.plan(c.Holder, c.Now, granted)
	if gone || c.More { // others may be gone too, or wait behind places that are being cleared away
		n.checkAt(time.Now())
	}
}

// granted handles the message of a grant to a wait whose acquire was answered. If that answer does not bear the message out,
// a check finds out.
func (n *named) granted(w *Wait, g protocol.GrantMessage) {
	_, epoch := n.waits.cfg.Subscriptions.State(n.name)
	now := time.Now()
	n.mu.Lock()
	o, verdict := n.queue.grant(w, g, now, epoch, n.waits.cfg.Margin)
	n.mu.Unlock()
	switch verdict {
	case believed:
		w.settle(o)
	case doubted:
		n.checkAt(now)
	}
}
