package main

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // containers often have no time zones of their own

	"github.com/robfig/cron/v3"

	"example.com/redislock"
	cronlock "example.com/redislock/adapters/cron"
)

// schedule names the ticks of a job: the same instants on every node, whatever its clock says.
type schedule interface {
	// Next is the first tick after t, zero if there is none within five years.
	Next(t time.Time) time.Time
}

// multiples are the instants in UTC that are a multiple of a duration, as [time.Time.Truncate] counts: those of 5m are
// at the full five minutes, those of 24h at midnight, those of 168h on Mondays.
type multiples time.Duration

func (m multiples) Next(t time.Time) time.Time {
	return t.UTC().Truncate(time.Duration(m)).Add(time.Duration(m))
}

// zoned is a cron expression in a time zone, for one that does not name its own.
type zoned struct {
	cron.Schedule
	zone *time.Location
}

func (z zoned) Next(t time.Time) time.Time { return z.Schedule.Next(t.In(z.zone)) }

// expressions are those of crontab(5), with seconds in front if there are six fields, and names such as @daily.
var expressions = cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// parseSchedule reads a duration or a cron expression, which is in that time zone unless it names its own by CRON_TZ.
func parseSchedule(text string, zone *time.Location) (schedule, error) {
	text = strings.TrimSpace(text)
	if d, err := time.ParseDuration(text); err == nil {
		if d < time.Second || d > maxTickMemory-minTickMemory {
			return nil, fmt.Errorf("must be from 1s to %v", maxTickMemory-minTickMemory)
		}
		return multiples(d), nil
	}
	expression := text
	if ownZone(text) {
		var found bool
		if _, expression, found = strings.Cut(text, " "); !found {
			return nil, fmt.Errorf("a time zone without a cron expression")
		}
	}
	if every, found := strings.CutPrefix(strings.TrimSpace(expression), "@every"); found {
		return nil, fmt.Errorf("counts from the start of a process, so each node would have other times; the duration alone (%s) means the same times on all nodes", strings.TrimSpace(every))
	}
	parsed, err := expressions.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("neither a duration such as 5m nor a cron expression: %w", err)
	}
	s := zoned{cronlock.CatchUp(parsed), zone}
	if s.Next(time.Now()).IsZero() {
		return nil, fmt.Errorf("has no time in the next five years")
	}
	return s, nil
}

// ownZone reports whether a cron expression names its time zone.
func ownZone(expression string) bool {
	expression = strings.TrimSpace(expression)
	return strings.HasPrefix(expression, "CRON_TZ=") || strings.HasPrefix(expression, "TZ=")
}

// latest is the last tick that is not after now; zero if there was none in the last ten years.
func latest(s schedule, now time.Time) time.Time {
	if m, ok := s.(multiples); ok {
		return now.UTC().Truncate(time.Duration(m))
	}
	return cronlock.Tick(s, now)
}

// Bounds of how long a tick is remembered, as redislock.WithTickMemory has them.
const (
	minTickMemory = redislock.DefaultTickMemory
	maxTickMemory = 365 * 24 * time.Hour
)

// memory is how long a tick is to be remembered: until somebody who is late by the usual time begins it just before the
// next one. It follows from the schedule and the tick, so that all nodes mean the same.
func memory(s schedule, tick time.Time) time.Duration {
	next := s.Next(tick)
	if next.IsZero() {
		return maxTickMemory
	}
	return min(next.Sub(tick)+minTickMemory, maxTickMemory)
}
