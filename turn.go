package redislock

import (
	"crypto/subtle"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"example.com/redislock/internal/lease"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/scheduler"
	"example.com/redislock/internal/turns"
)

// With WithTurn or WithLinger a process has one place in the queue of a lock, and one hold, for all its goroutines; its readers
// have the lock together (turnread.go). A state machine (internal/turns) decides what happens; this file carries it out. A grant
// within the process makes a hold of its own, which takes over the lease of the hold before. Everything that is said of holds
// applies to it. Without these options nothing here is called.

const (
	// MaxTurn and MaxLinger bound [WithTurn] and [WithLinger].
	MaxTurn   = turns.Longest
	MaxLinger = 100 * time.Millisecond
)

// WithTurn lets the waiting goroutines of this process have the lock one after the other without a request between them, for up
// to d from the server's grant on. d is at most [MaxTurn]. The turn includes the goroutines that use WithTurn or [WithLinger]
// with the same lease and this Client. After the turn the lock goes on to the first in the queue. The whole process has one place
// in the queue. 0, the default, means no turns: every goroutine has a place of its own, and all processes are served in the order
// of arrival.
//
// So another process may wait longer than in that order, by d for each process that is before it, and one body. While this
// process knows of no other waiter, the turn goes on for up to a second. Then the lock is given back to the server once.
//
// Each grant is a lock of its own, with its context, a greater fence, its metadata, and its events. [Lock.Release] returns nil
// when the lock has gone to the next goroutine. [Client.Inspect] and others show the holder to which the server granted the lock, and
// [Owner].Turns says that another goroutine of its process may have it.
//
// In [Read] the goroutines of a process share one hold and its fence. While one of them reads, others are let in without a
// request, until another caller waits for the lock in any process, and for a second after the server's grant at the most. The
// length of d does not matter. A later reader asks the server and has a place of its own. So no reader passes a writer that
// waited before the reader came. Each has its own handle, context and events; the last one gives the hold back. [Lock.Upgrade]
// and [Lock.ReleaseAfter] of such a lock are [ErrInvalid].
//
// It is for these two modes. With another [WithMode], [WithWeight], [WithReplicas], [WithStealAfter], [WithMaxHold],
// [WithoutRenewal], [WithMaxQueue] or [WithFenceFloor] it is [ErrInvalid], and [Lock.Handoff] of such a lock is, too.
// [Client.AcquireAll] pays no heed to it.
func WithTurn(d time.Duration) Option {
	return func(s *settings) error {
		if d < 0 || d > MaxTurn {
			return invalid("WithTurn(%v): must be from 0 to %v", d, MaxTurn)
		}
		s.turn = int32(d.Microseconds())
		return nil
	}
}

// WithLinger keeps the lock with this process for up to d after the release, if the process knows of no other waiter. An acquire
// in that time sends nothing. d is at most [MaxLinger]. The release has returned then, and the server does not know of it yet.
// When another process comes to wait, this process is told, and gives the lock back at once. 0, the default, means no linger.
//
// [Client.Held] of this process shows a lingering lock ([HeldLock].Lingers). Redis is not told: for everybody else the lock is held,
// by a process that takes it in turns ([Owner].Turns).
//
// A lingering lock is not renewed for that alone. A process that dies keeps it for the rest of its lease, and a process that is
// paused keeps it as long as that. [Client.TryAcquire] by another process finds it held. A name on which three lingering locks
// were recalled, none more than 30 s after the one before, does not linger for 30 s. A lock lingers only if the server granted it
// at once and by the fast path. So a lock that is watched ([Client.Watch]) does not linger, nor does one of a Client with another
// [WithRetention].
//
// What [WithTurn] says of grants within the process is true of these, and of readers.
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

// mayTakeTurns refuses options that a grant within the process cannot have.
func (s *settings) mayTakeTurns() error {
	what := ""
	switch {
	case s.mode != Exclusive && s.mode != Read || s.weight > 1:
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
	return invalid("%s with WithTurn or WithLinger: a lock that is granted within the process cannot have that", what)
}

// strictly is an option that takes the lock by the server alone.
func strictly(s *settings) error {
	s.turn, s.linger = 0, 0
	return nil
}

// turnTable has the locks that a Client takes in turns.
type turnTable struct {
	mu      sync.Mutex
	byName  map[turnKey]*turn
	byToken map[string]*turn // of a hold, or of an acquire under way
	spare   sync.Pool        // of *inLine
	used    atomic.Bool      // locks are taken in turns
	unsent  sync.Pool        // of *acquisition
}

// acquisition is an empty one. Where locks are taken in turns it may have been used before.
func (tt *turnTable) acquisition() *acquisition {
	if tt.used.Load() {
		if q, _ := tt.unsent.Get().(*acquisition); q != nil {
			return q
		}
	}
	return &acquisition{}
}

// again takes one that is to be used again.
func (tt *turnTable) again(q *acquisition) {
	*q = acquisition{}
	tt.unsent.Put(q)
}

func (tt *turnTable) inLine() *inLine {
	w, _ := tt.spare.Get().(*inLine)
	if w == nil {
		w = &inLine{told: make(chan *Lock, 1)}
		w.Of = w
	}
	return w
}

// turnKey is a lock that a Client takes in turns. Readers have a state of their own, apart from exclusive callers.
type turnKey struct {
	name string
	read bool
}

func (q *acquisition) turnKey() turnKey { return turnKey{q.name, q.mode == Read} }

// turn is the state of one lock that a Client takes in turns.
type turn struct {
	client *Client
	key    turnKey
	users  int // acquires under way; guarded by turnTable.mu

	mu           sync.Mutex
	machine      turns.Turn
	token, nonce string     // of the hold, or of the acquire under way
	held         *hold      // who has the lock
	rest         lease.Rest // of the hold, while it lingers
	sought       time.Time
	task         scheduler.Task

	// Of readers.
	got     turns.Hold           // what was granted to the one who asked
	readers map[*Lock]readerNote // who reads, where there is an Observer
	notes   uint64
}

// reads reports whether it is of readers, who have the lock together.
func (t *turn) reads() bool { return t.key.read }

// inLine is a waiter in this process.
type inLine struct {
	turns.Waiter
	q    *acquisition
	told chan *Lock // the lock; or nil: ask the server
}

// enter is what the Client has of a name, which stays until leave.
func (tt *turnTable) enter(c *Client, key turnKey) *turn {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	t := tt.byName[key]
	if t == nil {
		tt.used.Store(true)
		t = &turn{client: c, key: key}
		t.task.Job = t
		if tt.byName == nil {
			tt.byName, tt.byToken = map[turnKey]*turn{}, map[string]*turn{}
		}
		tt.byName[key] = t
	}
	t.users++
	return t
}

// of returns the state of a name that a caller has entered.
func (tt *turnTable) of(key turnKey) *turn {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	return tt.byName[key]
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
	if t.users > 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.machine.Busy() {
		return
	}
	switch forgettable, later := t.machine.Forgettable(time.Now()); {
	case forgettable:
		if tt.byName[t.key] == t {
			delete(tt.byName, t.key)
		}
		if tt.byToken[t.token] == t {
			delete(tt.byToken, t.token)
		}
		t.client.scheduler.Remove(&t.task)
	case !later.IsZero() && !t.client.isClosed():
		t.client.scheduler.Set(&t.task, later)
	}
}

// named returns the state that has this hold. Only a reader of the key can know the nonce (I9). The caller locks t.mu and looks
// again.
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

// revokedInTurn handles the message that a hold was stolen or broken, for the local caller that has the lock by now.
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

// lingering are the locks that nobody in the process has, and that it keeps for a moment.
func (c *Client) lingering() map[*turn]HeldLock {
	all := map[*turn]HeldLock{}
	for _, t := range c.turns.all() {
		t.mu.Lock()
		if now := time.Now(); t.machine.Idle() {
			l := HeldLock{Name: t.key.name, Weight: 1, Fence: t.machine.Fence(), Since: t.machine.Since(), Lingers: t.machine.Until()}
			l.Deadline = now.Add(t.rest.Left(now))
			if t.reads() {
				l.Mode = Read
			}
			all[t] = l
		}
		t.mu.Unlock()
	}
	return all
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

// closeTurns has idle locks given back: the Client is closed, or drains. The channels close when that is done.
func (c *Client) closeTurns() (given []<-chan struct{}) {
	for _, t := range c.turns.all() {
		t.mu.Lock()
		if t.machine.Due(time.Now(), true) == turns.GiveBack {
			given = append(given, t.dropIdle())
		}
		t.mu.Unlock()
	}
	return given
}
