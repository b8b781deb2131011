package redislock

import (
	"context"
	"strings"
	"time"
	"unicode"

	"example.com/redislock/internal/protocol"
)

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
	shown     int
	jitter    func(time.Duration) time.Duration
}

// WithPrefix sets the beginning of every key and channel of the Client. The default is [DefaultPrefix]. Clients with
// different prefixes share nothing. A prefix has at most 128 bytes, and no braces, spaces or control characters. It must not
// end in ":w", ":d" or ":r", because these set the weak kinds and the records apart.
func WithPrefix(prefix string) ClientOption {
	return func(c *config) error {
		c.prefix = prefix
		return checkPrefix(prefix)
	}
}

// checkPrefix says whether keys and channels can begin with this prefix. None of them may be a key or channel of another
// prefix, and all must fit into the rules of an ACL, which have no blanks.
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

// WithName sets the name by which others see this instance, as in "held by api-7f9c (pid 12 on node-3)". The default is the
// program's name. A name has at most 128 bytes and no control characters.
func WithName(name string) ClientOption {
	return func(c *config) error {
		if name == "" || len(name) > maxClientName || strings.ContainsFunc(name, unicode.IsControl) {
			return invalid("WithName(%q): must have 1 to %d bytes and no control characters", name, maxClientName)
		}
		c.name = name
		return nil
	}
}

// WithDefaults sets options for every acquire of the Client; the options of an acquire override them. For the locks that
// Once, Share, Cron and Elect take by themselves, only WithLease, WithMetadata and WithReplicas count. [WithFailOpen] cannot
// be a default, because it would have to mean nothing for strong locks. [WithFenceFloor] cannot be one either, because it is
// about one name.
func WithDefaults(opts ...Option) ClientOption {
	return func(c *config) error {
		c.defaults = append(c.defaults, opts...)
		return nil
	}
}

// WithRetention sets how long Redis remembers the fence of a name after its last grant, from 5 min to 90 days. The default is
// [DefaultRetention]. While it is remembered, the fences of that name rise whatever the server's clock does. After that the
// name costs no memory, and its fences still rise as long as the clock did not go back by more than the retention. Clients
// that share a name keep the longest retention among them. A retention other than the default costs each acquire some
// microseconds of the server's time.
func WithRetention(d time.Duration) ClientOption {
	return func(c *config) error {
		if d < MinRetention || d > MaxRetention {
			return invalid("WithRetention(%v): must be from %v to %v", d, MinRetention, MaxRetention)
		}
		c.retention = d
		return nil
	}
}

// WithClockMargin sets how much earlier than the server's deadline a holder stops trusting its lock, from 0 to 10 s. The
// default is [DefaultClockMargin]. The margin covers a step forward of the server's clock, for instance by a failover to a
// machine whose clock is ahead. A thousandth of the lease is added to it for clocks that run at different speeds. If the
// margin leaves nothing of a lease, the acquire that asks for that lease returns [ErrInvalid].
func WithClockMargin(d time.Duration) ClientOption {
	return func(c *config) error {
		if d < 0 || d > 10*time.Second {
			return invalid("WithClockMargin(%v): must be from 0 to 10s", d)
		}
		c.margin = d
		return nil
	}
}

// WithShown sets how many holders and how many waiters [Client.Inspect], [Client.InspectMore] and [Client.Watch] show at a time,
// from 1 to [MaxShown]. The default is [DefaultShown]. Each one that is shown costs Redis some 2 µs, during which it serves
// nobody else, so a watched lock is looked at the less often the more are shown. How many there are is always complete.
func WithShown(n int) ClientOption {
	return func(c *config) error {
		if n < 1 || n > MaxShown {
			return invalid("WithShown(%d): must be from 1 to %d", n, MaxShown)
		}
		c.shown = n
		return nil
	}
}

// WithObserver makes the Client report every event of its locks to o; see [Event].
func WithObserver(o Observer) ClientOption {
	return func(c *config) error {
		if o == nil {
			return invalid("WithObserver(nil)")
		}
		c.observer = o
		return nil
	}
}

// WithTrace makes every request for a lock carry the text that trace returns for the caller's context, such as the
// traceparent of W3C Trace Context. A text has at most [MaxTrace] bytes. A waiter finds it in Owner.Trace of the holder, and
// can link its own span to it. An empty text means that there is no trace. A text that is longer, or that has blanks or ASCII
// control characters, is left out. The default is no trace.
func WithTrace(trace func(context.Context) string) ClientOption {
	return func(c *config) error {
		if trace == nil {
			return invalid("WithTrace(nil)")
		}
		c.trace = trace
		return nil
	}
}
