package cronlock

import "time"

// WithClock is the clock of a node whose time is off.
func WithClock(now func() time.Time) Option {
	return func(g *Guard) { g.now = now }
}
