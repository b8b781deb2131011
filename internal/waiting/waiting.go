// Package waiting is who of this process waits for a lock: the waits of a Client, and the checks that serve them when no
// message comes.
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
// Who is gone joins again, with a new token and the ticket of the old one, so it keeps its turn (I5). Whoever leaves before that,
// by its context, by Close or after a grant, is removed (Remove); what it may still have on the server is given up by the
// acquisition (I8).
//
// All waits of a Client for one name are a queue and share its checks: one is due when the lock may be free, when its holder has
// become stale for one of them, and every [protocol.CheckEvery] at the latest. So a message that is lost costs time and never the
// lock (I9), and a server that has lost the queue is noticed.
//
//	waiting.go  Waits: what the rest of the engine calls; locks, timers and requests are here alone
//	wait.go     Wait: one token, and what it comes to
//	queue.go    the waits for one name, as a machine without I/O, clock or goroutine: who is asked for, and what an answer means
package waiting

import (
	"maps"
	"slices"
	"sync"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/scheduler"
	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

// Subscriptions is how the waits hear of their grants: a *wakeup.Subscriber.
type Subscriptions interface {
	WakeChannel() string                           // the name of the Client's channel
	State(name string) (mode string, epoch uint64) // how a grant of that lock can be told; an empty mode: not at all
	Verify(name string)                            // a check has come back: is the channel where the lock is?
	Suspect()                                      // no message came of what a check has found
}

// Sender sends a request with the next batch. Its answer comes on another goroutine.
type Sender interface {
	Enqueue(call *transport.Call, done func(transport.Answer))
}

// Config is what the waits of a Client work with.
type Config struct {
	Keys          protocol.Keys
	Subscriptions Subscriptions
	Sender        Sender
	Scheduler     *scheduler.Scheduler
	Margin        time.Duration                           // for clocks that differ (I6)
	Jitter        func(below time.Duration) time.Duration // random
	Closing       <-chan struct{}                         // closed when whoever waits must fail
	Cause         func() error                            // why, when Closing is closed
}

// Waits are the waits of a Client, by token and by name.
type Waits struct {
	cfg Config

	mu      sync.Mutex
	byToken map[string]*Wait
	byName  map[string]*named
}

// named is a queue with its lock and its timer.
type named struct {
	waits *Waits
	name  string
	task  scheduler.Task // the next check

	mu    sync.Mutex
	queue queue
}

// New makes the waits of a Client, of which there are none yet.
func New(cfg Config) *Waits {
	return &Waits{cfg: cfg, byToken: map[string]*Wait{}, byName: map[string]*named{}}
}

// Expect registers a wait before its acquire is sent: the message of the grant may be faster than the answer. lease is what is
// asked for, steal how old the hold of another must be to be stolen, 0: never.
func (ws *Waits) Expect(w *Wait, token string, lease, steal time.Duration) {
	w.token, w.lease, w.steal = token, lease, steal
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.byToken[token] = w
}

// Join notes that the server has the wait in its queue, by the answer r, and plans the check of it.
func (ws *Waits) Join(w *Wait, name string, r protocol.Reply, s Sample) {
	ws.mu.Lock()
	n := ws.byName[name]
	if n == nil {
		n = &named{waits: ws, name: name}
		n.task = scheduler.Task{Job: n}
		ws.byName[name] = n
	}
	early, hasty := w.early, w.hasty
	w.named, w.outcome = n, make(chan *Outcome, 1)
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

// Granted takes the message of a grant. Of a token that nobody waits by it says nothing (I9).
func (ws *Waits) Granted(token string, g protocol.GrantMessage) {
	ws.mu.Lock()
	w := ws.byToken[token]
	early := w != nil && w.named == nil
	if early && w.early == nil { // a second one is forged: it would have to know the first
		w.early = &g
	}
	ws.mu.Unlock()
	if w != nil && !early {
		w.named.granted(w, g)
	}
}

// Sooner takes the message that the lock may be free sooner than this wait knows: a check asks until when it is held.
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

// Recheck has the waits for a name checked: messages may have been lost.
func (ws *Waits) Recheck(name string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if n := ws.byName[name]; n != nil {
		n.checkAt(time.Now())
	}
}

// RecheckAll has all waits checked, in the order of their names: messages may have been lost.
func (ws *Waits) RecheckAll() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(ws.byName)) {
		ws.byName[name].checkAt(time.Now())
	}
}

// Any reports whether this process waits for that name.
func (ws *Waits) Any(name string) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return ws.byName[name] != nil
}

// checkAt plans the next check, unless one is planned before that.
func (n *named) checkAt(at time.Time) { n.waits.cfg.Scheduler.SetNoLater(&n.task, at) }

// latest is when the next check must be, whatever is heard.
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
	n.checkAt(time.Now().Add(n.latest())) // first: whoever finds meanwhile that it must come sooner is not overruled
	n.mu.Lock()
	asked, steal, live := n.queue.due()
	n.mu.Unlock()
	if live == 0 {
		cfg.Scheduler.Remove(&n.task) // the last one left while this was on its way
	}
	if len(asked) == 0 {
		return
	}
	mode, epoch := cfg.Subscriptions.State(n.name)
	if mode == "" {
		mode = protocol.Uncountable // not subscribed now: what is granted meanwhile must wait for its claim
	}
	args := []any{cfg.Subscriptions.WakeChannel(), mode, protocol.StealArg(steal)}
	for _, w := range asked {
		args = append(args, w.token)
	}
	cfg.Sender.Enqueue(transport.NewCall(lua.Check, cfg.Keys.Lock(n.name), args...), func(a transport.Answer) { n.checked(a, asked, epoch) })
}

// checked takes the answer of a check.
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
	if gone || granted { // no message came
		cfg.Subscriptions.Suspect()
	}
	n.plan(c.Holder, c.Now, granted)
	if gone || c.More { // others may be gone too, or wait behind places that are being cleared away
		n.checkAt(time.Now())
	}
}

// granted takes the message of a grant to a wait whose acquire was answered. What is not borne out by that answer has a check tell.
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
