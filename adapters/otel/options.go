package otellock

import (
	"fmt"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"example.com/redislock"
)

// DefaultSpanThreshold is how long a wait or a hold must have taken to be a span, unless [WithSpanThreshold] says otherwise.
const DefaultSpanThreshold = 10 * time.Millisecond

// Option shapes an [Observer]. A value that cannot work makes [New] fail with [redislock.ErrInvalid].
type Option func(*settings) error

type settings struct {
	meters    metric.MeterProvider
	tracers   trace.TracerProvider
	label     func(string) string // nil: no label
	threshold time.Duration
	roots     bool
	noSpans   bool
}

// WithMeterProvider sets where metrics go; the default is the global one, [otel.GetMeterProvider].
func WithMeterProvider(p metric.MeterProvider) Option {
	return func(s *settings) error {
		if p == nil {
			return invalid("WithMeterProvider(nil)")
		}
		s.meters = p
		return nil
	}
}

// WithTracerProvider sets where spans go; the default is the global one, [otel.GetTracerProvider].
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(s *settings) error {
		if p == nil {
			return invalid("WithTracerProvider(nil)")
		}
		s.tracers = p
		return nil
	}
}

// WithLabel gives every metric the attribute redislock.lock, with the value that f returns for the name of the lock, unless
// that is "". Without WithLabel no metric has names.
//
// Each value that f returns makes a set of series that may stay for the life of the process. So let f return a part of the
// name that has few values, such as "invoice" of "invoice/42", and "" for all other names. For the same name it must
// always return the same value. It is called for each event, by many goroutines at once. If it panics, the event counts
// without the attribute, and the panic goes on.
func WithLabel(f func(name string) string) Option {
	return func(s *settings) error {
		if f == nil {
			return invalid("WithLabel(nil)")
		}
		s.label = f
		return nil
	}
}

// WithSpanThreshold sets how long a wait or a hold must have taken to be a span; a failure always makes a span. 0 makes a
// span of every wait and hold. The default is [DefaultSpanThreshold].
func WithSpanThreshold(d time.Duration) Option {
	return func(s *settings) error {
		if d < 0 {
			return invalid("WithSpanThreshold(%v): must not be negative", d)
		}
		s.threshold = d
		return nil
	}
}

// WithRootSpans makes spans also if the caller has none. Each is then a trace of its own, which the sampler may drop.
// Without WithRootSpans there are spans only for callers that are traced.
func WithRootSpans() Option {
	return func(s *settings) error {
		s.roots = true
		return nil
	}
}

// WithoutSpans makes no spans, and no events of the caller's span.
func WithoutSpans() Option {
	return func(s *settings) error {
		s.noSpans = true
		return nil
	}
}

func (s *settings) apply(opts []Option) error {
	*s = settings{meters: otel.GetMeterProvider(), tracers: otel.GetTracerProvider(), threshold: DefaultSpanThreshold}
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

func invalid(format string, args ...any) error {
	return fmt.Errorf("redislock: otel: %w: %s", redislock.ErrInvalid, fmt.Sprintf(format, args...))
}
