package gocronlock

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	cronlock "example.com/redislock/adapters/cron"
)

// TickFunc names the tick that a job has come to on an instance whose clock shows now: the time for which it is
// scheduled, which all instances must name alike. As now goes on, ticks do not go back. Zero says that the job has no ticks.
type TickFunc func(job string, now time.Time) time.Time

// lookAhead is how far away a tick is looked for that is to come, and lookStep how near to it the search comes.
const (
	lookAhead = 5 * 366 * 24 * time.Hour
	lookStep  = time.Millisecond
)

// next is the first tick after a time; zero if there is none. Ticks do not go back as the time goes on: so it halves the time in which it is.
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

// Every is for jobs that run every so often, such as a gocron.DurationJob: the tick is the last multiple of d,
// as by [time.Time.Truncate]. When such a job fires depends on when its instance started, so in each span from one multiple to the next
// it is run by the instance that fires first in it. d must be the interval of the job. If it is not more than 0, there
// are no ticks.
func Every(d time.Duration) TickFunc {
	return func(_ string, now time.Time) time.Time {
		return cronlock.Tick(cron.ConstantDelaySchedule{Delay: d}, now)
	}
}

// Crontab is for jobs that run at certain times, with the arguments of gocron.CronJob and the location of the scheduler:
// the tick is the last time of the crontab that the clock has come to, or is about to. It also serves a gocron.DailyJob,
// WeeklyJob or MonthlyJob, with a crontab which names their times of day. The error is that of a crontab that cannot be
// read. A nil location is that of the machine, which should be the same on all.
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
	schedule = cronlock.CatchUp(schedule) // of the hour that the clocks skip, as gocron runs it after the transition
	return func(_ string, now time.Time) time.Time {
		last, next := cronlock.Tick(schedule, now), schedule.Next(now)
		// gocron sleeps until a time comes, and does not look at the clock again: if that was put back meanwhile, the job
		// fires a moment early.
		if early := next.Sub(now); !next.IsZero() && early <= min(next.Sub(last)/10, time.Second) {
			return next.Round(0)
		}
		return last
	}, nil
}
