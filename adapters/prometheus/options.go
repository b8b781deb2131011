package prometheuslock

import (
	"fmt"
	"slices"

	"example.com/redislock"
	"example.com/redislock/adapters/internal/telemetry"
)

// Option shapes an [Observer]. A value that cannot work makes [New] fail with [redislock.ErrInvalid].
type Option func(*settings) error

type settings struct {
	label   func(string) string
	buckets []float64
}

// WithLabel gives every metric the label lock, with the value that f returns for the name of the lock. Without
// WithLabel no metric has names.
//
// Each value that f returns makes about 70 series, which stay for the life of the process. So let f return a part of the
// name that has few values, such as "invoice" of "invoice/42", and "" for all other names. For the same name it must
// always return the same value. It is called for each event, by many goroutines at once. If it panics, the event counts
// without a label, and the panic goes on.
func WithLabel(f func(name string) string) Option {
	return func(s *settings) error {
		if f == nil {
			return fmt.Errorf("redislock: prometheus: %w: WithLabel(nil)", redislock.ErrInvalid)
		}
		s.label = f
		return nil
	}
}

// WithBuckets sets the upper bounds, in seconds and rising, of the histograms of waits and holds. The default has 19
// bounds from 1 ms to 4 h.
func WithBuckets(bounds ...float64) Option {
	return func(s *settings) error {
		// The comparisons are negated so that NaN is refused too.
		if len(bounds) == 0 || !(bounds[0] > 0) {
			return fmt.Errorf("redislock: prometheus: %w: WithBuckets(%v): must be above 0, and at least one", redislock.ErrInvalid, bounds)
		}
		for i, b := range bounds[1:] {
			if !(b > bounds[i]) {
				return fmt.Errorf("redislock: prometheus: %w: WithBuckets(%v): must rise", redislock.ErrInvalid, bounds)
			}
		}
		s.buckets = slices.Clone(bounds)
		return nil
	}
}

func (s *settings) apply(opts []Option) error {
	s.buckets = telemetry.Buckets()
	for _, opt := range opts {
		if opt == nil {
			return fmt.Errorf("redislock: prometheus: %w: a nil Option", redislock.ErrInvalid)
		}
		if err := opt(s); err != nil {
			return err
		}
	}
	return nil
}
