package sloglock_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/redislock"
	sloglock "example.com/redislock/adapters/slog"
	"example.com/redislock/redislocktest"
)

// logged is what an Observer logs of one event, nil if nothing.
func logged(t *testing.T, level slog.Leveler, e redislock.Event, opts ...sloglock.Option) map[string]any {
	t.Helper()
	var out bytes.Buffer
	o, err := sloglock.New(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: level})), opts...)
	if err != nil {
		t.Fatal(err)
	}
	o.Observe(e)
	if out.Len() == 0 {
		return nil
	}
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
	return line
}

func TestLevels(t *testing.T) {
	held := &redislock.HeldError{}
	for _, c := range []struct {
		event redislock.Event
		level string
	}{
		{redislock.Event{Kind: redislock.EventAsked}, "DEBUG"},
		{redislock.Event{Kind: redislock.EventQueued}, "DEBUG"},
		{redislock.Event{Kind: redislock.EventGranted, Wait: sloglock.DefaultLongWait - 1}, "DEBUG"},
		{redislock.Event{Kind: redislock.EventGranted, Wait: sloglock.DefaultLongWait}, "INFO"},
		{redislock.Event{Kind: redislock.EventGaveUp, Err: held}, "DEBUG"},
		{redislock.Event{Kind: redislock.EventGaveUp, Err: held, Wait: time.Minute}, "INFO"},
		{redislock.Event{Kind: redislock.EventGaveUp, Err: redislock.ErrClosed}, "DEBUG"},
		{redislock.Event{Kind: redislock.EventGaveUp, Err: io.EOF}, "WARN"},
		{redislock.Event{Kind: redislock.EventGaveUp, Err: redislock.ErrPermission}, "WARN"},
		{redislock.Event{Kind: redislock.EventGaveUp, Err: context.DeadlineExceeded}, "WARN"},
		{redislock.Event{Kind: redislock.EventGaveUp, Err: errors.Join(redislock.ErrHeld, context.DeadlineExceeded)}, "DEBUG"},
		{redislock.Event{Kind: redislock.EventRenewed}, "DEBUG"},
		{redislock.Event{Kind: redislock.EventRenewalFailed, Err: io.EOF}, "WARN"},
		{redislock.Event{Kind: redislock.EventLost, Err: redislock.ErrLost}, "ERROR"},
		{redislock.Event{Kind: redislock.EventStolen, Err: redislock.ErrStolen}, "WARN"},
		{redislock.Event{Kind: redislock.EventReleased}, "DEBUG"},
		{redislock.Event{Kind: redislock.EventReleased, Err: io.EOF}, "WARN"},
		{redislock.Event{Kind: redislock.EventReleased, Err: redislock.ErrNotHeld}, "ERROR"},
		{redislock.Event{Kind: redislock.EventChanged}, "DEBUG"},
		{redislock.Event{Kind: redislock.EventChanged, Mode: redislock.Write, Wait: time.Minute}, "INFO"},
		{redislock.Event{Kind: redislock.EventHandedOff}, "DEBUG"},
		{redislock.Event{Kind: redislock.EventNotKept, Err: io.EOF}, "WARN"},
		{redislock.Event{Kind: redislock.EventFailOpen, Err: io.EOF}, "WARN"},
		{redislock.Event{Kind: redislock.EventRequested}, "INFO"},
		{redislock.Event{Kind: redislock.EventSubscribeFailed, Err: io.EOF}, "WARN"},
		{redislock.Event{Kind: redislock.EventDraining}, "INFO"},
		{redislock.Event{Kind: redislock.EventSelfWait, Err: redislock.ErrDeadlock}, "WARN"},
		{redislock.Event{Kind: redislock.EventKind(99)}, "DEBUG"},
	} {
		if got := logged(t, slog.LevelDebug, c.event)["level"]; got != c.level {
			t.Errorf("%v (%v, waited %v) at %v, want %s", c.event.Kind, c.event.Err, c.event.Wait, got, c.level)
		}
	}
	if line := logged(t, slog.LevelInfo, redislock.Event{Kind: redislock.EventGranted}); line != nil {
		t.Errorf("%v although the logger takes information and above", line)
	}
}

func TestEachKindHasAMessageOfItsOwn(t *testing.T) {
	seen := map[any]redislock.EventKind{}
	for kind := redislock.EventAsked; kind <= redislock.EventSelfWait; kind++ {
		message := logged(t, slog.LevelDebug, redislock.Event{Kind: kind, Name: "secret", Why: "secret", Err: errors.New("secret")})["msg"]
		if other, known := seen[message]; known || strings.Contains(message.(string), "secret") || strings.HasPrefix(message.(string), "lock: ") {
			t.Errorf("the message of %v is %q, as of %v", kind, message, other)
		}
		seen[message] = kind
	}
}

func TestAttributes(t *testing.T) {
	owner := redislock.Owner{Client: "api-1", Host: "node-3", PID: 12, Metadata: "import", Trace: "00-x"}
	line := logged(t, slog.LevelDebug, redislock.Event{
		Kind: redislock.EventGaveUp, Name: "invoice/42", Mode: redislock.Semaphore(3), Weight: 2, Wait: 1500*time.Millisecond + 7,
		Queued: true, Holder: owner, Err: redislock.ErrHeld, Held: time.Hour,
	})
	holder, _ := line["holder"].(map[string]any)
	for key, want := range map[string]any{
		"lock": "invoice/42", "mode": redislock.Semaphore(3).String(), "weight": 2.0, "wait": 1.5e9, "queued": true, "reason": "held",
		"error": redislock.ErrHeld.Error(), "held": nil, "fence": nil, "by": nil, "why": nil,
	} {
		if line[key] != want {
			t.Errorf("%s is %v, want %v", key, line[key], want)
		}
	}
	for key, want := range map[string]any{"client": "api-1", "host": "node-3", "pid": 12.0, "metadata": "import", "trace": "00-x"} {
		if holder[key] != want {
			t.Errorf("%s of the holder is %v, want %v", key, holder[key], want)
		}
	}
	line = logged(t, slog.LevelDebug, redislock.Event{Kind: redislock.EventLost, Name: "n", Fence: 7, Held: time.Minute, Err: redislock.ErrLost})
	if line["fence"] != 7.0 || line["held"] != 6e10 || line["reason"] != "lost" || line["wait"] != nil || line["holder"] != nil {
		t.Errorf("of a loss: %v", line)
	}
	line = logged(t, slog.LevelDebug, redislock.Event{Kind: redislock.EventRequested, Name: "n", Holder: owner, Why: "deploy"})
	if by, _ := line["by"].(map[string]any); line["why"] != "deploy" || by["client"] != "api-1" {
		t.Errorf("of a request: %v", line)
	}
}

// Whatever text is in a name, a reason or an error, the log has one line, with one level and one message.
func TestHostileTextStaysInItsAttribute(t *testing.T) {
	hostile := "x\nlevel=ERROR msg=\"lock lost\" lock=\"\r\n\x1b[31m\x00\xff{\"level\":\"ERROR\"}"
	e := redislock.Event{
		Kind: redislock.EventGaveUp, Name: hostile, Why: hostile, Err: errors.New(hostile), Wait: time.Minute,
		Holder: redislock.Owner{Client: hostile, Host: hostile, Metadata: hostile, Trace: hostile},
	}
	for name, handler := range map[string]func(io.Writer) slog.Handler{
		"text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
		"json": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
	} {
		var out bytes.Buffer
		o, err := sloglock.New(slog.New(handler(&out)))
		if err != nil {
			t.Fatal(err)
		}
		o.Observe(e)
		text := out.String()
		if strings.Count(text, "\n") != 1 || strings.ContainsAny(text, "\x00\r\x1b") {
			t.Errorf("%s: %q, want one line without control characters", name, text)
		}
		if !strings.Contains(text, "lock not granted") {
			t.Errorf("%s: %q", name, text)
		}
	}
}

func TestOptions(t *testing.T) {
	var level slog.LevelVar
	level.Set(slog.LevelInfo)
	kept := sloglock.WithLevel(redislock.EventRenewed, &level)
	if line := logged(t, slog.LevelInfo, redislock.Event{Kind: redislock.EventRenewed}, kept); line["level"] != "INFO" {
		t.Errorf("%v, want information", line)
	}
	level.Set(slog.LevelDebug)
	if line := logged(t, slog.LevelInfo, redislock.Event{Kind: redislock.EventRenewed}, kept); line != nil {
		t.Errorf("%v after the level changed", line)
	}
	if line := logged(t, slog.LevelInfo, redislock.Event{Kind: redislock.EventGranted}, sloglock.WithLongWait(0)); line["level"] != "INFO" {
		t.Errorf("%v with WithLongWait(0)", line)
	}
	logger := slog.New(slog.DiscardHandler)
	for name, opt := range map[string]sloglock.Option{
		"nil": nil, "a negative wait": sloglock.WithLongWait(-1), "no level": sloglock.WithLevel(redislock.EventLost, nil),
		"no kind": sloglock.WithLevel(0, slog.LevelInfo), "an unknown kind": sloglock.WithLevel(99, slog.LevelInfo),
	} {
		if _, err := sloglock.New(logger, opt); !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if _, err := sloglock.New(nil); !errors.Is(err, redislock.ErrInvalid) {
		t.Errorf("without a logger: %v, want ErrInvalid", err)
	}
}

type traceID struct{}

// contextual adds what it finds in the context, as handlers do that put trace IDs into logs.
type contextual struct{ slog.Handler }

func (h contextual) Handle(ctx context.Context, r slog.Record) error {
	if id, ok := ctx.Value(traceID{}).(string); ok {
		r.AddAttrs(slog.String("trace_id", id))
	}
	return h.Handler.Handle(ctx, r)
}

// After a real wait the log names the holder that was waited for, and has the attributes of the caller's context.
func TestALongWaitForARealHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		o, err := sloglock.New(slog.New(contextual{slog.NewTextHandler(&out, nil)}))
		if err != nil {
			t.Fatal(err)
		}
		s := redislocktest.New(t, redislock.WithName("api-1"))
		waiter := s.NewClient(redislock.WithName("api-2"), redislock.WithObserver(o))
		lock, err := s.Client.Acquire(t.Context(), "n", redislock.WithMetadata("import of today"))
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Minute, func() { _ = lock.Release(context.Background()) })
		ctx := context.WithValue(t.Context(), traceID{}, "abc")
		if err := waiter.Do(ctx, "n", func(context.Context) error { return nil }); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		for _, want := range []string{
			"level=INFO", `msg="lock granted"`, "lock=n", "wait=1m0", "queued=true", "holder.client=api-1", `holder.metadata="import of today"`, "trace_id=abc",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("no %s in %q", want, text)
			}
		}
		if strings.Count(text, "\n") != 1 {
			t.Errorf("%q, want the long wait and nothing else", text)
		}
	})
}
