package redislock

import (
	"context"
	"crypto/subtle"
	"errors"
	"sync"
	"time"

	"example.com/redislock/internal/lease"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/scheduler"
	"example.com/redislock/internal/turns"
	"example.com/redislock/internal/waiting"
)

// With WithTurn or WithLinger a process has one place in the queue of a lock, and one hold, for all its goroutines. What happens to
// them is decided by a machine (internal/turns); this file does it. A grant within the process makes a hold of its own, which takes
// over the lease of the one before: all that is said of a hold is true of it. Without these options nothing here is called.

const (
	// MaxTurn and MaxLinger bound [WithTurn] and [WithLinger].
	MaxTurn   = turns.Longest
	MaxLinger = 100 * time.Millisecond
)

// WithTurn lets the goroutines of this process that wait for the lock have it one after the other, for up to d from the grant of the
// server on, without a request between them, at most [MaxTurn]. They are those that use WithTurn or [WithLinger] with the same
// lease, by this Client. Then the lock goes on to the first in the queue. The whole process has one place in it. 0, the default, is no
// turn: every goroutine has a place of its own, and all processes are served in the order of arrival.
//
// So another process may wait longer than in that order, by d for each process that is before it, and one body. While nobody else waits, as
// far as this process has heard, it goes on for up to a second; then the lock is given back to the server once.
//
// Each grant is a lock of its own, with its context, a greater fence, its metadata, and its events. [Lock.Release] returns nil
// when the lock has gone to the next goroutine. [Client.Inspect] and others show the holder to which the server granted the lock.
//
// It is for exclusive locks. With [WithMode], [WithWeight], [WithReplicas], [WithStealAfter], [WithMaxHold], [WithoutRenewal],
// [WithMaxQueue] or [WithFenceFloor] it is [ErrInvalid], and [Lock.Handoff] of such a lock is, too. [Client.AcquireAll] pays no heed to it.
func WithTurn(d time.Duration) Option {
	return func(s *settings) error {
		if d < 0 || d > MaxTurn {
			return invalid("WithTurn(%v): must be from 0 to %v", d, MaxTurn)
		}
		s.turn = int32(d.Microseconds())
		return nil
	}
}

// WithLinger keeps the lock with this process for up to d after the release, at most [MaxLinger], if nobody else is known to wait for
// it: to acquire it again sends nothing. The release has returned then, and the server does not know of it yet. Who comes to wait tells
// this process, which gives the lock back at once. 0, the default, is no linger.
//
// A lingering lock is not renewed for that alone. A process that dies keeps it for the rest of its lease, and a process that is paused
// keeps it as long as that. [Client.TryAcquire] by another process finds it held. A name on which three lingering locks were recalled, none more
// than 30 s after the one before, does not linger for 30 s. A lock lingers only where the server found it free and nobody waiting, and had nothing to
// do but grant it: one that is watched ([Client.Watch]) does not, nor one of a Client with another [WithRetention].
//
// What [WithTurn] says of grants within the process is true of these.
func WithLinger(d time.Duration) Option {
	return func(s *settings) error {
		if d < 0 || d > MaxLinger {
			return invalid("WithLinger(%v): must be from 0 to %v", d, MaxLinger)
		}
		s.linger = int32(d.Microseconds())
		return nil
	}
}

// inTurns reports whether a lock may be granted within the process.
func (s *settings) inTurns() bool { return s.turn > 0 || s.linger > 0 }

// mayTakeTurns refuses what a grant within the process cannot have.
func (s *settings) mayTakeTurns() error {
	what := ""
	switch {
	case s.mode != Exclusive || s.weight > 1:
		what = "WithMode, WithWeight"
	case s.replicas > 0:
		what = "WithReplicas"
	case s.stealSet:
		what = "WithStealAfter"
	case s.maxHold > 0:
		what = "WithMaxHold"
	case s.noRenewal:
		what = "WithoutRenewal"
	case s.floor > 0:
		what = "WithFenceFloor"
	case s.maxQueue > 0:
		what = "WithMaxQueue"
	default:
		return nil
	}
	return invalid("%s with WithTurn or WithLinger: a lock that is granted within the process has none of that", what)
}

// strictly is an option that takes the lock by the server alone.
func strictly(s *settings) error {
	s.turn, s.linger = 0, 0
	return nil
}

// turnTable has what a Client takes in turns.
type turnTable struct {
	mu      sync.Mutex
	byName  map[string]*turn
	byToken map[string]*turn // of a hold, or of an acquire under way
	spare   sync.Pool        // of *inLine
}

func (tt *turnTable) inLine() *inLine {
	w, _ := tt.spare.Get().(*inLine)
	if w == nil {
		w = &inLine{told: make(chan *Lock, 1)}
		w.Of = w
	}
	return w
}

// turn is what a Client has of one lock that it takes in turns.
type turn struct {
	client *Client
	name   string
	users  int // acquires under way; guarded by turnTable.mu

	mu           sync.Mutex
	machine      turns.Turn
	token, nonce string     // of the hold, or of the acquire under way
	held         *hold      // who has the lock
	rest         lease.Rest // of the hold, while it lingers
	sought       time.Time
	task         scheduler.Task
}

// inLine is one who waits in this process.
type inLine struct {
	turns.Waiter
	q    *acquisition
	told chan *Lock // the lock; or nil: ask the server
}

// enter is what the Client has of a name, which stays until leave.
func (tt *turnTable) enter(c *Client, name string) *turn {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	t := tt.byName[name]
	if t == nil {
		t = &turn{client: c, name: name}
		t.task.Job = t
		if tt.byName == nil {
			tt.byName, tt.byToken = map[string]*turn{}, map[string]*turn{}
		}
		tt.byName[name] = t
	}
	t.users++
	return t
}

// of is what the Client has of a name that somebody has entered.
func (tt *turnTable) of(name string) *turn {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	return tt.byName[name]
}

func (tt *turnTable) leave(t *turn) {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	if t.users--; t.users == 0 {
		tt.tidy(t)
	}
}

// done forgets a name that nobody uses any more, unless something of it is to be remembered.
func (tt *turnTable) done(t *turn) {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	tt.tidy(t)
}

// tidy forgets a name of which nothing is to be remembered. The caller has locked tt.mu.
func (tt *turnTable) tidy(t *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	forgettable, later := t.machine.Forgettable(time.Now())
	switch {
	case t.users > 0:
	case forgettable:
		if tt.byName[t.name] == t {
			delete(tt.byName, t.name)
		}
		delete(tt.byToken, t.token)
		t.client.scheduler.Remove(&t.task)
	case !later.IsZero() && !t.client.isClosed():
		t.client.scheduler.Set(&t.task, later)
	}
}

// named is what has that hold. Only a reader of the key can know the nonce (I9). The caller locks t.mu and looks again.
func (tt *turnTable) named(token string) *turn {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	return tt.byToken[token]
}

func (tt *turnTable) all() (all []*turn) {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	for _, t := range tt.byName {
		all = append(all, t)
	}
	return all
}

// is reports whether a message means the present hold. The caller has locked t.mu.
func (t *turn) is(token, nonce string) bool {
	return t.token == token && subtle.ConstantTimeCompare([]byte(t.nonce), []byte(nonce)) == 1
}

// inTurn is pursue for a lock that may be granted within the process.
func (q *acquisition) inTurn() (*Lock, error) {
	c := q.client
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer c.leave()
	t := c.turns.enter(c, q.name)
	defer c.turns.leave(t)
	t.mu.Lock()
	for {
		now := time.Now()
		switch t.machine.Arrive(now, q.lease, t.rest.Left(now)) {
		case turns.Again:
			continue
		case turns.Serve:
			rest := t.rest
			l, err := t.grant(q, rest, now)
			if err != nil {
				t.machine.Over()
				t.dismiss(rest)
			}
			t.rest = lease.Rest{}
			t.mu.Unlock()
			c.background.Done() // of the linger
			return l, err
		case turns.GiveBack:
			t.dropIdle()
			t.mu.Unlock()
			return q.seekFor(t)
		case turns.Seek:
			t.mu.Unlock()
			return q.seekFor(t)
		}
		return q.standInLine(t)
	}
}

// seekFor asks the server, for all of the process. If that fails, the next in line asks.
func (q *acquisition) seekFor(t *turn) (*Lock, error) {
	granted := false
	defer func() {
		if !granted { // also if a callback of the user's panics
			t.mu.Lock()
			defer t.mu.Unlock()
			t.over()
		}
	}()
	t.mu.Lock()
	t.sought = time.Now()
	t.mu.Unlock()
	q.key = q.client.keys.Lock(q.name)
	l, err := q.pursue()
	granted = err == nil
	return l, err
}

// standInLine waits for a grant within the process, or until it is its turn to ask the server. The caller has locked t.mu.
func (q *acquisition) standInLine(t *turn) (*Lock, error) {
	c, ctx := q.client, q.parent
	holder := t.holder()
	q.Holder = &holder
	if q.waitSet && q.settings.wait == 0 {
		t.mu.Unlock()
		return nil, q.fail(ctx, nil)
	}
	w := c.turns.inLine()
	w.q, w.Arrived, w.Lease = q, q.asked, q.lease
	t.machine.Join(&w.Waiter)
	t.mu.Unlock()
	told := false
	defer func() {
		if !told { // a callback of the user's has panicked, or ended the goroutine
			q.leaveLine(t, w)
		}
		w.q = nil
		c.turns.spare.Put(w)
	}()
	q.Queued = true
	c.queued.add(q)
	defer c.queued.remove(q)
	if c.observer != nil {
		c.observeAside(q.event(EventQueued))
	}
	if q.waitSet {
		bounded, cancel := context.WithTimeout(ctx, q.settings.wait)
		defer cancel()
		ctx = bounded
	}
	var draining <-chan struct{}
	if c.carried(q.parent) == nil { // otherwise it belongs to a lock that is held
		draining = c.draining.begun
	}
	var l *Lock
	var err error
	select {
	case l = <-w.told:
		told = true
		if ctx.Err() == nil {
			break
		}
		if err = ctx.Err(); l != nil {
			l.unused()
		} else {
			t.passOn()
		}
	case <-ctx.Done():
		err = ctx.Err()
	case <-draining:
		err = c.refuses(q.parent)
	case <-c.closing:
		err = c.failed()
	}
	switch {
	case err != nil:
		if !told {
			told = true
			q.leaveLine(t, w)
		}
		return nil, q.fail(ctx, err)
	case l != nil:
		return l, nil
	}
	if q.waitSet {
		q.settings.wait = max(q.settings.wait-time.Since(q.asked), time.Millisecond)
	}
	return q.seekFor(t)
}

// leaveLine is the end of a wait. What was given to it meanwhile goes on (I8).
func (q *acquisition) leaveLine(t *turn, w *inLine) {
	t.mu.Lock()
	left := t.machine.Leave(&w.Waiter)
	t.mu.Unlock()
	if left {
		return
	}
	if l := <-w.told; l != nil {
		l.unused()
	} else {
		t.passOn()
	}
}

// unused gives back a lock that its caller does not get.
func (l *Lock) unused() { _, _ = l.end(context.Background(), true, 0) }

// passOn has the next in line ask the server.
func (t *turn) passOn() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over()
}

// over tells the next in line that it is to ask the server. The caller has locked t.mu.
func (t *turn) over() { t.tell(t.machine.Over()) }

// tell tells one who is to ask the server. The caller has locked t.mu.
func (t *turn) tell(w *turns.Waiter) {
	t.held = nil
	if w != nil {
		w.Of.(*inLine).told <- nil
	}
}

// holder says who has the lock, for those who do not get it. The caller has locked t.mu.
func (t *turn) holder() protocol.Holder {
	h := protocol.Holder{Info: t.client.info, Holders: 1, Waiting: t.machine.Length()}
	if t.held != nil {
		h.Info += t.held.metadata
		h.Since = protocol.Micros(t.held.lease.Fence())
		h.Deadline = h.Since.Add(t.held.lease.Held() + t.held.lease.Valid().Left())
	}
	return h
}

// expect notes the token of an acquire: a recall may come before its answer.
func (t *turn) expect(token, nonce string) {
	tt := &t.client.turns
	tt.mu.Lock()
	defer tt.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(tt.byToken, t.token)
	tt.byToken[token] = t
	t.token, t.nonce = token, nonce
}

// granted takes a hold that the server has granted to this process.
func (t *turn) granted(h *hold, g turns.Hold) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g.Sought = t.sought
	t.machine.Granted(g)
	t.held = h
}

// grant makes a lock of what is left of a hold, with the next fence. It fails if the Client is closed, or drains. The caller has locked
// t.mu.
func (t *turn) grant(q *acquisition, rest lease.Rest, now time.Time) (*Lock, error) {
	h := t.client.newHold(q.parent, q.name, &q.settings)
	h.turn = t
	h.lease.Continue(h, rest, t.machine.Fence(), now)
	if err := t.client.adopt(h); err != nil {
		return nil, err
	}
	t.held = h
	h.lease.Go(now)
	return &h.first, nil
}

// ended is the release of the last handle of a hold. If the lock has gone on within the process, or lingers, passed is true. Otherwise
// the hold is to be given back, or was lost; the next in line asks the server. strict says that the lock is not to go on.
func (t *turn) ended(h *hold, strict bool) (first, passed bool, reason error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rest, reason, first := h.lease.Part(ErrReleased)
	h.life.Finish(reason) // I7: before anybody else gets the lock
	if t.held != h {
		return first, false, reason
	}
	if strict || !first {
		t.over()
		return first, false, reason
	}
	c := t.client
	linger := time.Duration(h.lingerTime) * time.Microsecond
	if linger > 0 && (c.draining.on.Load() || !c.subscriber.Listens()) { // nobody could recall it
		linger = 0
	}
	for {
		now := time.Now()
		a, w := t.machine.Ended(now, rest.Left(now), time.Duration(h.turnTime)*time.Microsecond, linger)
		switch a {
		case turns.Again:
			continue
		case turns.Serve:
			next := w.Of.(*inLine)
			l, err := t.grant(next.q, rest, now)
			if err != nil { // the Client takes no locks, and its waiters find that out
				next.told <- nil
				t.over()
				return first, false, reason
			}
			next.told <- l
			return first, true, reason
		case turns.Linger:
			t.rest, t.held = rest, nil
			c.background.Add() // until it is given back, or goes on
			c.scheduler.SetNoLater(&t.task, t.machine.Until())
			return first, true, reason
		}
		t.tell(w)
		return first, false, reason
	}
}

// lost is the end of a hold that its owner did not end.
func (t *turn) lost(h *hold) {
	t.mu.Lock()
	if t.held == h {
		t.over()
	}
	t.mu.Unlock()
	t.client.turns.done(t)
}

// sampled takes what the server's clock said.
func (t *turn) sampled(h *hold, said protocol.Micros) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held == h {
		t.machine.Sampled(said, time.Now())
	}
}

// dropIdle gives a lingering lock back. The caller has locked t.mu.
func (t *turn) dropIdle() {
	t.dismiss(t.rest)
	t.rest = lease.Rest{}
	t.client.background.Done()
}

// dismiss gives back a hold that nobody has, in the background.
func (t *turn) dismiss(rest lease.Rest) {
	t.client.dismiss(rest.Key.(string), protocol.ReleaseArgs(rest.Token.(string), rest.Unanswered(), rest.Carried()))
	t.client.floors.note(t.name, t.machine.Fence())
}

// Run is the turn of the name in the scheduler: a linger is over, or what is remembered of it.
func (t *turn) Run() {
	t.mu.Lock()
	if t.machine.Due(time.Now(), t.client.draining.on.Load()) == turns.GiveBack {
		t.dropIdle()
	} else if t.machine.Idle() {
		t.client.scheduler.Set(&t.task, t.machine.Until())
	}
	t.mu.Unlock()
	t.client.turns.done(t)
}

// recalled takes the message that somebody has come to wait.
func (c *Client) recalled(token, nonce, ticket string) {
	waits, err := protocol.ParseMicros(ticket)
	t := c.turns.named(token)
	if t == nil || err != nil {
		return
	}
	t.mu.Lock()
	idle := t.is(token, nonce) && t.machine.Recalled(waits, time.Now()) == turns.GiveBack
	if idle {
		t.dropIdle()
	}
	t.mu.Unlock()
	if idle {
		c.turns.done(t)
	}
}

// revokedInTurn takes the message that a hold was stolen or broken, from whoever has it by now.
func (c *Client) revokedInTurn(token, nonce string, cause error) {
	t := c.turns.named(token)
	if t == nil {
		return
	}
	for {
		t.mu.Lock()
		h := t.held
		meant := t.is(token, nonce)
		if meant && t.machine.Idle() {
			t.machine.Over()
			t.dropIdle()
		}
		t.mu.Unlock()
		if !meant || h == nil {
			return
		}
		h.lose(cause) // unless it has just gone on
		if errors.Is(h.err(), ErrLost) {
			return
		}
	}
}

// doubtTurns has idle locks given back: recalls may have been lost.
func (c *Client) doubtTurns() {
	for _, t := range c.turns.all() {
		t.mu.Lock()
		if t.machine.Doubted() == turns.GiveBack {
			t.dropIdle()
		}
		t.mu.Unlock()
	}
}

// closeTurns has idle locks given back: the Client is closed, or drains.
func (c *Client) closeTurns() {
	for _, t := range c.turns.all() {
		t.mu.Lock()
		if t.machine.Due(time.Now(), true) == turns.GiveBack {
			t.dropIdle()
		}
		t.mu.Unlock()
	}
}

// sample is what a grant says of the server's clock.
func (q *acquisition) sample(g waiting.Grant, now time.Time) turns.Hold {
	return turns.Hold{Since: now, Lease: q.lease, Sent: g.Sent, Now: g.Now, Fence: protocol.ParseFence(g.Fence), Alone: g.Alone}
}
