package main

import (
	"context"
	"time"
)

// recheck is how long a step of the clock, or the end of a suspension, may go unnoticed: timers know of neither.
const recheck = 30 * time.Second

// clock is the wall clock, and a timer that may run differently.
type clock struct {
	now   func() time.Time
	after func(time.Duration) <-chan time.Time
}

// wallClock leaves out the monotonic reading, which would hide that the clock was stepped, and stops in suspension.
var wallClock = clock{now: func() time.Time { return time.Now().Round(0) }, after: time.After}

// alarm sends each tick as it comes, until ctx ends. It uses only the wall clock, and looks at it again and again. If the clock
// was stepped forward, or the machine was suspended, only the latest tick of that time is sent. If the clock was stepped back, a
// tick that was sent already comes again at its time.
func alarm(ctx context.Context, s schedule, c clock, ticks chan<- time.Time) {
	now := c.now()
	for next := s.Next(now); ; {
		wait := recheck
		if !next.IsZero() {
			wait = min(wait, next.Sub(c.now()))
		}
		select {
		case <-c.after(wait):
		case <-ctx.Done():
			return
		}
		was := now
		now = c.now()
		switch {
		case now.Before(was), next.IsZero():
			next = s.Next(now)
		case !now.Before(next):
			select {
			case ticks <- latest(s, now):
			case <-ctx.Done():
				return
			}
			next = s.Next(now) // not of a time that is read anew: a tick may have come meanwhile
		}
	}
}
