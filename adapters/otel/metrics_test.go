package otellock_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"example.com/redislock"
	"example.com/redislock/adapters/internal/telemetry/lives"
	otellock "example.com/redislock/adapters/otel"
)

// measured is an Observer with a reader of its metrics.
type measured struct {
	*otellock.Observer
	reader *sdk.ManualReader
}

func measure(t testing.TB, opts ...otellock.Option) measured {
	t.Helper()
	reader := sdk.NewManualReader()
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))
	o, err := otellock.New(append([]otellock.Option{otellock.WithMeterProvider(provider)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return measured{o, reader}
}

// point is what one series of a metric shows.
type point struct {
	value  float64 // of a sum; the sum of a histogram
	count  uint64
	bounds []float64
}

// points are all series of a metric, by attributes such as "redislock.kind=lock".
func (m measured) points(t testing.TB, name string) map[string]point {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := m.reader.Collect(context.Background(), &data); err != nil {
		t.Fatal(err)
	}
	found := map[string]point{}
	for _, scope := range data.ScopeMetrics {
		for _, metric := range scope.Metrics {
			if metric.Name != name {
				continue
			}
			switch d := metric.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					found[text(p.Attributes)] = point{value: float64(p.Value)}
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					found[text(p.Attributes)] = point{p.Sum, p.Count, p.Bounds}
				}
			}
		}
	}
	return found
}

func text(s attribute.Set) string { return s.Encoded(attribute.DefaultEncoder()) }

// Waiters and holds return to 0, whatever the end was.
func TestLevelsReturnToZeroAfterEveryEnd(t *testing.T) {
	lives.Run(t, func() redislock.Observer { return measure(t) }, func(t *testing.T, o redislock.Observer) {
		m := o.(measured)
		for _, level := range []string{"redislock.holds", "redislock.waiters"} {
			for series, p := range m.points(t, level) {
				if p.value != 0 {
					t.Errorf("%s{%s} is %v in the end", level, series, p.value)
				}
			}
		}
		if len(m.points(t, "redislock.waiters")) == 0 {
			t.Error("nothing was observed")
		}
	})
}

func TestEachEventIsCounted(t *testing.T) {
	const lock = "redislock.kind=lock"
	for _, c := range []struct {
		event  redislock.Event
		metric string
		series string
		want   float64
	}{
		{redislock.Event{Kind: redislock.EventAsked}, "redislock.waiters", lock, 1},
		{redislock.Event{Kind: redislock.EventGranted}, "redislock.waiters", lock, -1},
		{redislock.Event{Kind: redislock.EventGranted}, "redislock.holds", lock, 1},
		{redislock.Event{Kind: redislock.EventGranted, Queued: true}, "redislock.acquisitions", lock + ",redislock.queued=true", 1},
		{redislock.Event{Kind: redislock.EventGaveUp, Err: redislock.ErrHeld}, "redislock.waiters", lock, -1},
		{redislock.Event{Kind: redislock.EventGaveUp, Err: redislock.ErrHeld}, "redislock.acquisitions", "error.type=held," + lock + ",redislock.queued=false", 1},
		{redislock.Event{Kind: redislock.EventGaveUp, Err: errors.New("x")}, "redislock.acquisitions", "error.type=_OTHER," + lock + ",redislock.queued=false", 1},
		{redislock.Event{Kind: redislock.EventGaveUp, Err: redislock.ErrClosed, Wait: time.Second}, "redislock.wait.duration", "error.type=closed," + lock, 1},
		{redislock.Event{Kind: redislock.EventChanged, Mode: redislock.Write, Wait: time.Second}, "redislock.wait.duration", lock, 1},
		{redislock.Event{Kind: redislock.EventChanged, Mode: redislock.Write, Queued: true}, "redislock.acquisitions", lock + ",redislock.queued=true", 1},
		{redislock.Event{Kind: redislock.EventRenewed}, "redislock.renewals", lock, 1},
		{redislock.Event{Kind: redislock.EventRenewalFailed, Err: io.EOF}, "redislock.renewals", "error.type=network," + lock, 1},
		{redislock.Event{Kind: redislock.EventLost, Err: redislock.ErrLost}, "redislock.losses", lock, 1},
		{redislock.Event{Kind: redislock.EventLost, Err: redislock.ErrLost, Held: time.Second}, "redislock.hold.duration", "error.type=lost," + lock, 1},
		{redislock.Event{Kind: redislock.EventLost}, "redislock.holds", lock, -1},
		{redislock.Event{Kind: redislock.EventStolen, Err: redislock.ErrStolen}, "redislock.steals", lock, 1},
		{redislock.Event{Kind: redislock.EventStolen, Err: redislock.ErrStolen}, "redislock.losses", lock, 0},
		{redislock.Event{Kind: redislock.EventStolen, Held: time.Second}, "redislock.hold.duration", "error.type=stolen," + lock, 1},
		{redislock.Event{Kind: redislock.EventReleased}, "redislock.holds", lock, -1},
		{redislock.Event{Kind: redislock.EventReleased, Held: 90 * time.Minute}, "redislock.hold.duration", lock, 5400},
		{redislock.Event{Kind: redislock.EventReleased, Err: redislock.ErrNotHeld, Held: time.Second}, "redislock.hold.duration", "error.type=not_held," + lock, 1},
		{redislock.Event{Kind: redislock.EventHandedOff}, "redislock.handoffs", lock, 1},
		{redislock.Event{Kind: redislock.EventHandedOff}, "redislock.holds", lock, -1},
		{redislock.Event{Kind: redislock.EventNotKept, Name: "share:a"}, "redislock.not_kept", "redislock.kind=share", 1},
		{redislock.Event{Kind: redislock.EventFailOpen}, "redislock.fail_opens", lock, 1},
		{redislock.Event{Kind: redislock.EventRequested, Name: "elect:a"}, "redislock.requests", "redislock.kind=election", 1},
		{redislock.Event{Kind: redislock.EventSubscribeFailed}, "redislock.subscribe_failures", lock, 1},
		{redislock.Event{Kind: redislock.EventDropped, Dropped: 7}, "redislock.dropped_events", lock, 7},
	} {
		m := measure(t)
		m.Observe(c.event)
		if p, ok := m.points(t, c.metric)[c.series]; !ok || p.value != c.want {
			t.Errorf("after %v (%v): %s is %v, want %v of %s", c.event.Kind, c.event.Err, c.metric, m.points(t, c.metric), c.want, c.series)
		}
	}
}

func TestBucketsSuitLocks(t *testing.T) {
	m := measure(t)
	m.Observe(redislock.Event{Kind: redislock.EventGranted})
	bounds := m.points(t, "redislock.wait.duration")["redislock.kind=lock"].bounds
	if len(bounds) == 0 || bounds[0] != 0.001 || bounds[len(bounds)-1] < 3600 {
		t.Errorf("buckets %v, want 1 ms to hours", bounds)
	}
}

func TestNamesAreInNoMetricUnlessLetThrough(t *testing.T) {
	class := func(name string) string {
		class, _, found := strings.Cut(name, "/")
		if !found {
			return ""
		}
		return class
	}
	const series = "redislock.kind=lock"
	for want, opts := range map[string][]otellock.Option{series: nil, series + ",redislock.lock=invoice": {otellock.WithLabel(class)}} {
		m := measure(t, opts...)
		for i := range 100 {
			m.Observe(redislock.Event{Kind: redislock.EventAsked, Name: "invoice/" + string(rune('0'+i))})
		}
		if p := m.points(t, "redislock.waiters"); len(p) != 1 || p[want].value != 100 {
			t.Errorf("waiters %v, want 100 of %s", p, want)
		}
	}
	m := measure(t, otellock.WithLabel(class))
	m.Observe(redislock.Event{Kind: redislock.EventAsked, Name: "other"})
	m.Observe(redislock.Event{Kind: redislock.EventAsked, Name: "\xff\xfe/hostile"})
	p := m.points(t, "redislock.waiters")
	if p[series].value != 1 || p[series+",redislock.lock=\uFFFD"].value != 1 {
		t.Errorf("waiters %v, want one without a label and one in valid UTF-8", p)
	}
}

// The user's label function may panic for a name that it did not expect. Waiters and holds must return to 0 all the
// same.
func TestALabelThatPanicsLeavesNoLevelUp(t *testing.T) {
	m := measure(t, otellock.WithLabel(func(string) string { panic("an unknown name") }))
	observe := func(e redislock.Event) {
		defer func() {
			if recover() == nil {
				t.Error("the panic is hidden")
			}
		}()
		m.Observe(e)
	}
	for _, kind := range []redislock.EventKind{redislock.EventAsked, redislock.EventGranted, redislock.EventReleased} {
		observe(redislock.Event{Kind: kind, Name: "n"})
	}
	const series = "redislock.kind=lock"
	if waiters, holds, ended := m.points(t, "redislock.waiters"), m.points(t, "redislock.holds"), m.points(t, "redislock.hold.duration"); waiters[series].value != 0 || holds[series].value != 0 || ended[series].count != 1 {
		t.Errorf("%v waiting, %v held, %v ended", waiters, holds, ended)
	}
}

func TestOptionsThatCannotWork(t *testing.T) {
	for name, opt := range map[string]otellock.Option{
		"nil": nil, "no meters": otellock.WithMeterProvider(nil), "no tracers": otellock.WithTracerProvider(nil),
		"no label": otellock.WithLabel(nil), "threshold": otellock.WithSpanThreshold(-1),
	} {
		if _, err := otellock.New(opt); !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

// broken is a meter that makes no histograms.
type broken struct{ noop.MeterProvider }

func (broken) Meter(string, ...metric.MeterOption) metric.Meter { return brokenMeter{} }

type brokenMeter struct{ noop.Meter }

func (brokenMeter) Float64Histogram(string, ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return nil, io.ErrNoProgress
}

func TestAMeterThatFailsFailsNew(t *testing.T) {
	if _, err := otellock.New(otellock.WithMeterProvider(broken{})); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("%v, want the meter's error", err)
	}
}
