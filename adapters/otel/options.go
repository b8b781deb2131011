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

// WithLabel gives every metric the attribute redislock.lock, with what f makes of the lock's name, unless that is "". Without
// it names are in no metric.
//
// Each value that f returns is a set of series that may stay for the life of the process. So f decides how many there are:
// let it return the part of a name that has few values, such as "invoice" of "invoice/42", and "" for all others. For the
// same name it must always return the same. It is called for each event, by many goroutines at once.
// Where it panics, the event counts without the attribute, and the panic goes on.
func WithLabel(f func(name string) string) Option {
	return func(s *settings) error {
		if f == nil {
			return invalid("WithLabel(nil)")
		}
		s.label = f
		return nil
	}
}

// WithSpanThreshold sets how long a wait or a hold must have taken to be a span; what failed is one anyway. 0 makes a span of
// all. The default is [DefaultSpanThreshold].
func WithSpanThreshold(d time.Duration) Option {
	return func(s *settings) error {
		if d < 0 {
			return invalid("WithSpanThreshold(%v): must not be negative", d)
		}
		s.threshold = d
		return nil
	}
}

// WithRootSpans makes spans also where the caller has none: each is a trace of its own then, and its sampler's to drop.
// Without it only callers that are traced have spans of their locks.
func WithRootSpans() Option {
	return func(s *settings) error {
		s.roots = true
		return nil
	}
}

// WithoutSpans leaves out all that concerns spans.
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
