// Package sloglock logs the events of the locks of a [redislock.Client] by [log/slog], at levels that are of use in
// production:
//
//	observer, err := sloglock.New(slog.Default())
//	…
//	client, err := redislock.New(rdb, redislock.WithObserver(observer))
//
// An event after which two may have run at once is an error. One that needs a look is a warning. One that merely took
// long is information. The usual events (asked, granted, renewed, released) are for debugging:
//
//	ERROR  lost; released, but it had another holder by then
//	WARN   stolen; a renewal failed; Redis may not know of a release; fail-open; a shared value was not kept;
//	       a caller seems to wait for itself;
//	       gave up because Redis could not be reached or refused
//	INFO   granted, or given up, after a long wait ([WithLongWait]); somebody asks for the lock ([redislock.Client.Ask])
//	DEBUG  all else
//
// Every text that comes from elsewhere is the value of an attribute, and never part of a message: the name of the lock (lock),
// its holder (holder), errors (error) and reasons (why).
package sloglock

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"example.com/redislock"
	"example.com/redislock/adapters/internal/telemetry"
)

// Observer is a [redislock.Observer] that logs. It is safe for use by many goroutines.
type Observer struct {
	logger *slog.Logger
	settings
}

// New makes an Observer. A nil logger, or an option that cannot work, is [redislock.ErrInvalid].
func New(logger *slog.Logger, opts ...Option) (*Observer, error) {
	o := &Observer{logger: logger, settings: settings{longWait: DefaultLongWait}}
	if logger == nil {
		return nil, invalid("a nil Logger")
	}
	for _, opt := range opts {
		if opt == nil {
			return nil, invalid("a nil Option")
		}
		if err := opt(&o.settings); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// Observe is that of a [redislock.Observer].
func (o *Observer) Observe(e redislock.Event) {
	ctx := e.Context
	if ctx == nil {
		ctx = context.Background()
	}
	level := o.level(e)
	if o.logger.Enabled(ctx, level) {
		o.logger.LogAttrs(ctx, level, message(e), attributes(e)...)
	}
}

func (o *Observer) level(e redislock.Event) slog.Level {
	if l := o.levels[e.Kind]; l != nil {
		return l.Level()
	}
	switch e.Kind {
	case redislock.EventLost:
		return slog.LevelError
	case redislock.EventReleased:
		switch {
		case e.Err == nil:
			return slog.LevelDebug
		case errors.Is(e.Err, redislock.ErrNotHeld):
			return slog.LevelError
		}
		return slog.LevelWarn
	case redislock.EventStolen, redislock.EventRenewalFailed, redislock.EventFailOpen, redislock.EventNotKept, redislock.EventDropped,
		redislock.EventSubscribeFailed, redislock.EventSelfWait:
		return slog.LevelWarn
	case redislock.EventGaveUp:
		switch telemetry.Reason(e.Err) {
		case "network", "unanswered", "server", "permission", "not_replicated", "mode", "damaged", "other":
			return slog.LevelWarn
		}
		return o.waited(e)
	case redislock.EventGranted, redislock.EventChanged: // the wait of a downgrade is 0
		return o.waited(e)
	case redislock.EventRequested, redislock.EventDraining:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// waited is the level of the end of a wait if nothing failed.
func (o *Observer) waited(e redislock.Event) slog.Level {
	if e.Wait >= o.longWait {
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

var messages = map[redislock.EventKind]string{
	redislock.EventAsked:           "lock asked for",
	redislock.EventQueued:          "lock is held, waiting in its queue",
	redislock.EventGranted:         "lock granted",
	redislock.EventGaveUp:          "lock not granted",
	redislock.EventRenewed:         "lock renewed",
	redislock.EventRenewalFailed:   "lock not renewed, it is tried again until the lease ends",
	redislock.EventLost:            "lock lost",
	redislock.EventStolen:          "lock stolen",
	redislock.EventReleased:        "lock released",
	redislock.EventChanged:         "lock has another mode",
	redislock.EventHandedOff:       "lock handed off",
	redislock.EventNotKept:         "shared value not kept",
	redislock.EventFailOpen:        "weak lock granted without Redis",
	redislock.EventRequested:       "lock requested by another",
	redislock.EventDropped:         "events dropped: an observer was too slow or panicked",
	redislock.EventDraining:        "draining: no more locks are taken",
	redislock.EventSelfWait:        "lock is held by this process, and its caller seems to wait for itself: acquire under the context of the lock that it holds",
	redislock.EventSubscribeFailed: "no subscription: waits are served by checks until there is one",
}

// message is one of a fixed set.
func message(e redislock.Event) string {
	switch text := messages[e.Kind]; {
	case text == "":
		return "lock: " + e.Kind.String()
	case e.Kind == redislock.EventReleased && errors.Is(e.Err, redislock.ErrNotHeld):
		return "lock was no longer held when it was released"
	case e.Kind == redislock.EventReleased && e.Err != nil:
		return "lock released, but Redis may not know of it"
	default:
		return text
	}
}

func attributes(e redislock.Event) []slog.Attr {
	all := append(make([]slog.Attr, 0, 10), slog.String("lock", e.Name))
	if e.Mode != redislock.Exclusive {
		all = append(all, slog.String("mode", e.Mode.String()))
	}
	if e.Weight > 1 {
		all = append(all, slog.Int("weight", e.Weight))
	}
	if e.Fence > 0 {
		all = append(all, slog.Int64("fence", e.Fence))
	}
	switch e.Kind {
	case redislock.EventQueued:
		all = append(all, duration("wait", e.Wait))
	case redislock.EventGranted, redislock.EventGaveUp:
		all = append(all, duration("wait", e.Wait), slog.Bool("queued", e.Queued))
		all = append(all, owner("holder", e.Holder)...)
	case redislock.EventSelfWait:
		all = append(all, duration("wait", e.Wait))
		all = append(all, owner("holder", e.Holder)...)
	case redislock.EventChanged:
		if telemetry.Upgraded(e) {
			all = append(all, duration("wait", e.Wait), slog.Bool("queued", e.Queued))
			all = append(all, owner("holder", e.Holder)...)
		}
		all = append(all, duration("held", e.Held))
	case redislock.EventRequested:
		all = append(all, duration("held", e.Held), slog.String("why", e.Why))
		all = append(all, owner("by", e.Holder)...)
	case redislock.EventAsked, redislock.EventFailOpen, redislock.EventNotKept, redislock.EventSubscribeFailed,
		redislock.EventDraining:
	case redislock.EventDropped:
		all = append(all, slog.Int("dropped", e.Dropped))
	default:
		all = append(all, duration("held", e.Held))
	}
	if e.Err != nil {
		all = append(all, slog.String("reason", telemetry.Reason(e.Err)), slog.Any("error", e.Err))
	}
	return all
}

// duration is rounded to the microsecond, as the digits after that mean nothing here.
func duration(key string, d time.Duration) slog.Attr {
	return slog.Duration(key, d.Round(time.Microsecond))
}

// owner is a group that names an owner. It is nil if the owner is not known.
func owner(key string, o redislock.Owner) []slog.Attr {
	if o == (redislock.Owner{}) {
		return nil
	}
	about := []slog.Attr{slog.String("client", o.Client), slog.String("host", o.Host), slog.Int("pid", o.PID)}
	if o.Metadata != "" {
		about = append(about, slog.String("metadata", o.Metadata))
	}
	if o.Trace != "" {
		about = append(about, slog.String("trace", o.Trace))
	}
	return []slog.Attr{slog.GroupAttrs(key, about...)}
}
