package cronlock

import (
	"time"

	"github.com/robfig/cron/v3"
)

// lookBack is how far back a tick is searched. robfig/cron itself searches five years ahead, and a job of 29 February
// may not run for eight years.
const lookBack = 10 * 366 * 24 * time.Hour

// Tick is the latest activation of the schedule that is not after now. Nodes with different clocks compute the same
// tick, each when its own clock has come to it. It is zero if there was none in the last ten years.
//
// A schedule without a time zone of its own (TZ=, CRON_TZ=) is read in that of now, as robfig/cron does. In an hour that
// the clock shows twice there are two ticks, at different instants. A tick that the clock skips is at the end of the gap,
// as by [CatchUp]. Next of the schedule must depend on the time alone. It is called some dozens of times, however rare or
// frequent the activations are.
//
// The activations of "@every 5m" depend on when each process started, so they differ between nodes. Instead, the ticks of a
// [cron.ConstantDelaySchedule] are the multiples of its delay, as by [time.Time.Truncate]. From one multiple to the next, the node
// that fires first runs the tick.
func Tick(schedule cron.Schedule, now time.Time) time.Time {
	now = now.Round(0) // the wall clock alone, without the monotonic time of this process
	switch every := schedule.(type) {
	case cron.ConstantDelaySchedule:
		return multiple(every.Delay, now)
	case *cron.ConstantDelaySchedule:
		return multiple(every.Delay, now)
	}

	schedule = CatchUp(schedule)

	// Next(from) is not after now, and Next(to) is.
	from, to := time.Time{}, now
	for back := time.Second; ; back *= 2 {
		if back > lookBack {
			return time.Time{}
		}
		if from = schedule.Next(now.Add(-back)); !from.IsZero() && !from.After(now) {
			break
		}
		to = now.Add(-back)
	}
	// From here on the variable from is an activation. Each round halves the span in which a later one can be.
	for {
		next := schedule.Next(from)
		if next.IsZero() || next.After(now) || !next.After(from) {
			return from.Round(0)
		}
		from = next
		middle := from.Add(to.Sub(from) / 2)
		if next = schedule.Next(middle); next.IsZero() || next.After(now) {
			to = middle
		} else if next.After(from) {
			from = next
		}
	}
}

// multiple is the last multiple of d that is not after now. Hours and days are whole in UTC, and
// weeks begin on Mondays.
func multiple(d time.Duration, now time.Time) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return now.Truncate(d)
}
