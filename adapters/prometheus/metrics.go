package prometheuslock

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"example.com/redislock"
	"example.com/redislock/adapters/internal/telemetry"
)

// LabelValues returns every value that the label "kind" or "reason" can have, for dashboards and rules. It is nil for any other
// label.
func LabelValues(label string) []string {
	switch label {
	case "kind":
		return slices.Clone(telemetry.Kinds)
	case "reason":
		return slices.Clone(telemetry.Reasons)
	}
	return nil
}

// metrics are all that is exported.
type metrics struct {
	wait, hold                                               *prometheus.HistogramVec
	waiting, held                                            *prometheus.GaugeVec
	queued, grants, gaveUps                                  *prometheus.CounterVec
	renewals, renewalFailures, releaseFailures               *prometheus.CounterVec
	losses, steals, handoffs                                 *prometheus.CounterVec
	notKept, failOpens, requests, subscribeFailures, dropped *prometheus.CounterVec
}

func newMetrics(s settings) metrics {
	labels := []string{"kind"}
	if s.label != nil {
		labels = append(labels, "lock")
	}
	withReason := append(labels[:len(labels):len(labels)], "reason")
	histogram := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "redislock", Name: name, Help: help, Buckets: s.buckets}, labels)
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "redislock", Name: name, Help: help}, labels)
	}
	counter := func(name, help string, labels []string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "redislock", Name: name, Help: help}, labels)
	}
	return metrics{
		wait:              histogram("wait_seconds", "How long callers waited for a lock, until they had it or gave up."),
		hold:              histogram("hold_seconds", "How long locks were held, counted when the hold ended."),
		waiting:           gauge("waiting", "Callers of this process that wait for a lock or for the answer of Redis."),
		held:              gauge("held", "Locks that this process holds."),
		queued:            counter("queued_total", "Acquires that found the lock held and got a place in its queue.", labels),
		grants:            counter("grants_total", "Locks that were granted, upgrades included.", labels),
		gaveUps:           counter("gave_ups_total", "Acquires that ended without the lock, by reason.", withReason),
		renewals:          counter("renewals_total", "Renewals that succeeded: the lease began anew.", labels),
		renewalFailures:   counter("renewal_failures_total", "Renewals without an answer or with an error, by reason; each is tried again until the lease ends.", withReason),
		releaseFailures:   counter("release_failures_total", "Releases that the server may not know of, by reason; not_held: the lock had been lost before, unnoticed.", withReason),
		losses:            counter("losses_total", "Locks that were lost while they were held, except those that were stolen.", labels),
		steals:            counter("steals_total", "Locks that were stolen from this process, or broken by an operator.", labels),
		handoffs:          counter("handoffs_total", "Holds that were handed off for another process to resume.", labels),
		notKept:           counter("not_kept_total", "Shared values that could not be kept for others, or could not be fetched anew.", labels),
		failOpens:         counter("fail_opens_total", "Answers of a weak lock that were yes because Redis could not be reached.", labels),
		requests:          counter("requests_total", "Requests by others that a lock of this process be given up.", labels),
		dropped:           counter("dropped_events_total", "Events that were not observed: the observer was too slow, or panicked. From then on gauges may be wrong by as much.", labels),
		subscribeFailures: counter("subscribe_failures_total", "Outages of the subscription, in which waits are served by checks.", labels),
	}
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{
		m.wait, m.hold, m.waiting, m.held, m.queued, m.grants, m.gaveUps, m.renewals, m.renewalFailures, m.releaseFailures,
		m.losses, m.steals, m.handoffs, m.notKept, m.failOpens, m.requests, m.subscribeFailures, m.dropped,
	}
}

// series are the metrics with the labels of some locks.
type series struct {
	wait, hold                                               prometheus.Observer
	waiting, held                                            prometheus.Gauge
	queued, grants, renewals                                 prometheus.Counter
	losses, steals, handoffs                                 prometheus.Counter
	notKept, failOpens, requests, subscribeFailures, dropped prometheus.Counter
	gaveUps, renewalFailures, releaseFailures                func(error) prometheus.Counter
}

// begin makes all series of some locks. The counters of failures begin at 0 for the reasons that are to be expected:
// increase() and rate() do not see the step from nothing to 1, so the first failure would raise no alert.
func (m *metrics) begin(id identity, labelled bool) *series {
	labels := []string{id.kind}
	if labelled {
		labels = append(labels, id.lock)
	}
	byReason := func(v *prometheus.CounterVec, expected ...string) func(error) prometheus.Counter {
		with := func(reason string) prometheus.Counter {
			return v.WithLabelValues(append(labels[:len(labels):len(labels)], reason)...)
		}
		for _, reason := range expected {
			with(reason)
		}
		return func(err error) prometheus.Counter {
			reason := telemetry.Reason(err)
			if reason == "" {
				reason = "other"
			}
			return with(reason)
		}
	}
	return &series{
		wait: m.wait.WithLabelValues(labels...), hold: m.hold.WithLabelValues(labels...),
		waiting: m.waiting.WithLabelValues(labels...), held: m.held.WithLabelValues(labels...),
		queued: m.queued.WithLabelValues(labels...), grants: m.grants.WithLabelValues(labels...),
		renewals: m.renewals.WithLabelValues(labels...), losses: m.losses.WithLabelValues(labels...),
		steals: m.steals.WithLabelValues(labels...), handoffs: m.handoffs.WithLabelValues(labels...),
		notKept: m.notKept.WithLabelValues(labels...), failOpens: m.failOpens.WithLabelValues(labels...),
		requests:          m.requests.WithLabelValues(labels...),
		dropped:           m.dropped.WithLabelValues(labels...),
		subscribeFailures: m.subscribeFailures.WithLabelValues(labels...),
		gaveUps:           byReason(m.gaveUps, "held", "deadline", "canceled", "unanswered", "network", "server", "permission"),
		renewalFailures:   byReason(m.renewalFailures, "network", "unanswered", "server", "permission", "other"),
		releaseFailures:   byReason(m.releaseFailures, "network", "unanswered", "server", "not_held"),
	}
}

// end is for the events after which a lock is not held any more.
func (s *series) end(e redislock.Event) {
	s.held.Dec()
	s.hold.Observe(e.Held.Seconds())
}
