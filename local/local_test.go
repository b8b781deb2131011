package local_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/local"
)

func start(t testing.TB) *local.Server {
	t.Helper()
	s, err := local.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestClientsOfOneServerShareTheirLocksAndThoseOfTwoDoNot(t *testing.T) {
	ctx := t.Context()
	s, apart := start(t), start(t)
	other, err := s.NewClient()
	if err != nil {
		t.Fatal(err)
	}
	lock, err := s.Client.Acquire(ctx, "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.TryAcquire(ctx, "x"); !errors.Is(err, redislock.ErrHeld) {
		t.Errorf("another Client of the server: %v", err)
	}
	if err := apart.Client.Do(ctx, "x", func(context.Context) error { return nil }, redislock.WithWait(0)); err != nil {
		t.Errorf("a Client of another server: %v", err)
	}
	next := make(chan error)
	go func() {
		next <- other.Do(ctx, "x", func(context.Context) error { return nil })
	}()
	for {
		info, err := s.Client.Inspect(ctx, "x")
		if err != nil {
			t.Fatal(err)
		}
		if info.Waiting == 1 {
			break
		}
		runtime.Gosched()
	}
	if err := errors.Join(lock.Release(ctx), <-next); err != nil {
		t.Error(err)
	}
}

// Leases end by the real clock. That holds for locks, whose deadline the scripts compare with the server's time, and for keys
// that expire.
func TestLeasesEndByTheRealClock(t *testing.T) {
	ctx := t.Context()
	s := start(t)
	began := time.Now()
	short := []redislock.Option{redislock.WithLease(redislock.MinLease), redislock.WithoutRenewal()}
	lock, err := s.Client.Acquire(ctx, "x", short...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client.AcquireWeak(ctx, "x", redislock.WithLease(redislock.MinLease)); err != nil {
		t.Fatal(err)
	}
	if first, err := s.Client.First(ctx, "x", redislock.MinLease); !first || err != nil {
		t.Errorf("%v, %v", first, err)
	}
	other, err := s.NewClient()
	if err != nil {
		t.Fatal(err)
	}
	next, err := other.Acquire(ctx, "x")
	if err != nil {
		t.Fatal(err)
	}
	weak, err := other.AcquireWeak(ctx, "x")
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < redislock.MinLease*9/10 {
		t.Errorf("both had ended after %v", took)
	}
	if !errors.Is(lock.Err(), redislock.ErrLost) || next.Fence() <= lock.Fence() {
		t.Errorf("the first holder says %v; fence %d after %d", lock.Err(), next.Fence(), lock.Fence())
	}
	for first := false; !first; {
		if first, err = other.First(ctx, "x", time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(next.Release(ctx), weak.Release(ctx)); err != nil {
		t.Error(err)
	}
}

func TestCloseEndsTheServerAndNamesWhatIsStillHeld(t *testing.T) {
	before := runtime.NumGoroutine()
	s, err := local.New()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.NewClient(); err != nil {
		t.Fatal(err)
	}
	lock, err := s.Client.Acquire(t.Context(), "still held")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `"still held"`) {
		t.Errorf("close: %v", err)
	}
	if lock.Err() == nil {
		t.Error("the lock outlives its server")
	}
	if err := s.Close(ctx); err != nil {
		t.Errorf("a second close: %v", err)
	}
	if _, err := s.NewClient(); !errors.Is(err, redislock.ErrClosed) {
		t.Errorf("a Client after Close: %v", err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			buffer := make([]byte, 1<<20)
			t.Fatalf("goroutines are left:\n%s", buffer[:runtime.Stack(buffer, true)])
		}
		runtime.Gosched()
	}
}

func TestAnOptionThatCannotWorkStartsNothing(t *testing.T) {
	if _, err := local.New(redislock.WithPrefix("")); !errors.Is(err, redislock.ErrInvalid) {
		t.Error(err)
	}
}

// An acquire and its release, with this number of other names in memory.
func BenchmarkPair(b *testing.B) {
	for _, names := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("names=%d", names), func(b *testing.B) {
			ctx := b.Context()
			s := start(b)
			pair := func(i int) {
				lock, err := s.Client.Acquire(ctx, fmt.Sprint("name/", i))
				if err != nil {
					b.Fatal(err)
				}
				if err := lock.Release(ctx); err != nil {
					b.Fatal(err)
				}
			}
			for i := range names {
				pair(i)
			}
			i := 0
			for b.Loop() {
				i++
				pair(i % names)
			}
		})
	}
}

func TestAServerThatNewHasNotMadeSaysSo(t *testing.T) {
	for _, s := range []*local.Server{nil, {}} {
		if _, err := s.NewClient(); !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("NewClient said %v", err)
		}
		if err := s.Close(t.Context()); !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("Close said %v", err)
		}
	}
}
