package cronlock

import (
	"time"

	"github.com/robfig/cron/v3"
)

// lookBack is how far back a tick is looked for. robfig/cron itself looks five years ahead, and a job of 29 February
// may be silent for eight.
const lookBack = 10 * 366 * 24 * time.Hour

// Tick is the latest activation of the schedule that is not after now: what a clock that shows now has come to. Nodes
// with different clocks name the same tick when each of them comes to it. It is zero if there was none in the last ten
// years.
//
// A schedule without a time zone of its own (TZ=, CRON_TZ=) is read in that of now, as robfig/cron does. An hour that
// the clock shows twice has its ticks twice; they are different instants. One that the clock skips has its tick at the end
// of the gap, as by [CatchUp]. Nothing is assumed of the schedule but that
// Next depends on the time alone; it is called some dozens of times, however rare or frequent the activations are.
//
// The activations of "@every 5m" depend on when each process started, so those of different nodes have no ticks in
// common. Instead, the ticks of a [cron.ConstantDelaySchedule] are the multiples of its delay, as by [time.Time.Truncate]: in each
// such span of time the node that fires first has the tick.
func Tick(schedule cron.Schedule, now time.Time) time.Time {
	now = now.Round(0) // the wall clock alone: what other nodes can know
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
	// From here on from is an activation; the span in which a later one can be is halved each time.
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

// multiple is the last multiple of d, in UTC: hours and days are whole, and weeks begin on Mondays.
func multiple(d time.Duration, now time.Time) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return now.Truncate(d)
}
