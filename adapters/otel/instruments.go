package otellock

import (
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/metric"

	"example.com/redislock"
	"example.com/redislock/adapters/internal/telemetry"
)

// instruments are all metrics.
type instruments struct {
	wait, hold             metric.Float64Histogram
	waiters, holds         metric.Int64UpDownCounter
	acquisitions, renewals metric.Int64Counter
	counters               map[redislock.EventKind]metric.Int64Counter // of events that are counted as they are
}

func newInstruments(m metric.Meter) (instruments, error) {
	var failed error
	note := func(err error) {
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("redislock: otel: %w", err))
		}
	}
	histogram := func(name, description string) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
			metric.WithExplicitBucketBoundaries(telemetry.Buckets()...))
		note(err)
		return h
	}
	level := func(name, unit, description string) metric.Int64UpDownCounter {
		c, err := m.Int64UpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		note(err)
		return c
	}
	counter := func(name, unit, description string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		note(err)
		return c
	}
	all := instruments{
		wait:         histogram("redislock.wait.duration", "How long callers waited for a lock, until they had it or gave up."),
		hold:         histogram("redislock.hold.duration", "How long locks were held, recorded when the hold ended."),
		waiters:      level("redislock.waiters", "{waiter}", "Callers that wait for a lock or for the answer of Redis."),
		holds:        level("redislock.holds", "{hold}", "Locks that are held."),
		acquisitions: counter("redislock.acquisitions", "{acquisition}", "Acquires and upgrades that ended, granted or not."),
		renewals:     counter("redislock.renewals", "{renewal}", "Renewals of leases; one that failed is tried again until the lease ends."),
		counters: map[redislock.EventKind]metric.Int64Counter{
			redislock.EventLost:            counter("redislock.losses", "{loss}", "Locks that were lost while they were held, except those that were stolen."),
			redislock.EventStolen:          counter("redislock.steals", "{steal}", "Locks that were stolen or broken while they were held."),
			redislock.EventHandedOff:       counter("redislock.handoffs", "{handoff}", "Holds that were handed off for another process to resume."),
			redislock.EventNotKept:         counter("redislock.not_kept", "{value}", "Shared values that could not be kept for others, or could not be fetched anew."),
			redislock.EventFailOpen:        counter("redislock.fail_opens", "{answer}", "Answers of a weak lock that were yes because Redis could not be reached."),
			redislock.EventRequested:       counter("redislock.requests", "{request}", "Requests by others that a lock be given up."),
			redislock.EventDropped:         counter("redislock.dropped_events", "{event}", "Events that were not observed: the observer was too slow, or panicked. From then on levels may be wrong by as much."),
			redislock.EventSubscribeFailed: counter("redislock.subscribe_failures", "{outage}", "Outages of the subscription, in which waits are served by checks."),
		},
	}
	return all, failed
}
