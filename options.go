package redislock

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"example.com/redislock/internal/protocol"
)

// Limits and defaults of options, and the bounds of names.
const (
	// DefaultLease is how long a hold survives its owner unless [WithLease] says otherwise.
	DefaultLease = 30 * time.Second
	// MinLease and MaxLease bound [WithLease].
	MinLease = 100 * time.Millisecond
	MaxLease = 24 * time.Hour
	// DefaultRetention is how long a fence is remembered after the last grant of its name.
	DefaultRetention = time.Hour
	// MinRetention and MaxRetention bound [WithRetention].
	MinRetention = 5 * time.Minute
	MaxRetention = 90 * 24 * time.Hour
	// DefaultClockMargin is taken off every local deadline unless [WithClockMargin] says otherwise.
	DefaultClockMargin = 10 * time.Millisecond
	// DefaultPrefix is in front of every key and channel unless [WithPrefix] says otherwise.
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

// Option shapes one acquire; given to [WithDefaults] it shapes every acquire of a Client. A later option overrides an
// earlier one. A value that cannot work makes the acquire fail with [ErrInvalid] before anything is sent.
type Option func(*settings) error

// settings is what the options of one acquire add up to.
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

	floor       int64         // a fence that was seen; 0: none
	replicas    int           // that must have the hold; 0: none
	replicaTime time.Duration // within which

	mode   Mode
	weight int
}

// describe is what is asked for, for messages.
func (s *settings) describe() string {
	if s.weight > 1 {
		return fmt.Sprintf("%v, weight %d,", s.mode, s.weight)
	}
	return s.mode.String()
}

// WithLease sets how long the lock survives its owner, from 100 ms to 24 h; the default is [DefaultLease]. While the
// lock is held its lease is renewed every third of it, so the lease does not bound the work: it bounds how long others
// wait after the owner died, and how long Redis may be out of reach before [Lock.Context] ends.
func WithLease(d time.Duration) Option {
	return func(s *settings) error {
		if d < MinLease || d > MaxLease {
			return invalid("WithLease(%v): must be from %v to %v", d, MinLease, MaxLease)
		}
		s.lease = d.Round(time.Millisecond)
		return nil
	}
}

// WithWait bounds how long Acquire waits for the lock; after it the error is [ErrHeld]. Zero means not to wait at
// all. Without it the caller waits, in the order of arrival, until its context ends.
func WithWait(d time.Duration) Option {
	return func(s *settings) error {
		if d < 0 {
			return invalid("WithWait(%v): must not be negative", d)
		}
		s.wait, s.waitSet = d, true
		return nil
	}
}

// WithStealAfter says from which age on a hold counts as stale for this caller, from 100 ms: such a hold is revoked.
// Its owner's context ends with [ErrStolen] and its Client gives the lock up; an owner that does not answer keeps it
// until the deadline that it knows, and can no longer renew. What is freed goes to the first in the queue. A hold is
// as old as the time since it was granted, whatever was renewed. Without it nothing is ever stolen.
func WithStealAfter(d time.Duration) Option {
	return func(s *settings) error {
		if d < MinLease {
			return invalid("WithStealAfter(%v): must be at least %v", d, MinLease)
		}
		s.steal, s.stealSet = d, true
		return nil
	}
}

// WithMetadata attaches a text of at most [MaxMetadata] bytes to the hold and to the place in the queue, for the
// people who ask who holds it and why. It is shown by [HeldError] and [Client.Inspect].
func WithMetadata(text string) Option {
	return func(s *settings) error {
		if len(text) > MaxMetadata {
			return invalid("WithMetadata: %d bytes, at most %d", len(text), MaxMetadata)
		}
		s.metadata = text
		return nil
	}
}

// WithMaxHold bounds how long the lock may be held in all, from 100 ms, counted from the grant: after it the lock's
// context ends with [ErrLost] and the lock is given up, renewals or not. Without it the lock is renewed until it is
// released.
func WithMaxHold(d time.Duration) Option {
	return func(s *settings) error {
		if d < MinLease {
			return invalid("WithMaxHold(%v): must be at least %v", d, MinLease)
		}
		s.maxHold = d
		return nil
	}
}

// WithoutRenewal makes the lease final: the lock's context ends with [ErrLost] when it runs out, however alive the
// owner is. For work that must end by itself, and for processes that cannot keep a timer running.
func WithoutRenewal() Option {
	return func(s *settings) error {
		s.noRenewal = true
		return nil
	}
}

// WithMode sets beside which other holds of the same lock this one may be; the default is [Exclusive]. Callers of one
// lock may use different modes.
func WithMode(m Mode) Option {
	return func(s *settings) error {
		s.mode = m
		return nil
	}
}

// WithWeight makes the hold count as k in the rules of its mode: k units of a [Semaphore]. The default is 1. More than
// the mode can ever have is [ErrInvalid] at once, not a wait for ever.
func WithWeight(k int) Option {
	return func(s *settings) error {
		if k < 1 || k > MaxUnits {
			return invalid("WithWeight(%d): must be from 1 to %d", k, MaxUnits)
		}
		s.weight = k
		return nil
	}
}

// NonReentrant makes acquiring a lock under the context of its own hold [ErrDeadlock], at once, instead of a nested
// handle: of the acquire that it is given to, and of every acquire under that one's context.
func NonReentrant() Option {
	return func(s *settings) error {
		s.nonReentrant = true
		return nil
	}
}

// WithFailOpen is for the weak kind alone ([Client.AcquireWeak], [Client.First], [Client.FirstOf]): when Redis cannot
// be reached, or cannot serve (it is starting, failing over, busy, out of memory, or cannot write its disk), they say yes, and the
// observer is told ([EventFailOpen]). Where Redis refuses the client itself, as by a wrong password, the error is returned.
// A strong lock refuses it with [ErrInvalid].
func WithFailOpen() Option {
	return func(s *settings) error {
		s.failOpen = true
		return nil
	}
}

// settings applies options over the Client's defaults.
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

// strong refuses what would weaken a strong lock, and what contradicts itself.
func (s *settings) strong() error {
	if s.failOpen { // I10
		return invalid("WithFailOpen: a strong lock never runs its body without the lock; it belongs to AcquireWeak and First")
	}
	if s.noRenewal && s.maxHold > s.lease {
		return invalid("WithMaxHold(%v) with WithoutRenewal: the lease of %v ends first", s.maxHold, s.lease)
	}
	return s.mode.check(s.weight)
}

// weak refuses what only a strong lock can do. It looks at the options of the call, not at the defaults.
func (s *settings) weak() error {
	switch {
	case s.stealSet:
		return invalid("WithStealAfter: a weak lock cannot be stolen, it ends with its lease")
	case s.maxHold > 0:
		return invalid("WithMaxHold: a weak lock is not renewed, its lease is its longest hold")
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
	case s.nonReentrant:
		return invalid("NonReentrant: a weak lock is never re-entered")
	}
	return nil
}

// ClientOption shapes a [Client]. A value that cannot work makes [New] fail with [ErrInvalid].
type ClientOption func(*config) error

type config struct {
	prefix    string
	name      string
	defaults  []Option
	retention time.Duration
	margin    time.Duration
	observer  Observer
	trace     func(context.Context) string
	jitter    func(time.Duration) time.Duration
}

// WithPrefix sets what every key and channel of the Client begins with; the default is [DefaultPrefix]. Clients with
// different prefixes share nothing. At most 128 bytes, without braces, spaces and control characters, and not ending
// in ":w", ":d" or ":r", which set the weak kinds and the records apart.
func WithPrefix(prefix string) ClientOption {
	return func(c *config) error {
		c.prefix = prefix
		return checkPrefix(prefix)
	}
}

// checkPrefix says whether keys and channels can begin with this: none of them may be one of another prefix, and all must
// fit into the rules of an ACL, which have no blanks.
func checkPrefix(prefix string) error {
	switch {
	case prefix == "" || len(prefix) > maxPrefix:
		return invalid("WithPrefix(%q): must have 1 to %d bytes", prefix, maxPrefix)
	case strings.ContainsFunc(prefix, func(r rune) bool { return r == '{' || r == '}' || unicode.IsSpace(r) || unicode.IsControl(r) }):
		return invalid("WithPrefix(%q): must not contain braces, spaces or control characters", prefix)
	}
	for _, kind := range []string{protocol.WeakKind, protocol.DedupeKind, protocol.RecordKind} {
		if strings.HasSuffix(prefix, kind) {
			return invalid("WithPrefix(%q): the endings :w, :d and :r are taken by the weak kinds and by records", prefix)
		}
	}
	return nil
}

// WithName sets the name by which this instance is shown to others, as in "held by api-7f9c (pid 12 on node-3)"; the
// default is the program's name. At most 128 bytes, no control characters.
func WithName(name string) ClientOption {
	return func(c *config) error {
		if name == "" || len(name) > maxClientName || strings.ContainsFunc(name, unicode.IsControl) {
			return invalid("WithName(%q): must have 1 to %d bytes and no control characters", name, maxClientName)
		}
		c.name = name
		return nil
	}
}

// WithDefaults sets options for every acquire of the Client; what is given to an acquire overrides them. For the locks that
// Once, Share, Cron and Elect take by themselves, WithLease, WithMetadata and WithReplicas count, and no others.
// [WithFailOpen] cannot be a default: it would have to mean nothing for strong locks. Nor can [WithFenceFloor], which is
// about one name.
func WithDefaults(opts ...Option) ClientOption {
	return func(c *config) error {
		c.defaults = append(c.defaults, opts...)
		return nil
	}
}

// WithRetention sets how long the fence of a name is remembered after its last grant, from 5 min to 90 days; the
// default is [DefaultRetention]. While it is remembered, fences of that name rise whatever the server's clock does.
// After it the name costs no memory, and fences still rise as long as the clock did not go back by more than the
// retention. Clients that share a name keep the longest retention among them. A shorter or longer one than the
// default costs each acquire some microseconds of the server's time.
func WithRetention(d time.Duration) ClientOption {
	return func(c *config) error {
		if d < MinRetention || d > MaxRetention {
			return invalid("WithRetention(%v): must be from %v to %v", d, MinRetention, MaxRetention)
		}
		c.retention = d
		return nil
	}
}

// WithClockMargin sets by how much earlier than the server's deadline a holder stops trusting its lock, from 0 to
// 10 s; the default is [DefaultClockMargin]. It covers what the server's clock may be stepped forward, by a failover
// to a machine whose clock is ahead for instance. A thousandth of the lease is added to it for clocks that run at
// different speeds. A lease of which nothing is left under the margin is [ErrInvalid] when it is asked for.
func WithClockMargin(d time.Duration) ClientOption {
	return func(c *config) error {
		if d < 0 || d > 10*time.Second {
			return invalid("WithClockMargin(%v): must be from 0 to 10s", d)
		}
		c.margin = d
		return nil
	}
}

// WithObserver has every event of the Client's locks reported to o; see [Event].
func WithObserver(o Observer) ClientOption {
	return func(c *config) error {
		if o == nil {
			return invalid("WithObserver(nil)")
		}
		c.observer = o
		return nil
	}
}

// WithTrace has every request for a lock carry what trace says of the caller's context, up to [MaxTrace] bytes, such as the
// traceparent of W3C Trace Context: whoever waits for the lock finds it in Owner.Trace of the holder, and can link its own
// span to it. An empty text says nothing; one that is longer, or has blanks or control characters of ASCII, is left out. The default is none.
func WithTrace(trace func(context.Context) string) ClientOption {
	return func(c *config) error {
		if trace == nil {
			return invalid("WithTrace(nil)")
		}
		c.trace = trace
		return nil
	}
}

// checkName says whether a lock may have this name: any 1 to 512 bytes.
func checkName(name string) error {
	if name == "" {
		return invalid("an empty name")
	}
	if len(name) > MaxName {
		return invalid("a name of %d bytes, at most %d", len(name), MaxName)
	}
	return nil
}
