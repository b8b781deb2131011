package monitoring

import (
	"context"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// sample is one line of /metrics.
type sample struct {
	labels labels.Labels
	value  float64
}

// scrape is what Prometheus would read, as the target app of instance a.
func scrape(t testing.TB, g prometheus.Gatherer) []sample {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var all []sample
	for _, family := range families {
		for _, m := range family.GetMetric() {
			put := func(suffix string, value float64, more ...string) {
				text := append([]string{model.MetricNameLabel, family.GetName() + suffix, "job", "app", "instance", "a"}, more...)
				for _, l := range m.GetLabel() {
					text = append(text, l.GetName(), l.GetValue())
				}
				all = append(all, sample{labels.FromStrings(text...), value})
			}
			switch family.GetType() {
			case dto.MetricType_COUNTER:
				put("", m.GetCounter().GetValue())
			case dto.MetricType_GAUGE:
				put("", m.GetGauge().GetValue())
			case dto.MetricType_HISTOGRAM:
				h := m.GetHistogram()
				for _, b := range h.GetBucket() {
					put("_bucket", float64(b.GetCumulativeCount()), "le", strconv.FormatFloat(b.GetUpperBound(), 'g', -1, 64))
				}
				put("_bucket", float64(h.GetSampleCount()), "le", strconv.FormatFloat(math.Inf(1), 'g', -1, 64))
				put("_sum", h.GetSampleSum())
				put("_count", float64(h.GetSampleCount()))
			default:
				t.Fatalf("a %v is not known here", family.GetType())
			}
		}
	}
	return all
}

// database keeps what was scraped, for Prometheus's own engine.
type database struct {
	series map[uint64]*promql.Series
	order  []uint64
}

func (d *database) add(at time.Time, all []sample) {
	if d.series == nil {
		d.series = map[uint64]*promql.Series{}
	}
	for _, s := range all {
		id := s.labels.Hash()
		if d.series[id] == nil {
			d.series[id] = &promql.Series{Metric: s.labels}
			d.order = append(d.order, id)
		}
		d.series[id].Floats = append(d.series[id].Floats, promql.FPoint{T: at.UnixMilli(), F: s.value})
	}
}

func (d *database) Querier(int64, int64) (storage.Querier, error) {
	return &storage.MockQuerier{SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		found := &seriesSet{}
		for _, id := range d.order {
			s := d.series[id]
			if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.Metric.Get(m.Name)) }) {
				found.left = append(found.left, s)
			}
		}
		slices.SortFunc(found.left, func(a, b *promql.Series) int { return labels.Compare(a.Metric, b.Metric) })
		return found
	}}, nil
}

// seriesSet are series, one after the other.
type seriesSet struct {
	at   *promql.Series
	left []*promql.Series
}

func (s *seriesSet) Next() bool {
	if len(s.left) == 0 {
		return false
	}
	s.at, s.left = s.left[0], s.left[1:]
	return true
}
func (s *seriesSet) At() storage.Series                { return promql.NewStorageSeries(*s.at) }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

var engine = promql.NewEngine(promql.EngineOpts{MaxSamples: 10_000_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute})

// ask is the result of an expression at a time.
func (d *database) ask(t testing.TB, expr string, at time.Time) promql.Vector {
	t.Helper()
	q, err := engine.NewInstantQuery(context.Background(), d, nil, expr, at)
	if err != nil {
		t.Fatalf("%v in %s", err, expr)
	}
	defer q.Close()
	v, err := q.Exec(context.Background()).Vector()
	if err != nil {
		t.Fatalf("%v in %s", err, expr)
	}
	return slices.Clone(v)
}
