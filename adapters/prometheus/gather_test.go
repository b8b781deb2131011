package prometheuslock_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	dto "github.com/prometheus/client_model/go"

	"example.com/redislock"
)

// gather is the metric with these labels, given as pairs of name and value; nil if there is none. Other labels may
// have any value; of several metrics it is the first.
func gather(t testing.TB, o redislock.Observer, name string, labels ...string) *dto.Metric {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(o.(prometheus.Collector)); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
	next:
		for _, m := range family.GetMetric() {
			have := map[string]string{}
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			for i := 0; i < len(labels); i += 2 {
				if have[labels[i]] != labels[i+1] {
					continue next
				}
			}
			return m
		}
	}
	return nil
}

// value is that of a counter or gauge, 0 if there is none.
func value(t testing.TB, o redislock.Observer, name string, labels ...string) float64 {
	t.Helper()
	m := gather(t, o, name, labels...)
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

// count is how many values a histogram has seen.
func count(t testing.TB, o redislock.Observer, name string, labels ...string) float64 {
	t.Helper()
	return float64(gather(t, o, name, labels...).GetHistogram().GetSampleCount())
}
