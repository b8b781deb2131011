package prometheuslock_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"example.com/redislock"
	"example.com/redislock/adapters/internal/telemetry/lives"
	prometheuslock "example.com/redislock/adapters/prometheus"
	"example.com/redislock/redislocktest"
)

// The gauges return to 0, whatever the end was.
func TestGaugesReturnToZeroAfterEveryEnd(t *testing.T) {
	lives.Run(t, func() redislock.Observer { return &counting{Observer: observer(t)} }, func(t *testing.T, o redislock.Observer) {
		for _, gauge := range []string{"redislock_held", "redislock_waiting"} {
			if got := value(t, o, gauge, "kind", "lock"); got != 0 {
				t.Errorf("%s is %v in the end", gauge, got)
			}
		}
		c := o.(*counting)
		granted, waited, held := value(t, o, "redislock_grants_total"), count(t, o, "redislock_wait_seconds"), count(t, o, "redislock_hold_seconds")
		if granted != c.granted+c.upgraded || held != c.granted || waited != c.asked {
			t.Errorf("%v grants, the times of %v waits and of %v holds; asked %v, granted %v, upgraded %v", granted, waited, held, c.asked, c.granted, c.upgraded)
		}
	})
}

// counting is an Observer that also counts the events.
type counting struct {
	*prometheuslock.Observer
	mu                       sync.Mutex
	asked, granted, upgraded float64
}

func (c *counting) Observe(e redislock.Event) {
	c.Observer.Observe(e)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case e.Kind == redislock.EventAsked:
		c.asked++
	case e.Kind == redislock.EventGranted:
		c.granted++
	case e.Kind == redislock.EventChanged && e.Mode == redislock.Write:
		c.upgraded++
	}
}

func TestGaugesShowWhoHoldsAndWhoWaits(t *testing.T) {
	o := observer(t)
	s := redislocktest.New(t, redislock.WithObserver(o))
	ctx := t.Context()
	lock, err := s.Client.Acquire(ctx, "n")
	if err != nil {
		t.Fatal(err)
	}
	queued := make(chan struct{})
	waiter := s.NewClient(redislock.WithObserver(redislock.ObserverFunc(func(e redislock.Event) {
		o.Observe(e)
		if e.Kind == redislock.EventQueued {
			close(queued)
		}
	})))
	done := make(chan error)
	go func() { done <- waiter.Do(ctx, "n", func(context.Context) error { return nil }) }()
	<-queued
	if held, waiting := value(t, o, "redislock_held"), value(t, o, "redislock_waiting"); held != 1 || waiting != 1 {
		t.Errorf("%v held and %v waiting, want 1 and 1", held, waiting)
	}
	if err := errors.Join(lock.Release(ctx), <-done); err != nil {
		t.Error(err)
	}
	if queued := value(t, o, "redislock_queued_total"); queued != 1 {
		t.Errorf("%v queued, want 1", queued)
	}
}

func TestEachEventIsCounted(t *testing.T) {
	refused := &redislock.HeldError{}
	for _, c := range []struct {
		event  redislock.Event
		metric string
		labels []string
		want   float64
	}{
		{redislock.Event{Kind: redislock.EventAsked}, "redislock_waiting", nil, 1},
		{redislock.Event{Kind: redislock.EventQueued}, "redislock_queued_total", nil, 1},
		{redislock.Event{Kind: redislock.EventGranted}, "redislock_grants_total", nil, 1},
		{redislock.Event{Kind: redislock.EventGranted}, "redislock_held", nil, 1},
		{redislock.Event{Kind: redislock.EventGaveUp, Err: refused}, "redislock_gave_ups_total", []string{"reason", "held"}, 1},
		{redislock.Event{Kind: redislock.EventGaveUp, Err: redislock.ErrMode}, "redislock_gave_ups_total", []string{"reason", "mode"}, 1},
		{redislock.Event{Kind: redislock.EventGaveUp}, "redislock_gave_ups_total", []string{"reason", "other"}, 1},
		{redislock.Event{Kind: redislock.EventRenewed}, "redislock_renewals_total", nil, 1},
		{redislock.Event{Kind: redislock.EventRenewalFailed, Err: io.EOF}, "redislock_renewal_failures_total", []string{"reason", "network"}, 1},
		{redislock.Event{Kind: redislock.EventLost}, "redislock_losses_total", nil, 1},
		{redislock.Event{Kind: redislock.EventLost}, "redislock_held", nil, -1},
		{redislock.Event{Kind: redislock.EventStolen}, "redislock_steals_total", nil, 1},
		{redislock.Event{Kind: redislock.EventStolen}, "redislock_losses_total", nil, 0},
		{redislock.Event{Kind: redislock.EventStolen}, "redislock_held", nil, -1},
		{redislock.Event{Kind: redislock.EventReleased}, "redislock_held", nil, -1},
		{redislock.Event{Kind: redislock.EventReleased, Err: redislock.ErrNotHeld}, "redislock_release_failures_total", []string{"reason", "not_held"}, 1},
		{redislock.Event{Kind: redislock.EventHandedOff}, "redislock_handoffs_total", nil, 1},
		{redislock.Event{Kind: redislock.EventHandedOff}, "redislock_held", nil, -1},
		{redislock.Event{Kind: redislock.EventNotKept, Err: io.EOF}, "redislock_not_kept_total", nil, 1},
		{redislock.Event{Kind: redislock.EventFailOpen, Err: io.EOF}, "redislock_fail_opens_total", nil, 1},
		{redislock.Event{Kind: redislock.EventRequested}, "redislock_requests_total", nil, 1},
		{redislock.Event{Kind: redislock.EventDropped, Dropped: 7}, "redislock_dropped_events_total", nil, 7},
		{redislock.Event{Kind: redislock.EventSubscribeFailed, Err: io.EOF}, "redislock_subscribe_failures_total", nil, 1},
		{redislock.Event{Kind: redislock.EventChanged, Mode: redislock.Write}, "redislock_held", nil, 0},
		{redislock.Event{Kind: redislock.EventChanged, Mode: redislock.Write}, "redislock_waiting", nil, -1},
		{redislock.Event{Kind: redislock.EventChanged, Mode: redislock.Read}, "redislock_waiting", nil, 0},
		{redislock.Event{Kind: redislock.EventKind(200)}, "redislock_held", nil, 0},
	} {
		o := observer(t)
		o.Observe(c.event)
		if got := value(t, o, c.metric, append(c.labels, "kind", "lock")...); got != c.want {
			t.Errorf("after %v (%v): %s%v is %v, want %v", c.event.Kind, c.event.Err, c.metric, c.labels, got, c.want)
		}
	}
}

func TestTimesAreInSeconds(t *testing.T) {
	o := observer(t)
	o.Observe(redislock.Event{Kind: redislock.EventGranted, Name: "cron:report", Wait: 1500 * time.Millisecond})
	o.Observe(redislock.Event{Kind: redislock.EventReleased, Name: "cron:report", Held: 2 * time.Hour})
	wait := gather(t, o, "redislock_wait_seconds", "kind", "cron").GetHistogram()
	hold := gather(t, o, "redislock_hold_seconds", "kind", "cron").GetHistogram()
	if wait.GetSampleSum() != 1.5 || hold.GetSampleSum() != 7200 {
		t.Errorf("waited %v s and held %v s, want 1.5 and 7200", wait.GetSampleSum(), hold.GetSampleSum())
	}
	for _, b := range hold.GetBucket() {
		if in := b.GetCumulativeCount() == 1; in != (b.GetUpperBound() >= 7200) {
			t.Errorf("2 h in the bucket up to %v s: %v", b.GetUpperBound(), in)
		}
	}
}

// increase() does not see a step from nothing to 1.
func TestFailuresBeginAtZero(t *testing.T) {
	o := observer(t, prometheuslock.WithLabel(func(name string) string { return name }))
	o.Observe(redislock.Event{Kind: redislock.EventAsked, Name: "a"})
	for name, reason := range map[string]string{
		"redislock_losses_total": "", "redislock_steals_total": "", "redislock_fail_opens_total": "",
		"redislock_renewal_failures_total": "network", "redislock_release_failures_total": "not_held", "redislock_gave_ups_total": "permission",
	} {
		labels := []string{"lock", "a"}
		if reason != "" {
			labels = append(labels, "reason", reason)
		}
		if m := gather(t, o, name, labels...); m == nil || m.GetCounter().GetValue() != 0 {
			t.Errorf("%s%v is %v, want 0", name, labels, m)
		}
	}
}

func TestNamesAreInNoMetricUnlessLetThrough(t *testing.T) {
	const name = "invoice/42-of-somebody"
	all := func(o prometheus.Collector) string {
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(o)
		return scrape(t, registry)
	}
	for _, o := range []*prometheuslock.Observer{
		observer(t),
		observer(t, prometheuslock.WithLabel(func(name string) string {
			kind, _, _ := strings.Cut(name, "/")
			return kind
		})),
	} {
		for kind := range redislock.EventDraining {
			o.Observe(redislock.Event{Kind: kind + 1, Name: name, Err: errors.New(name), Why: name, Holder: redislock.Owner{Client: name}})
		}
		if text := all(o); strings.Contains(text, "42") {
			t.Errorf("a name came through:\n%s", text)
		}
	}
	o := observer(t, prometheuslock.WithLabel(func(string) string { return "invoice" }))
	for _, name := range []string{"invoice/1", "invoice/2"} {
		o.Observe(redislock.Event{Kind: redislock.EventGranted, Name: name})
	}
	if got := value(t, o, "redislock_grants_total", "lock", "invoice"); got != 2 {
		t.Errorf("%v grants of invoice, want 2", got)
	}
}

func TestHostileNamesDoNoHarm(t *testing.T) {
	o := observer(t, prometheuslock.WithLabel(func(name string) string { return name }))
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(o)
	hostile := []string{"\xff\xfe", "a\"} 1\nredislock_losses_total 99\n", "a\\", strings.Repeat("é", 256), "{{ . }}", "\x00"}
	for _, name := range hostile {
		o.Observe(redislock.Event{Kind: redislock.EventGranted, Name: name})
	}
	text := scrape(t, registry)
	if strings.Contains(text, "\nredislock_losses_total 99") {
		t.Error("a name made a sample of its own")
	}
	if got := strings.Count(text, "\nredislock_held{"); got != len(hostile) {
		t.Errorf("%d series of held, want %d", got, len(hostile))
	}
}

func TestOneObserverForManyClients(t *testing.T) {
	o := observer(t, prometheuslock.WithLabel(func(name string) string { return name }))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				o.Observe(redislock.Event{Kind: redislock.EventAsked, Name: "n"})
				o.Observe(redislock.Event{Kind: redislock.EventGranted, Name: "n"})
				o.Observe(redislock.Event{Kind: redislock.EventReleased, Name: "n"})
			}
		})
	}
	all.Wait()
	if grants, held := value(t, o, "redislock_grants_total"), value(t, o, "redislock_held"); grants != 1600 || held != 0 {
		t.Errorf("%v granted and %v held, want 1600 and 0", grants, held)
	}
}

func TestTheMetricsAreWellNamed(t *testing.T) {
	for _, o := range []*prometheuslock.Observer{observer(t), observer(t, prometheuslock.WithLabel(strings.ToUpper))} {
		o.Observe(redislock.Event{Kind: redislock.EventAsked, Name: "n"})
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(o)
		problems, err := testutil.GatherAndLint(registry)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// The metrics of real locks, as Prometheus reads them.
func TestOverHTTP(t *testing.T) {
	o := observer(t)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(o)
	s := redislocktest.New(t, redislock.WithObserver(o))
	if err := s.Client.Do(t.Context(), "n", func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	text := scrape(t, registry)
	for _, line := range []string{
		`redislock_grants_total{kind="lock"} 1`, `redislock_wait_seconds_count{kind="lock"} 1`, `redislock_hold_seconds_count{kind="lock"} 1`,
		`redislock_held{kind="lock"} 0`, `redislock_losses_total{kind="lock"} 0`, "# TYPE redislock_waiting gauge",
	} {
		if !slices.Contains(strings.Split(text, "\n"), line) {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
}

// The user's label function may panic for a name that it did not expect. The gauges must return to 0 all the same.
func TestALabelThatPanicsLeavesNoGaugeUp(t *testing.T) {
	o := observer(t, prometheuslock.WithLabel(func(string) string { panic("an unknown name") }))
	observe := func(e redislock.Event) {
		defer func() {
			if recover() == nil {
				t.Error("the panic is hidden")
			}
		}()
		o.Observe(e)
	}
	for _, kind := range []redislock.EventKind{redislock.EventAsked, redislock.EventGranted, redislock.EventReleased} {
		observe(redislock.Event{Kind: kind, Name: "n"})
	}
	if waiting, held, grants := value(t, o, "redislock_waiting"), value(t, o, "redislock_held"), value(t, o, "redislock_grants_total"); waiting != 0 || held != 0 || grants != 1 {
		t.Errorf("%v waiting, %v held, %v grants", waiting, held, grants)
	}
}

func TestOptionsThatCannotWork(t *testing.T) {
	for name, opt := range map[string]prometheuslock.Option{
		"nil": nil, "no function": prometheuslock.WithLabel(nil), "no buckets": prometheuslock.WithBuckets(),
		"zero": prometheuslock.WithBuckets(0, 1), "falling": prometheuslock.WithBuckets(1, 3, 2), "equal": prometheuslock.WithBuckets(1, 1),
		"not a number": prometheuslock.WithBuckets(1, math.NaN()), "first not a number": prometheuslock.WithBuckets(math.NaN()),
	} {
		if _, err := prometheuslock.New(opt); !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if o := observer(t, prometheuslock.WithBuckets(0.5, 2)); len(gather(t, o, "redislock_wait_seconds").GetHistogram().GetBucket()) != 2 {
		t.Error("WithBuckets made other buckets")
	}
}

func observer(t testing.TB, opts ...prometheuslock.Option) *prometheuslock.Observer {
	t.Helper()
	o, err := prometheuslock.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func scrape(t testing.TB, g prometheus.Gatherer) string {
	t.Helper()
	server := httptest.NewServer(promhttp.HandlerFor(g, promhttp.HandlerOpts{}))
	defer server.Close()
	response, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v\n%s", response.Status, err, text)
	}
	return string(text)
}
