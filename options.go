package redislock

import (
	"fmt"
	"time"
)

// Limits and defaults of options, and the bounds of names.
const (
	// DefaultLease is how long a hold survives its owner, unless [WithLease] sets it.
	DefaultLease = 30 * time.Second
	// MinLease and MaxLease bound [WithLease].
	MinLease = 100 * time.Millisecond
	MaxLease = 24 * time.Hour
	// DefaultRetention is how long Redis remembers a fence after the last grant of its name.
	DefaultRetention = time.Hour
	// MinRetention and MaxRetention bound [WithRetention].
	MinRetention = 5 * time.Minute
	MaxRetention = 90 * 24 * time.Hour
	// DefaultClockMargin is subtracted from every local deadline, unless [WithClockMargin] sets it.
	DefaultClockMargin = 10 * time.Millisecond
	// DefaultPrefix is in front of every key and channel, unless [WithPrefix] sets it.
	DefaultPrefix = "redislock"
	// MaxName is the longest name of a lock, in bytes.
	MaxName = 512
	// MaxMetadata is the longest metadata, in bytes.
	MaxMetadata = 1024
	// MaxReason is the longest reason of [Client.Break], in bytes.
	MaxReason = 512
	// MaxTrace is the longest text of [WithTrace], in bytes.
	MaxTrace = 128

	maxPrefix = 128
)

// Option shapes one acquire. As part of [WithDefaults] it shapes every acquire of a Client. A later option overrides an
// earlier one. If its value cannot work, the acquire fails with [ErrInvalid] before anything is sent.
type Option func(*settings) error

// settings are what the options of one acquire set together.
type settings struct {
	lease    time.Duration
	wait     time.Duration
	steal    time.Duration
	maxHold  time.Duration // 0: no bound
	metadata string

	waitSet      bool // without it the caller waits until its context ends
	stealSet     bool
	noRenewal    bool
	failOpen     bool
	nonReentrant bool
	stays        bool          // the caller waits for the end of an attempt, whatever its context says
	replicas     int16         // how many replicas must have the hold; 0 if none
	turn, linger int32         // in µs; 0: the lock is granted by the server alone
	floor        int64         // a fence that was seen; 0 if none
	few          *few          // options that few acquires use; nil for all others
	replicaTime  time.Duration // in which they must have it

	mode     Mode
	weight   int32
	maxQueue int32 // how many may wait already; 0: any number
}

// few are settings that few acquires have.
type few struct {
	vote          *vote         // of package quorum; nil for any other lock
	deadlockCheck time.Duration // after how long a wait looks for a deadlock; 0: never
	placed        placed        // of package barrier; nil for any other lock
}

// seldom are these settings of one acquire, to be changed.
func (s *settings) seldom() *few {
	var own few
	if s.few != nil {
		own = *s.few // others may have the same
	}
	s.few = &own
	return s.few
}

// vote is for package quorum; nil for any other lock.
func (s *settings) vote() *vote {
	if s.few == nil {
		return nil
	}
	return s.few.vote
}

// placed is told of the place in the queue; nil for most locks.
func (s *settings) placed() placed {
	if s.few == nil {
		return nil
	}
	return s.few.placed
}

// describe says in messages which mode and weight are asked for.
func (s *settings) describe() string {
	if s.weight > 1 {
		return fmt.Sprintf("%v, weight %d,", s.mode, s.weight)
	}
	return s.mode.String()
}

// WithLease sets how long the lock survives its owner, from 100 ms to 24 h. The default is [DefaultLease]. While the lock is
// held, the Client renews the lease after every third of it. So the lease does not bound the work. The lease bounds how long
// others wait after the owner has died, and how long Redis may be unreachable before [Lock.Context] ends.
func WithLease(d time.Duration) Option {
	return func(s *settings) error {
		if d < MinLease || d > MaxLease {
			return invalid("WithLease(%v): must be from %v to %v", d, MinLease, MaxLease)
		}
		s.lease = d.Round(time.Millisecond)
		return nil
	}
}

// WithWait bounds how long Acquire waits for the lock. When that time is over, the error is [ErrHeld]. With 0 Acquire does not
// wait at all, except for a holder whose lock it steals ([Client.TryAcquire]). Without this option the caller waits, in the order
// of arrival, until its context ends.
func WithWait(d time.Duration) Option {
	return func(s *settings) error {
		if d < 0 {
			return invalid("WithWait(%v): must not be negative", d)
		}
		s.wait, s.waitSet = d, true
		return nil
	}
}

// WithMaxQueue makes the acquire fail at once, with [ErrQueueFull], if n callers wait for the lock already; n is from 1 to
// [MaxUnits]. Callers of all processes count. Redis decides it in the script that would give the place, so there are never more
// than n callers with this bound in the queue, however many come at once. Others may wait beside them without a bound. A caller
// that loses its place, for instance because its process was paused, joins again in its old order, whatever the bound is. A
// process that died counts until it has been silent for seven seconds. [Lock.Upgrade] heeds no bound. With WithWait(0) the option
// means nothing, because such a caller does not wait. Without this option any number may wait.
func WithMaxQueue(n int) Option {
	return func(s *settings) error {
		if n < 1 || n > MaxUnits {
			return invalid("WithMaxQueue(%d): must be from 1 to %d", n, MaxUnits)
		}
		s.maxQueue = int32(n)
		return nil
	}
}

// WithStealAfter sets the age from which a hold counts as stale for this caller, at least 100 ms. Redis revokes stale holds: the
// oldest first, and no more than are in the way of the caller and of the waiters before it. If holds of others, which are not stale,
// are in the way too, it revokes the stale ones all the same. But if it is the limit of the lock ([Client.SetLimit]) that leaves no
// room, and the end of the stale holds does not make enough, Redis revokes none: with a limit of 0 nothing is stolen. One request
// looks at the oldest 32 stale holds: if more would have to end under a limit, or if none of these is in the way, none is revoked.
//
// The context of a revoked hold ends with [ErrStolen], and the owner's Client gives the lock up. An owner that does not answer
// keeps the hold until the deadline that it knows, and can no longer renew it. The freed lock goes to the first waiter in the
// queue. The age of a hold is the time since its grant; renewals do not change that. Without this option nothing is ever
// stolen.
func WithStealAfter(d time.Duration) Option {
	return func(s *settings) error {
		if d < MinLease {
			return invalid("WithStealAfter(%v): must be at least %v", d, MinLease)
		}
		s.steal, s.stealSet = d, true
		return nil
	}
}

// WithMetadata attaches a text of at most [MaxMetadata] bytes to the hold and to the place in the queue. It tells people who
// holds the lock and why. [HeldError] and [Client.Inspect] show it.
func WithMetadata(text string) Option {
	return func(s *settings) error {
		if len(text) > MaxMetadata {
			return invalid("WithMetadata: %d bytes, at most %d", len(text), MaxMetadata)
		}
		s.metadata = text
		return nil
	}
}

// WithMaxHold bounds how long the lock may be held in all, counted from the grant; the least is 100 ms. After that time the
// lock's context ends with [ErrLost] and the Client gives the lock up, whether it was renewed or not. Without this option the
// Client renews the lock until it is released.
func WithMaxHold(d time.Duration) Option {
	return func(s *settings) error {
		if d < MinLease {
			return invalid("WithMaxHold(%v): must be at least %v", d, MinLease)
		}
		s.maxHold = d
		return nil
	}
}

// WithoutRenewal makes the lease final. The lock's context ends with [ErrLost] when the lease runs out, even if the owner is
// alive. This is for work that must end by itself, and for processes that cannot keep a timer running.
func WithoutRenewal() Option {
	return func(s *settings) error {
		s.noRenewal = true
		return nil
	}
}

// WithMode sets which other holds of the same lock this one may stand beside. The default is [Exclusive]. Callers of one lock
// may use different modes.
func WithMode(m Mode) Option {
	return func(s *settings) error {
		s.mode = m
		return nil
	}
}

// WithWeight makes the hold count as k in the rules of its mode, for example as k units of a [Semaphore]. The default is 1. A
// weight that is more than the mode can ever have is [ErrInvalid] at once; the caller does not wait for ever.
func WithWeight(k int) Option {
	return func(s *settings) error {
		if k < 1 || k > MaxUnits {
			return invalid("WithWeight(%d): must be from 1 to %d", k, MaxUnits)
		}
		s.weight = int32(k)
		return nil
	}
}

// NonReentrant forbids nested handles. An acquire of a lock under the context of its own hold then returns [ErrDeadlock] at
// once. This holds for the acquire that has the option, and for every acquire under that acquire's context.
func NonReentrant() Option {
	return func(s *settings) error {
		s.nonReentrant = true
		return nil
	}
}

// WithFailOpen is for the weak kind alone ([Client.AcquireWeak], [Client.First], [Client.FirstOf]). These calls then say yes
// when Redis cannot be reached, or cannot serve because it is starting, failing over, busy, out of memory, or cannot write
// its disk. The Observer is told ([EventFailOpen]). If Redis refuses the client itself, for example because of a wrong
// password, the call returns the error. A strong lock refuses the option with [ErrInvalid].
func WithFailOpen() Option {
	return func(s *settings) error {
		s.failOpen = true
		return nil
	}
}

// settings applies the options over the Client's defaults.
func (c *Client) settings(opts []Option) (settings, error) {
	s := c.defaults
	return s, s.apply(opts)
}

func (s *settings) apply(opts []Option) error {
	for _, opt := range opts {
		if opt == nil {
			return invalid("a nil Option")
		}
		if err := opt(s); err != nil {
			return err
		}
	}
	return nil
}

// strong refuses options that would weaken a strong lock, and options that contradict each other.
func (s *settings) strong() error {
	if s.failOpen { // I10
		return invalid("WithFailOpen: a strong lock never runs its body without the lock; it belongs to AcquireWeak and First")
	}
	if s.noRenewal && s.maxHold > s.lease {
		return invalid("WithMaxHold(%v) with WithoutRenewal: the lease of %v ends first", s.maxHold, s.lease)
	}
	if s.inTurns() {
		if err := s.mayTakeTurns(); err != nil {
			return err
		}
	}
	return s.mode.check(int(s.weight))
}

// weak refuses options that only a strong lock can have. It looks at the options of the call, not at the defaults.
func (s *settings) weak() error {
	switch {
	case s.stealSet:
		return invalid("WithStealAfter: a weak lock cannot be stolen, it ends with its lease")
	case s.maxHold > 0:
		return invalid("WithMaxHold: a weak lock is not renewed, its lease is its longest hold")
	case s.few != nil && s.few.deadlockCheck > 0:
		return invalid("WithDeadlockCheck: a weak lock has no queue")
	case s.maxQueue > 0:
		return invalid("WithMaxQueue: a weak lock has no queue")
	case s.noRenewal:
		return invalid("WithoutRenewal: a weak lock is never renewed")
	case s.metadata != "":
		return invalid("WithMetadata: a weak lock keeps nothing but its token")
	case s.mode != Exclusive:
		return invalid("WithMode: a weak lock is exclusive")
	case s.weight > 1:
		return invalid("WithWeight: a weak lock is exclusive")
	case s.replicas > 0:
		return invalid("WithReplicas: a weak lock is forgotten by a failover like any other key")
	case s.floor > 0:
		return invalid("WithFenceFloor: a weak lock has no fence")
	case s.inTurns():
		return invalid("WithTurn, WithLinger: a weak lock is never waited for")
	case s.nonReentrant:
		return invalid("NonReentrant: a weak lock is never re-entered")
	}
	return nil
}

// checkName says whether a lock may have this name. Any 1 to 512 bytes are a name.
func checkName(name string) error {
	if name == "" {
		return invalid("an empty name")
	}
	if len(name) > MaxName {
		return invalid("a name of %d bytes, at most %d", len(name), MaxName)
	}
	return nil
}
