package gocronlock

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	cronlock "example.com/redislock/adapters/cron"
)

// TickFunc returns the tick that is due for a job on an instance whose clock shows now: the time for which the job is
// scheduled. It must be the same on all instances, and must not go back as now goes on. Zero says that the job has no ticks.
type TickFunc func(job string, now time.Time) time.Time

// lookAhead is how far ahead the next tick is searched, and lookStep how exact the search is.
const (
	lookAhead = 5 * 366 * 24 * time.Hour
	lookStep  = time.Millisecond
)

// next is the first tick after a time, or zero if there is none. Ticks do not go back as the time goes on, so a binary search finds
// it.
func (f TickFunc) next(job string, after time.Time) (next time.Time) {
	from, to := after, after
	for step := time.Second; !next.After(after); step *= 2 {
		if step > lookAhead {
			return time.Time{}
		}
		from, to = to, after.Add(step)
		next = f(job, to)
	}
	for to.Sub(from) > lookStep {
		middle := from.Add(to.Sub(from) / 2)
		if tick := f(job, middle); tick.After(after) {
			next, to = tick, middle
		} else {
			from = middle
		}
	}
	return next
}

// Every is for jobs that run at a fixed interval, such as a gocron.DurationJob: the tick is the last multiple of d, as by
// [time.Time.Truncate]. When such a job fires depends on when its instance started. From one multiple of d to the next, the instance
// that fires first runs it. d must be the interval of the job. If it is 0 or less, there are no ticks.
func Every(d time.Duration) TickFunc {
	return func(_ string, now time.Time) time.Time {
		return cronlock.Tick(cron.ConstantDelaySchedule{Delay: d}, now)
	}
}

// Crontab is for jobs that run at certain times, with the arguments of gocron.CronJob and the location of the scheduler:
// the tick is the last time of the crontab that the clock has come to or is about to come to. It also serves a
// gocron.DailyJob, WeeklyJob or MonthlyJob, with a crontab that names the same times. The error says that the crontab
// cannot be read. A nil location is the time zone of the machine, which should be the same on all.
func Crontab(crontab string, withSeconds bool, location *time.Location) (TickFunc, error) {
	if location == nil {
		location = time.Local
	}
	spec := crontab
	if !strings.HasPrefix(spec, "TZ=") && !strings.HasPrefix(spec, "CRON_TZ=") {
		spec = "CRON_TZ=" + location.String() + " " + spec
	}
	fields := cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor
	if withSeconds {
		fields |= cron.SecondOptional
	}
	schedule, err := cron.NewParser(fields).Parse(spec)
	if err != nil {
		return nil, fmt.Errorf("redislock: crontab %q: %w", crontab, err)
	}
	if every, ok := schedule.(cron.ConstantDelaySchedule); ok {
		return Every(every.Delay), nil
	}
	schedule = cronlock.CatchUp(schedule) // gocron too runs a job of the hour that the clocks skip after the change
	return func(_ string, now time.Time) time.Time {
		last, next := cronlock.Tick(schedule, now), schedule.Next(now)
		// gocron sleeps until a time comes, and does not look at the clock again. If the clock was put back meanwhile, the
		// job fires a moment early.
		if early := next.Sub(now); !next.IsZero() && early <= min(next.Sub(last)/10, time.Second) {
			return next.Round(0)
		}
		return last
	}, nil
}
