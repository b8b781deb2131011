package cronlock

import (
	"time"

	"github.com/robfig/cron/v3"
)

// CatchUp returns the schedule with one more activation where the clocks are set forward and skip some. robfig/cron leaves
// a job of 2:30 out on the day on which 2:30 does not exist: nothing runs on that day, and nobody is told. With CatchUp
// the tick of that day is the first moment after the change, 3:00, as cron daemons have it. However many activations were
// skipped, there is one in their place.
//
// Only a schedule of certain hours is changed. One of every hour goes on by itself, so it stays as it is, and so does any
// type but [cron.SpecSchedule]. The schedule is read in its own time zone, or else in that of the time that Next gets.
//
// [AddFunc] schedules like this. For a Guard of [New], add the job in the same way: c.Schedule(CatchUp(s), job).
func CatchUp(schedule cron.Schedule) cron.Schedule {
	spec, ok := schedule.(*cron.SpecSchedule)
	if !ok || spec.Hour&everyHour == everyHour {
		return schedule
	}
	return caughtUp{spec}
}

const (
	everyHour = 1<<24 - 1
	// sight is how far ahead robfig/cron looks for an activation.
	sight = 6 * 366 * 24 * time.Hour
)

type caughtUp struct{ *cron.SpecSchedule }

// Next is the first activation after t, or the end of a gap of the clock in which there would have been one.
func (c caughtUp) Next(t time.Time) time.Time {
	next := c.SpecSchedule.Next(t)
	until := next
	if next.IsZero() {
		until = t.Add(sight)
	}
	at := t
	if c.Location != time.Local {
		at = t.In(c.Location)
	}
	for {
		_, change := at.ZoneBounds()
		if change.IsZero() || !change.Before(until) {
			return next
		}
		_, before := at.Zone()
		_, after := change.Zone()
		if gap := time.Duration(after-before) * time.Second; gap > 0 && c.within(change, gap, before) {
			return change.In(t.Location())
		}
		at = change
	}
}

// within reports whether there would have been an activation in the gap if the clock had gone on as before.
func (c caughtUp) within(change time.Time, gap time.Duration, offset int) bool {
	unchanged := *c.SpecSchedule
	unchanged.Location = time.FixedZone("", offset)
	missed := unchanged.Next(change.Add(-time.Second)) // after that: at the change or later
	return !missed.IsZero() && missed.Before(change.Add(gap))
}
