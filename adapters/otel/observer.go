// Package otellock reports the locks of a [redislock.Client] to OpenTelemetry: metrics of waits, holds, losses and failures,
// and spans of waits and holds. The span of a wait is linked to the span of the holder.
//
//	observer, err := otellock.New()
//	…
//	client, err := redislock.New(rdb, redislock.WithObserver(observer), redislock.WithTrace(otellock.Traceparent))
//
// One Observer serves any number of Clients.
//
// # Metrics
//
//	redislock.wait.duration   histogram, s       how long a caller waited, until it had the lock or gave up
//	redislock.hold.duration   histogram, s       how long a lock was held, when the hold ended
//	redislock.waiters         up-down counter    callers that wait for a lock or for the answer of Redis
//	redislock.holds           up-down counter    locks that are held
//	redislock.acquisitions    counter            acquires and upgrades that ended, granted or not
//	redislock.renewals        counter            renewals, with an error.type if they failed and are tried again
//	redislock.losses          counter            locks lost while they were held, except stolen ones
//	redislock.steals          counter            locks stolen or broken while they were held
//	redislock.handoffs        counter            holds left for another process to resume
//	redislock.not_kept        counter            shared values that could not be kept or fetched anew
//	redislock.fail_opens      counter            weak locks that said yes because Redis could not be reached
//	redislock.requests        counter            requests by others that a lock be given up
//	redislock.subscribe_failures  counter        outages of the subscription, in which waiters ask Redis at intervals
//
// All have redislock.kind, which says what the lock is for: lock, cron, tick, election, once or share. Failures have
// error.type, a word of a fixed set such as held, deadline, network or permission. On redislock.hold.duration it is there if
// the hold did not end well: lost, stolen, not_held, or why Redis may not know of the release. Acquisitions have
// redislock.queued: whether the caller had to queue. With [WithLabel] all have redislock.lock too.
//
// # Spans
//
// A wait is a span "redislock wait" and a hold is a span "redislock hold", under the span of the caller, if it took at least
// [DefaultSpanThreshold] or failed. An immediate answer that the lock is held is no failure. Waits and holds that are shorter
// leave no span, but are in the metrics. Spans have the whole name of the lock, as redislock.name. A span is made when the
// wait or the hold ends, so there is none of a hold whose process died.
//
// Failed renewals, requests for the lock and fail-opens become events of the caller's own span, as long as that
// records.
package otellock

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"example.com/redislock"
	"example.com/redislock/adapters/internal/telemetry"
)

const scope = "example.com/redislock/adapters/otel"

// Observer is a [redislock.Observer] that records metrics and spans. It is safe for use by many goroutines.
type Observer struct {
	settings
	instruments
	tracer trace.Tracer // nil: no spans
	known  sync.Map     // of identity to attribute.Set
}

// identity has the values of the attributes that all metrics of a lock have.
type identity struct{ kind, lock string }

// New makes an Observer. Its error is [redislock.ErrInvalid] for an option that cannot work, or that of the meter if it
// refuses an instrument.
func New(opts ...Option) (*Observer, error) {
	var o Observer
	if err := o.settings.apply(opts); err != nil {
		return nil, err
	}
	var err error
	if o.instruments, err = newInstruments(o.meters.Meter(scope)); err != nil {
		return nil, err
	}
	if !o.noSpans {
		o.tracer = o.tracers.Tracer(scope)
	}
	return &o, nil
}

// Observe is that of a [redislock.Observer].
func (o *Observer) Observe(e redislock.Event) {
	ctx := e.Context
	if ctx == nil {
		ctx = context.Background()
	}
	id := identity{kind: telemetry.Kind(e.Name)}
	defer func() { // also if label panics: a counter that was increased must be decreased
		o.measure(ctx, e, o.attributes(ctx, id))
		if o.tracer != nil {
			o.trace(ctx, e)
		}
	}()
	if o.label != nil {
		id.lock = telemetry.Text(o.label(e.Name))
	}
}

func (o *Observer) measure(ctx context.Context, e redislock.Event, set attribute.Set) {
	plain := metric.WithAttributeSet(set)
	switch e.Kind {
	case redislock.EventAsked:
		o.waiters.Add(ctx, 1, plain)
	case redislock.EventGranted:
		o.waiters.Add(ctx, -1, plain)
		o.holds.Add(ctx, 1, plain)
		o.wait.Record(ctx, e.Wait.Seconds(), plain)
		o.acquisitions.Add(ctx, 1, plain, metric.WithAttributes(queued(e)))
	case redislock.EventChanged:
		if telemetry.Upgraded(e) {
			o.waiters.Add(ctx, -1, plain)
			o.wait.Record(ctx, e.Wait.Seconds(), plain)
			o.acquisitions.Add(ctx, 1, plain, metric.WithAttributes(queued(e)))
		}
	case redislock.EventGaveUp:
		o.waiters.Add(ctx, -1, plain)
		why := errorType(e.Err, "_OTHER")
		o.wait.Record(ctx, e.Wait.Seconds(), plain, metric.WithAttributes(why))
		o.acquisitions.Add(ctx, 1, plain, metric.WithAttributes(queued(e), why))
	case redislock.EventRenewed:
		o.renewals.Add(ctx, 1, plain)
	case redislock.EventRenewalFailed:
		o.renewals.Add(ctx, 1, plain, metric.WithAttributes(errorType(e.Err, "_OTHER")))
	case redislock.EventLost, redislock.EventStolen, redislock.EventReleased, redislock.EventHandedOff:
		o.holds.Add(ctx, -1, plain)
		ended := []metric.RecordOption{plain}
		if failure, failed := failureOf(e); failed {
			ended = append(ended, metric.WithAttributes(failure))
		}
		o.hold.Record(ctx, e.Held.Seconds(), ended...)
	}
	if c := o.counters[e.Kind]; c != nil {
		c.Add(ctx, int64(max(e.Dropped, 1)), plain)
	}
}

// failureOf returns the error.type of the end of a hold. It is false if the hold ended well.
func failureOf(e redislock.Event) (attribute.KeyValue, bool) {
	switch {
	case e.Kind == redislock.EventLost:
		return errorType(e.Err, "lost"), true
	case e.Kind == redislock.EventStolen:
		return errorType(e.Err, "stolen"), true
	case e.Err != nil:
		return errorType(e.Err, "_OTHER"), true
	}
	return attribute.KeyValue{}, false
}

// attributes returns the attributes of the metrics of such locks. When they are new, the counters of rare events are set
// to 0: backends that count by differences see no step from nothing to 1.
func (o *Observer) attributes(ctx context.Context, id identity) attribute.Set {
	if set, ok := o.known.Load(id); ok {
		return set.(attribute.Set)
	}
	all := []attribute.KeyValue{attribute.String("redislock.kind", id.kind)}
	if id.lock != "" {
		all = append(all, attribute.String("redislock.lock", id.lock))
	}
	set := attribute.NewSet(all...)
	if _, known := o.known.LoadOrStore(id, set); !known {
		for _, c := range o.counters {
			c.Add(ctx, 0, metric.WithAttributeSet(set))
		}
	}
	return set
}

func queued(e redislock.Event) attribute.KeyValue {
	return attribute.Bool("redislock.queued", e.Queued)
}

// errorType is error.type as OpenTelemetry defines it. It has the value of otherwise if nothing is known of the
// error.
func errorType(err error, otherwise string) attribute.KeyValue {
	reason := telemetry.Reason(err)
	if reason == "" || reason == "other" {
		reason = otherwise
	}
	return attribute.String("error.type", reason)
}
