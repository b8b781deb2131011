package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/adapters/internal/telemetry"
	"example.com/redislock/redislocktest"
)

func TestReasonOfEachError(t *testing.T) {
	timeout, end := context.WithTimeout(context.Background(), 0)
	defer end()
	_, dial := (&net.Dialer{}).DialContext(timeout, "tcp", "127.0.0.1:1")
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{redislock.ErrHeld, "held"},
		{&redislock.HeldError{}, "held"},
		{redislock.ErrNotHeld, "not_held"},
		{redislock.ErrLost, "lost"},
		{redislock.ErrStolen, "stolen"},
		{fmt.Errorf("%w: %w", redislock.ErrNotHeld, redislock.ErrStolen), "stolen"},
		{fmt.Errorf("%w: %w", redislock.ErrNotReplicated, io.EOF), "not_replicated"},
		{redislock.ErrDeadlock, "deadlock"},
		{redislock.ErrConflict, "conflict"},
		{redislock.ErrMode, "mode"},
		{redislock.ErrInvalid, "invalid"},
		{fmt.Errorf("%w: a record", redislock.ErrDamaged), "damaged"},
		{redislock.ErrClosed, "closed"},
		{redislock.ErrPermission, "permission"},
		{context.Canceled, "canceled"},
		{errors.Join(redislock.ErrHeld, context.Canceled), "canceled"},
		{errors.Join(redislock.ErrHeld, context.DeadlineExceeded), "deadline"},
		{fmt.Errorf("no answer: %w", context.DeadlineExceeded), "unanswered"},
		{io.EOF, "network"},
		{fmt.Errorf("read: %w", io.ErrUnexpectedEOF), "network"},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, "network"},
		{dial, "network"},
		{redis.ErrPoolTimeout, "network"},
		{redis.ErrClosed, "network"},
		{redis.ErrPoolExhausted, "network"},
		{redis.Nil, "server"},
		{errors.New("held by another: lock stolen"), "other"}, // a text means nothing
	} {
		got := telemetry.Reason(c.err)
		if got != c.want {
			t.Errorf("Reason(%v) = %q, want %q", c.err, got, c.want)
		}
		if got != "" && !slices.Contains(telemetry.Reasons, got) {
			t.Errorf("%q is not among the reasons", got)
		}
	}
}

func TestReasonOfRealErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := redislocktest.New(t)
		ctx := t.Context()
		lock, err := s.Client.Acquire(ctx, "n")
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Release(ctx)

		other := s.NewClient()
		expect := func(want string, err error) {
			t.Helper()
			if got := telemetry.Reason(err); got != want {
				t.Errorf("Reason(%v) = %q, want %q", err, got, want)
			}
		}
		_, err = other.TryAcquire(ctx, "n")
		expect("held", err)
		_, err = other.Acquire(ctx, "n", redislock.WithWait(time.Second))
		expect("held", err)
		brief, end := context.WithTimeout(ctx, time.Second)
		defer end()
		_, err = other.Acquire(brief, "n")
		expect("deadline", err)

		s.Miniredis.SetError("ERR out of order")
		_, err = other.TryAcquire(ctx, "n")
		expect("server", err)
		s.Miniredis.SetError("")
		if _, err = other.Acquire(ctx, ""); telemetry.Reason(err) != "invalid" {
			t.Errorf("an empty name: %v", err)
		}
		closed, err := redislock.New(s.Connect())
		if err != nil {
			t.Fatal(err)
		}
		if err := closed.Close(ctx); err != nil {
			t.Fatal(err)
		}
		_, err = closed.Acquire(ctx, "n")
		expect("closed", err)
	})
}

func TestKindComesFromTheNamesOfTheLibrary(t *testing.T) {
	for name, want := range map[string]string{
		"invoice/42": "lock", "": "lock", "elect": "lock", "elect:billing": "election", "cron:report": "cron",
		"tick:report@2026-11-21T00:00:00Z": "tick", "once:migrate": "once", "share:rates": "share", "cronjob:x": "lock", ":": "lock",
		"a:elect:b": "lock",
	} {
		got := telemetry.Kind(name)
		if got != want {
			t.Errorf("Kind(%q) = %q, want %q", name, got, want)
		}
		if !slices.Contains(telemetry.Kinds, got) {
			t.Errorf("%q is not among the kinds", got)
		}
	}
}

func TestBucketsRise(t *testing.T) {
	b := telemetry.Buckets()
	if !slices.IsSorted(b) || len(slices.Compact(slices.Clone(b))) != len(b) || b[0] > 0.001 || b[len(b)-1] < 3600 {
		t.Errorf("%v: want 1 ms to hours, rising", b)
	}
}
