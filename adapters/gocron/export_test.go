package gocronlock

import "time"

// Next is the first tick after a time.
func Next(f TickFunc, job string, after time.Time) time.Time { return f.next(job, after) }

// WithClock is the clock of an instance whose time is off.
func WithClock(now func() time.Time) Option {
	return func(l *Locker) { l.now = now }
}
