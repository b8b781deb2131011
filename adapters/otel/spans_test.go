package otellock_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"example.com/redislock"
	otellock "example.com/redislock/adapters/otel"
	"example.com/redislock/redislocktest"
)

// traced is an Observer with a recorder of its spans, and of those of callers.
type traced struct {
	*otellock.Observer
	*tracetest.SpanRecorder
	trace.Tracer
}

func traceAll(t testing.TB, opts ...otellock.Option) traced {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder))
	o, err := otellock.New(append([]otellock.Option{otellock.WithTracerProvider(provider), otellock.WithMeterProvider(noop.NewMeterProvider())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return traced{o, recorder, provider.Tracer("caller")}
}

// of are the ended spans of that name.
func (x traced) of(name string) []sdk.ReadOnlySpan {
	var found []sdk.ReadOnlySpan
	for _, s := range x.Ended() {
		if s.Name() == name {
			found = append(found, s)
		}
	}
	return found
}

func has(s sdk.ReadOnlySpan, key string, value any) bool {
	return slices.ContainsFunc(s.Attributes(), func(kv attribute.KeyValue) bool { return string(kv.Key) == key && kv.Value.AsInterface() == value })
}

// Two services have a Client each. The span of the one that waited is linked to the span of the holder.
func TestAWaitIsLinkedToTheHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := traceAll(t)
		s := redislocktest.New(t, redislock.WithName("api-1"), redislock.WithObserver(x), redislock.WithTrace(otellock.Traceparent))
		waiter := s.NewClient(redislock.WithName("api-2"), redislock.WithObserver(x), redislock.WithTrace(otellock.Traceparent))

		holding, holderSpan := x.Start(t.Context(), "import")
		lock, err := s.Client.Acquire(holding, "n")
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(3*time.Second, func() {
			if err := lock.Release(context.Background()); err != nil {
				t.Error(err)
			}
			holderSpan.End()
		})
		waiting, waiterSpan := x.Start(t.Context(), "request")
		if err := waiter.Do(waiting, "n", func(context.Context) error { return nil }); err != nil {
			t.Fatal(err)
		}
		waiterSpan.End()
		synctest.Wait()

		waits, holds := x.of("redislock wait"), x.of("redislock hold")
		if len(waits) != 1 || len(holds) != 1 {
			t.Fatalf("%d spans of waits and %d of holds, want one each: that of the waiter, and that of the holder", len(waits), len(holds))
		}
		wait, hold := waits[0], holds[0]
		if wait.Parent().SpanID() != waiterSpan.SpanContext().SpanID() || hold.Parent().SpanID() != holderSpan.SpanContext().SpanID() {
			t.Error("the spans are not below those of their callers")
		}
		if len(wait.Links()) != 1 || wait.Links()[0].SpanContext.SpanID() != holderSpan.SpanContext().SpanID() ||
			wait.Links()[0].SpanContext.TraceID() != holderSpan.SpanContext().TraceID() {
			t.Errorf("links %v, want one to the holder's span %v", wait.Links(), holderSpan.SpanContext())
		}
		if took := wait.EndTime().Sub(wait.StartTime()); took < 3*time.Second || took > 3100*time.Millisecond {
			t.Errorf("the wait took %v, want 3 s", took)
		}
		if !has(wait, "redislock.holder.client", "api-1") || !has(wait, "redislock.queued", true) || !has(wait, "redislock.name", "n") {
			t.Errorf("attributes %v", wait.Attributes())
		}
	})
}

func TestAWaitIsLinkedToWhatTheHolderSent(t *testing.T) {
	x := traceAll(t)
	_, holder := x.Start(t.Context(), "holder")
	sent := otellock.Traceparent(trace.ContextWithSpan(t.Context(), holder))
	ctx, caller := x.Start(t.Context(), "caller")
	for _, e := range []redislock.Event{
		{Kind: redislock.EventGranted, Wait: time.Minute},
		{Kind: redislock.EventGaveUp, Wait: time.Minute, Err: redislock.ErrHeld},
	} {
		e.Context, e.Holder = ctx, redislock.Owner{Client: "api-1", Trace: sent}
		x.Observe(e)
	}
	waits := x.of("redislock wait")
	if len(waits) != 2 {
		t.Fatalf("%d spans of waits, want 2", len(waits))
	}
	for _, wait := range waits {
		if len(wait.Links()) != 1 || wait.Links()[0].SpanContext.SpanID() != holder.SpanContext().SpanID() || !wait.Links()[0].SpanContext.IsRemote() {
			t.Errorf("links %v, want one to %v", wait.Links(), holder.SpanContext())
		}
		if took := wait.EndTime().Sub(wait.StartTime()); took != time.Minute || wait.Parent().SpanID() != caller.SpanContext().SpanID() {
			t.Errorf("took %v below %v, want a minute below the caller's span", took, wait.Parent().SpanID())
		}
	}
	if waits[0].Status().Code != codes.Unset || waits[1].Status().Code != codes.Error || !has(waits[1], "error.type", "held") {
		t.Errorf("%v and %v, want an error for the wait that was given up", waits[0].Status(), waits[1].Status())
	}
}

func TestTextThatIsNoTraceparentIsIgnored(t *testing.T) {
	x := traceAll(t)
	ctx, _ := x.Start(t.Context(), "caller")
	hostile := []string{
		"", "x", "00-00000000000000000000000000000000-0000000000000000-01", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra", strings.Repeat("00-", 1000), "\x00\xff\n", "<script>",
	}
	for _, text := range hostile {
		x.Observe(redislock.Event{Kind: redislock.EventGranted, Context: ctx, Wait: time.Second, Holder: redislock.Owner{Trace: text, Client: "\xff"}, Name: "\xff<b>"})
	}
	waits := x.of("redislock wait")
	if len(waits) != len(hostile) {
		t.Fatalf("%d spans, want %d", len(waits), len(hostile))
	}
	for i, wait := range waits {
		if len(wait.Links()) > 0 {
			t.Errorf("a link to %q", hostile[i])
		}
		if !has(wait, "redislock.name", "\uFFFD<b>") {
			t.Errorf("attributes %v, want a name in valid UTF-8", wait.Attributes())
		}
	}
}

func TestEndsOfHolds(t *testing.T) {
	for _, c := range []struct {
		event    redislock.Event
		end, why string // why "": no failure
	}{
		{redislock.Event{Kind: redislock.EventReleased}, "released", ""},
		{redislock.Event{Kind: redislock.EventHandedOff}, "handed off", ""},
		{redislock.Event{Kind: redislock.EventReleased, Err: io.EOF}, "released", "network"},
		{redislock.Event{Kind: redislock.EventLost, Err: redislock.ErrLost}, "lost", "lost"},
		{redislock.Event{Kind: redislock.EventStolen, Err: redislock.ErrStolen}, "stolen", "stolen"},
	} {
		x := traceAll(t)
		ctx, _ := x.Start(t.Context(), "caller")
		c.event.Context, c.event.Held, c.event.Fence, c.event.Weight = ctx, time.Hour, 7, 3
		x.Observe(c.event)
		holds := x.of("redislock hold")
		if len(holds) != 1 {
			t.Fatalf("%v: %d spans, want 1", c.event.Kind, len(holds))
		}
		hold := holds[0]
		if hold.EndTime().Sub(hold.StartTime()) != time.Hour || !has(hold, "redislock.end", c.end) || !has(hold, "redislock.fence", int64(7)) ||
			!has(hold, "redislock.weight", int64(3)) || !has(hold, "redislock.mode", "exclusive") {
			t.Errorf("%v: %v to %v, %v", c.event.Kind, hold.StartTime(), hold.EndTime(), hold.Attributes())
		}
		if failed := hold.Status().Code == codes.Error; failed != (c.why != "") || failed && !has(hold, "error.type", c.why) {
			t.Errorf("%v: status %v, %v", c.event.Kind, hold.Status(), hold.Attributes())
		}
	}
}

// Thousands of locks a second must not be thousands of spans.
func TestWhatIsBriefIsNoSpanUnlessItFailed(t *testing.T) {
	brief := []redislock.Event{
		{Kind: redislock.EventGranted, Wait: time.Millisecond},
		{Kind: redislock.EventGranted, Wait: time.Millisecond, Queued: true},
		{Kind: redislock.EventReleased, Held: time.Millisecond},
		{Kind: redislock.EventGaveUp, Wait: time.Millisecond, Err: redislock.ErrHeld},
	}
	failed := []redislock.Event{
		{Kind: redislock.EventGaveUp, Wait: time.Millisecond, Err: redislock.ErrPermission},
		{Kind: redislock.EventLost, Held: time.Millisecond, Err: redislock.ErrLost},
	}
	long := []redislock.Event{
		{Kind: redislock.EventGranted, Wait: otellock.DefaultSpanThreshold},
		{Kind: redislock.EventChanged, Mode: redislock.Write, Wait: time.Second},
		{Kind: redislock.EventGaveUp, Wait: time.Second, Err: redislock.ErrHeld},
		{Kind: redislock.EventReleased, Held: otellock.DefaultSpanThreshold},
	}
	all := slices.Concat(brief, failed, long)
	for name, c := range map[string]struct {
		opts   []otellock.Option
		events []redislock.Event
		orphan bool
		want   int
	}{
		"brief":             {nil, brief, false, 0},
		"failed":            {nil, failed, false, 2},
		"long":              {nil, long, false, 4},
		"all, by threshold": {[]otellock.Option{otellock.WithSpanThreshold(0)}, all, false, 10},
		"a high threshold":  {[]otellock.Option{otellock.WithSpanThreshold(time.Hour)}, all, false, 2},
		"without spans":     {[]otellock.Option{otellock.WithoutSpans(), otellock.WithSpanThreshold(0)}, all, false, 0},
		"without a caller":  {nil, all, true, 0},
		"roots":             {[]otellock.Option{otellock.WithRootSpans()}, all, true, 6},
	} {
		x := traceAll(t, c.opts...)
		ctx := t.Context()
		if !c.orphan {
			ctx, _ = x.Start(ctx, "caller")
		}
		for _, e := range c.events {
			e.Context = ctx
			x.Observe(e)
		}
		if got := len(x.Ended()); got != c.want {
			t.Errorf("%s: %d spans, want %d", name, got, c.want)
		}
	}
}

func TestWhatHappensMeanwhileIsAnEventOfTheCallersSpan(t *testing.T) {
	x := traceAll(t)
	ctx, span := x.Start(t.Context(), "caller")
	x.Observe(redislock.Event{Kind: redislock.EventRenewalFailed, Context: ctx, Name: "n", Err: io.EOF})
	x.Observe(redislock.Event{Kind: redislock.EventFailOpen, Context: ctx, Name: "n", Err: io.EOF})
	x.Observe(redislock.Event{Kind: redislock.EventRequested, Context: ctx, Name: "n", Why: "deploy\xff", Holder: redislock.Owner{Client: "operator"}})
	x.Observe(redislock.Event{Kind: redislock.EventRenewed, Context: ctx, Name: "n"})
	x.Observe(redislock.Event{Kind: redislock.EventRenewalFailed, Name: "n"}) // an event without a context does no harm
	span.End()
	events := x.of("caller")[0].Events()
	var names []string
	for _, e := range events {
		names = append(names, e.Name)
	}
	if want := []string{"redislock renewal failed", "redislock fail-open", "redislock requested"}; !slices.Equal(names, want) {
		t.Fatalf("events %q, want %q", names, want)
	}
	if why := attribute.String("redislock.reason", "deploy\uFFFD"); !slices.Contains(events[2].Attributes, why) {
		t.Errorf("%v, want %v", events[2].Attributes, why)
	}
	x.Observe(redislock.Event{Kind: redislock.EventRenewalFailed, Context: ctx, Name: "n"}) // nor does one whose span has ended
}

func TestTraceparent(t *testing.T) {
	x := traceAll(t)
	ctx, span := x.Start(t.Context(), "caller")
	want := "00-" + span.SpanContext().TraceID().String() + "-" + span.SpanContext().SpanID().String() + "-01"
	if got := otellock.Traceparent(ctx); got != want || len(got) > redislock.MaxTrace {
		t.Errorf("%q, want %q", got, want)
	}
	if got := otellock.Traceparent(t.Context()); got != "" {
		t.Errorf("%q without a span", got)
	}
	unsampled, _ := sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample())).Tracer("").Start(t.Context(), "dropped")
	if got := otellock.Traceparent(unsampled); got != "" {
		t.Errorf("%q of a span that is not sampled", got)
	}
}
