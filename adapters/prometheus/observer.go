// Package prometheuslock makes metrics for Prometheus of the locks of a [redislock.Client]. An [Observer] is a
// [redislock.Observer] and a [prometheus.Collector]:
//
//	metrics, err := prometheuslock.New()
//	…
//	prometheus.MustRegister(metrics)
//	client, err := redislock.New(rdb, redislock.WithObserver(metrics))
//
// One Observer serves any number of Clients. A dashboard for Grafana and alert rules are in docs/monitoring.
//
// Every metric has the label kind, which says what the locks are for: lock, cron, tick, election, once or share. Counters
// of failures have the label reason, a word of a fixed set, such as held, deadline, network or permission. With [WithLabel]
// all metrics have the label lock too.
package prometheuslock

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"example.com/redislock"
	"example.com/redislock/adapters/internal/telemetry"
)

// Observer counts and measures. It is safe for use by many goroutines.
type Observer struct {
	metrics
	label  func(string) string // nil: no label
	series sync.Map            // of identity to *series
}

// identity has the values of the labels that all series of a lock have.
type identity struct{ kind, lock string }

// New makes an Observer, which exports nothing until it is registered.
func New(opts ...Option) (*Observer, error) {
	var s settings
	if err := s.apply(opts); err != nil {
		return nil, err
	}
	o := &Observer{label: s.label, metrics: newMetrics(s)}
	if s.label == nil {
		o.of(identity{kind: telemetry.Kind("")}) // so that there is something to see before the first lock
	}
	return o, nil
}

// Describe is that of a [prometheus.Collector].
func (o *Observer) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range o.all() {
		c.Describe(ch)
	}
}

// Collect is that of a [prometheus.Collector].
func (o *Observer) Collect(ch chan<- prometheus.Metric) {
	for _, c := range o.all() {
		c.Collect(ch)
	}
}

// Observe is that of a [redislock.Observer].
func (o *Observer) Observe(e redislock.Event) {
	id := identity{kind: telemetry.Kind(e.Name)}
	defer func() { o.of(id).count(e) }() // also if label panics: a gauge that was increased must be decreased
	if o.label != nil {
		id.lock = telemetry.Text(o.label(e.Name))
	}
}

func (s *series) count(e redislock.Event) {
	switch e.Kind {
	case redislock.EventAsked:
		s.waiting.Inc()
	case redislock.EventQueued:
		s.queued.Inc()
	case redislock.EventGranted:
		s.waiting.Dec()
		s.held.Inc()
		s.grants.Inc()
		s.wait.Observe(e.Wait.Seconds())
	case redislock.EventChanged:
		if telemetry.Upgraded(e) {
			s.waiting.Dec()
			s.grants.Inc()
			s.wait.Observe(e.Wait.Seconds())
		}
	case redislock.EventGaveUp:
		s.waiting.Dec()
		s.wait.Observe(e.Wait.Seconds())
		s.gaveUps(e.Err).Inc()
	case redislock.EventRenewed:
		s.renewals.Inc()
	case redislock.EventRenewalFailed:
		s.renewalFailures(e.Err).Inc()
	case redislock.EventLost:
		s.end(e)
		s.losses.Inc()
	case redislock.EventStolen:
		s.end(e)
		s.steals.Inc()
	case redislock.EventReleased:
		s.end(e)
		if e.Err != nil {
			s.releaseFailures(e.Err).Inc()
		}
	case redislock.EventHandedOff:
		s.end(e)
		s.handoffs.Inc()
	case redislock.EventNotKept:
		s.notKept.Inc()
	case redislock.EventFailOpen:
		s.failOpens.Inc()
	case redislock.EventRequested:
		s.requests.Inc()
	case redislock.EventSubscribeFailed:
		s.subscribeFailures.Inc()
	case redislock.EventDropped:
		s.dropped.Add(float64(e.Dropped))
	}
}

// of is the series of locks with these labels.
func (o *Observer) of(id identity) *series {
	if s, ok := o.series.Load(id); ok {
		return s.(*series)
	}
	s, _ := o.series.LoadOrStore(id, o.begin(id, o.label != nil))
	return s.(*series)
}
