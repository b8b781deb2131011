package singleflight

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func newGroup() *Group[string, int] {
	return &Group[string, int]{Panicked: func(value any, _ []byte) error { return fmt.Errorf("panic: %v", value) }}
}

// A caller that comes as the last one leaves gets a new call, and not the end of the other's context.
func TestNobodyJoinsACallThatItsLastCallerHasLeft(t *testing.T) {
	g := newGroup()
	fn := func(ctx context.Context) (int, error) {
		for range 5 {
			runtime.Gosched()
		}
		return 0, ctx.Err()
	}
	var all, leaving sync.WaitGroup
	var over atomic.Bool
	for range 4 {
		all.Go(func() {
			for !over.Load() {
				if _, _, err := g.Do(context.Background(), "n", fn); err != nil {
					t.Errorf("a caller whose context never ends: %v", err)
					return
				}
			}
		})
		leaving.Go(func() {
			for range 5000 {
				ctx, leave := context.WithCancel(context.Background())
				go leave()
				_, _, _ = g.Do(ctx, "n", fn)
			}
		})
	}
	all.Go(func() {
		for !over.Load() {
			g.mu.Lock()
			for _, here := range g.calls {
				if here.callers == 0 {
					t.Error("a call without callers can be joined")
					over.Store(true)
				}
			}
			g.mu.Unlock()
			runtime.Gosched()
		}
	})
	leaving.Wait()
	over.Store(true)
	all.Wait()
}

func TestManyCallersCauseOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup()
		var calls atomic.Int32
		var all sync.WaitGroup
		var began atomic.Int32
		for range 50 {
			all.Go(func() {
				v, mine, err := g.Do(t.Context(), "n", func(context.Context) (int, error) {
					calls.Add(1)
					time.Sleep(time.Second)
					return 7, nil
				})
				if v != 7 || err != nil {
					t.Errorf("a caller got %d, %v", v, err)
				}
				if mine {
					began.Add(1)
				}
			})
		}
		all.Wait()
		if calls.Load() != 1 || began.Load() != 1 {
			t.Errorf("%d calls, begun by %d", calls.Load(), began.Load())
		}
	})
}

func TestACallEndsWithItsLastCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup()
		ended := make(chan time.Duration, 1)
		start := time.Now()
		fn := func(ctx context.Context) (int, error) {
			<-ctx.Done()
			ended <- time.Since(start)
			return 0, ctx.Err()
		}
		for _, patience := range []time.Duration{time.Second, 3 * time.Second, 2 * time.Second} {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if _, _, err := g.Do(ctx, "n", fn); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a caller who left: %v", err)
				}
			}()
		}
		if after := <-ended; after != 3*time.Second {
			t.Errorf("the call ended after %v, the last caller left after 3s", after)
		}
	})
}

// If the context of the caller that began the call ends, the others do not get that error: one of them begins another
// call.
func TestTheEndOfOneCallersContextIsNoAnswerForTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup()
		first, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			_, mine, err := g.Do(first, "n", func(context.Context) (int, error) {
				<-first.Done()
				return 0, CallersEnd{first.Err()}
			})
			if !mine || !errors.Is(err, context.Canceled) {
				t.Errorf("who began: %v, %v", mine, err)
			}
		})
		synctest.Wait()
		all.Go(func() {
			if v, mine, err := g.Do(t.Context(), "n", func(context.Context) (int, error) { return 9, nil }); v != 9 || !mine || err != nil {
				t.Errorf("who came later: %d, %v, %v", v, mine, err)
			}
		})
		synctest.Wait()
		cancel()
		all.Wait()
	})
}

func TestAPanicAndTheEndOfTheGoroutineAreErrors(t *testing.T) {
	g := newGroup()
	if _, _, err := g.Do(t.Context(), "n", func(context.Context) (int, error) { panic("p") }); err == nil || err.Error() != "panic: p" {
		t.Errorf("a panic: %v", err)
	}
	if _, _, err := g.Do(t.Context(), "n", func(context.Context) (int, error) { runtime.Goexit(); return 0, nil }); !errors.Is(err, ErrGoexit) {
		t.Errorf("the end of the goroutine: %v", err)
	}
}

func TestWhoComesAfterForgetBeginsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup()
		release := make(chan struct{})
		var calls atomic.Int32
		fn := func(context.Context) (int, error) { calls.Add(1); <-release; return 0, nil }
		for range 2 {
			for _, key := range []string{"a", "b"} {
				go func() { _, _, _ = g.Do(t.Context(), key, fn) }()
			}
			synctest.Wait()
			g.Forget(func(key string) bool { return key == "a" })
		}
		if calls.Load() != 3 {
			t.Errorf("%d calls, instead of two for a and one for b", calls.Load())
		}
		close(release)
	})
}
