package otellock

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"example.com/redislock"
	"example.com/redislock/adapters/internal/telemetry"
)

// Traceparent is the span of ctx as a traceparent of W3C Trace Context, for [redislock.WithTrace]. With it a waiter for the
// lock can link its own span to this one. It is "" if ctx has no span, or if the span is not sampled, as a link to it would
// lead nowhere.
func Traceparent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier.Get("traceparent")
}

// linkTo is a link to the span that a traceparent names. It is nil if the text is no traceparent: anybody who can ask for
// a lock can send any text.
func linkTo(traceparent string) []trace.Link {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": traceparent})
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return nil
	}
	return []trace.Link{{SpanContext: span, Attributes: []attribute.KeyValue{attribute.String("redislock.link", "holder")}}}
}

// trace makes spans of waits and holds that have ended, as an Observer keeps nothing between two events.
func (o *Observer) trace(ctx context.Context, e redislock.Event) {
	switch e.Kind {
	case redislock.EventGranted:
		o.span(ctx, "redislock wait", e, e.Wait, nil, linkTo(e.Holder.Trace))
	case redislock.EventChanged:
		if telemetry.Upgraded(e) {
			o.span(ctx, "redislock wait", e, e.Wait, nil, linkTo(e.Holder.Trace))
		}
	case redislock.EventGaveUp:
		failure := []attribute.KeyValue{errorType(e.Err, "_OTHER")}
		if e.Wait < o.threshold && errors.Is(e.Err, redislock.ErrHeld) {
			return // the answer to a question, such as that of TryAcquire
		}
		o.span(ctx, "redislock wait", e, e.Wait, failure, linkTo(e.Holder.Trace))
	case redislock.EventLost, redislock.EventStolen, redislock.EventReleased, redislock.EventHandedOff:
		var failure []attribute.KeyValue
		if kv, failed := failureOf(e); failed {
			failure = append(failure, kv)
		}
		o.span(ctx, "redislock hold", e, e.Held, failure, nil)
	case redislock.EventRenewalFailed, redislock.EventFailOpen, redislock.EventRequested:
		span := trace.SpanFromContext(ctx)
		if !span.IsRecording() {
			return
		}
		about := []attribute.KeyValue{attribute.String("redislock.name", telemetry.Text(e.Name))}
		if e.Err != nil {
			about = append(about, errorType(e.Err, "_OTHER"), attribute.String("error.message", telemetry.Text(e.Err.Error())))
		}
		if e.Kind == redislock.EventRequested {
			about = append(about, attribute.String("redislock.reason", telemetry.Text(e.Why)))
			about = append(about, owner("redislock.requester", e.Holder)...)
		}
		span.AddEvent("redislock "+e.Kind.String(), trace.WithAttributes(about...))
	}
}

// span makes a span that took this long and ends now, if it is long enough or a failure.
func (o *Observer) span(ctx context.Context, name string, e redislock.Event, took time.Duration, failure []attribute.KeyValue, links []trace.Link) {
	if len(failure) == 0 && took < o.threshold || !o.roots && !trace.SpanContextFromContext(ctx).IsValid() {
		return
	}
	about := []attribute.KeyValue{
		attribute.String("redislock.kind", telemetry.Kind(e.Name)),
		attribute.String("redislock.name", telemetry.Text(e.Name)),
		attribute.String("redislock.mode", e.Mode.Name()),
	}
	if e.Weight > 1 {
		about = append(about, attribute.Int("redislock.weight", e.Weight))
	}
	if e.Fence > 0 {
		about = append(about, attribute.Int64("redislock.fence", e.Fence))
	}
	switch e.Kind {
	case redislock.EventGranted, redislock.EventGaveUp, redislock.EventChanged:
		about = append(about, queued(e))
		about = append(about, owner("redislock.holder", e.Holder)...)
	default:
		about = append(about, attribute.String("redislock.end", e.Kind.String()))
	}
	now := time.Now()
	_, span := o.tracer.Start(ctx, name, trace.WithTimestamp(now.Add(-took)), trace.WithLinks(links...),
		trace.WithAttributes(about...), trace.WithAttributes(failure...))
	if len(failure) > 0 {
		text := e.Kind.String()
		if e.Err != nil {
			text = telemetry.Text(e.Err.Error())
		}
		span.SetStatus(codes.Error, text)
	}
	span.End(trace.WithTimestamp(now))
}

// owner has the attributes that name an owner. It is nil if the owner is not known.
func owner(prefix string, o redislock.Owner) []attribute.KeyValue {
	if o == (redislock.Owner{}) {
		return nil
	}
	return []attribute.KeyValue{
		attribute.String(prefix+".client", telemetry.Text(o.Client)),
		attribute.String(prefix+".host", telemetry.Text(o.Host)),
		attribute.Int(prefix+".pid", o.PID),
	}
}
