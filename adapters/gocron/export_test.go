package gocronlock

import "time"

// WithClock is the clock of an instance whose time is off.
func WithClock(now func() time.Time) Option {
	return func(l *Locker) { l.now = now }
}
