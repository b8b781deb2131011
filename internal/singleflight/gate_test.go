package singleflight

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var errClosing = errors.New("closing")

func cause() error { return errClosing }

func TestTheCallersOfAGateGoOneAtATimeUntilOneConcernsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Gate
		var ran, at atomic.Int32
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				err := g.Pass(t.Context(), nil, cause, "n", func() (bool, error) {
					if at.Add(1) != 1 {
						t.Error("two go at once")
					}
					time.Sleep(time.Second)
					at.Add(-1)
					return ran.Add(1) == 3, nil // the third result is for all
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if ran.Load() != 3 {
			t.Errorf("%d ran, until the third concerned all", ran.Load())
		}
		_ = g.Pass(t.Context(), nil, cause, "n", func() (bool, error) { ran.Add(1); return true, nil })
		if ran.Load() != 4 {
			t.Error("who comes afterwards has what it did not wait for")
		}
		if len(g.all) != 0 {
			t.Error("a name that nobody is at is kept")
		}
	})
}

func TestAGateIsWaitedForNoLongerThanTheCallerWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Gate
		leave := make(chan struct{})
		go func() { _ = g.Pass(t.Context(), nil, cause, "n", func() (bool, error) { <-leave; return false, nil }) }()
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		never := func() (bool, error) { t.Error("it ran"); return false, nil }
		if err := g.Pass(short, nil, cause, "n", never); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("its context ended: %v", err)
		}
		closing := make(chan struct{})
		close(closing)
		if err := g.Pass(t.Context(), closing, cause, "n", never); err != errClosing {
			t.Errorf("closing: %v", err)
		}
		close(leave)
	})
}

func TestAPanicInAGateLetsTheNextOneGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Gate
		go func() {
			defer func() { _ = recover() }()
			_ = g.Pass(t.Context(), nil, cause, "n", func() (bool, error) { time.Sleep(time.Second); panic("p") })
		}()
		synctest.Wait()
		ran := false
		if err := g.Pass(t.Context(), nil, cause, "n", func() (bool, error) { ran = true; return false, nil }); err != nil || !ran {
			t.Errorf("after a panic: %v, %v", ran, err)
		}
	})
}
