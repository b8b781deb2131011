package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// crowd is a lock with readers that hold it, and waiters of another Client behind a writer. It returns the readers, and what ends the
// waiters.
func (e *env) crowd(c *redislock.Client, name string, readers, waiters int) (locks []*redislock.Lock, end func()) {
	e.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	for range readers {
		locks = append(locks, e.acquire(c, name, redislock.WithMode(redislock.Read)))
	}
	other := e.client()
	gone := make(chan struct{}, waiters)
	for range waiters {
		go func() {
			defer func() { gone <- struct{}{} }()
			if l, err := other.Acquire(ctx, name, redislock.WithMode(redislock.Write)); err == nil {
				_ = l.Release(context.Background())
			}
		}()
	}
	e.queued(c, name, waiters)
	return locks, func() {
		cancel()
		for range waiters {
			<-gone
		}
	}
}

func ids(info redislock.Info) (all []string) {
	for _, h := range info.Holds {
		all = append(all, "h"+h.ID)
	}
	for _, p := range info.Places {
		all = append(all, "w"+p.ID)
	}
	return all
}

func TestInspectShowsTheFirstOfACrowdAndInspectMoreTheRest(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		var looks atomic.Int32
		look := digest("inspect")
		tapped := e.tapped(&tap{before: func(text string) error {
			looks.Add(int32(strings.Count(text, look)))
			return nil
		}})
		c, few := e.client(), e.client(redislock.WithShown(7))
		const readers, waiters = 130, 70
		locks, end := e.crowd(c, "x", readers, waiters)
		if _, err := tapped.Inspect(ctx, "warm up"); err != nil {
			e.stop(err)
		}
		looks.Store(0)
		info, err := tapped.Inspect(ctx, "x")
		if err != nil || len(info.Holds) != redislock.DefaultShown || len(info.Places) != redislock.DefaultShown || !info.More() {
			e.Errorf("%d holds and %d places are shown, more %v, %v", len(info.Holds), len(info.Places), info.More(), err)
		}
		first := ids(info)
		for err == nil && info.More() {
			if info.Holders != readers || info.Waiting != waiters {
				e.Errorf("%d hold and %d wait", info.Holders, info.Waiting)
			}
			info, err = tapped.InspectMore(ctx, info)
		}
		if n := looks.Load(); n != 3 {
			e.Errorf("%d requests for 130 and 70, 50 at a time", n)
		}
		all := ids(info)
		if err != nil || len(info.Holds) != readers || len(info.Places) != waiters || len(slices.Compact(slices.Sorted(slices.Values(all)))) != readers+waiters {
			e.Errorf("%d holds and %d places in all, %v", len(info.Holds), len(info.Places), err)
		}
		if !slices.Equal(first[:50], all[:50]) || !slices.Equal(first[50:], all[readers:readers+50]) {
			e.Error("those that were there already are not the first")
		}
		for i, h := range info.Holds {
			if h.Fence != locks[i].Fence() {
				e.Fatalf("hold %d has the fence %d, want %d", i, h.Fence, locks[i].Fence())
			}
		}
		looks.Store(0)
		if same, err := tapped.InspectMore(ctx, info); err != nil || len(ids(same)) != readers+waiters || looks.Load() != 0 {
			e.Errorf("there is no more: %d, %v, after %d requests", len(ids(same)), err, looks.Load())
		}
		if info, err = few.Inspect(ctx, "x"); err != nil || len(info.Holds) != 7 || len(info.Places) != 7 || info.Holders != readers || info.Waiting != waiters {
			e.Errorf("%d holds of %d and %d places of %d, %v", len(info.Holds), info.Holders, len(info.Places), info.Waiting, err)
		}

		// The ones behind which it goes on have gone meanwhile: nobody is left out, and nobody is there twice.
		before := info
		e.release(locks[6])
		for err == nil && info.More() {
			info, err = few.InspectMore(ctx, info)
		}
		if err != nil || len(info.Holds) != readers || len(info.Places) != waiters || len(slices.Compact(slices.Sorted(slices.Values(ids(info))))) != readers+waiters {
			e.Errorf("%d holds and %d places, %v", len(info.Holds), len(info.Places), err)
		}
		if len(before.Holds) != 7 || len(before.Places) != 7 {
			e.Error("the Info that was given has changed")
		}
		end()
		e.eventually("they are gone", func() bool {
			info, err = c.Inspect(ctx, "x")
			return err == nil && info.Waiting == 0
		})
		info, err = few.Inspect(ctx, "x")
		operator := e.client()
		if fence, failed := operator.Break(ctx, "x", "all of them"); failed != nil || fence != locks[readers-1].Fence() {
			e.Errorf("broke the fence %d, want %d, %v", fence, locks[readers-1].Fence(), failed)
		}
		if rest, failed := few.InspectMore(ctx, info); err != nil || failed != nil || rest.More() || rest.Holders != 0 || len(rest.Holds) != 7 {
			e.Errorf("%d holds of %d, more %v, %v, %v", len(rest.Holds), rest.Holders, rest.More(), err, failed)
		}
		for _, l := range locks {
			_ = l.Release(ctx)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if got, err := few.InspectMore(ended, info); !errors.Is(err, context.Canceled) || len(got.Holds) != 7 {
			e.Errorf("under a context that has ended: %d holds, %v", len(got.Holds), err)
		}
		if _, err := few.InspectMore(ctx, redislock.Info{}); !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("without a name: %v", err)
		}
		e.untouched("x")
	})
}

// A crowd that is watched costs Redis no more than a lock that nobody waits for: what takes long to look at is looked at seldom.
func TestWatchPausesTheLongerTheMoreIsShown(t *testing.T) {
	for shown, pause := range map[int]time.Duration{
		1: 50 * time.Millisecond, 20: 80 * time.Millisecond, redislock.DefaultShown: 200 * time.Millisecond, 80: 320 * time.Millisecond,
	} {
		t.Run(fmt.Sprint(shown), func(t *testing.T) {
			embedded(t, 0, func(e *env, _ *fakenet.Network) {
				var looks atomic.Int32
				look := digest("watch")
				c := e.client()
				watcher := e.tapped(&tap{before: func(text string) error {
					looks.Add(int32(strings.Count(text, look)))
					return nil
				}}, redislock.WithShown(shown))
				locks, end := e.crowd(c, "x", 80, 80)
				all := e.watch(watcher, "x")
				e.until(all, "a crowd", func(i redislock.Info) bool { return i.Holders == 80 && i.Waiting == 80 })
				go func() { // whoever watches reads
					for range all {
					}
				}()
				looks.Store(0)
				begun := time.Now()
				for range 400 { // somebody who comes and goes, every 10 ms
					ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
					_, _ = c.Acquire(ctx, "x")
					cancel()
					time.Sleep(5 * time.Millisecond)
				}
				if n, most := looks.Load(), int32(time.Since(begun)/pause)+2; n > most || n < most/2 {
					e.Errorf("%d looks, want about %d, where %d are shown", n, most, shown)
				}
				end()
				for _, l := range locks {
					e.release(l)
				}
			})
		})
	}
}

func TestAnImpossibleNumberIsNotShown(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		for _, n := range []int{-1, 0, redislock.MaxShown + 1} {
			if _, err := redislock.New(e.connect(), redislock.WithShown(n)); !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("WithShown(%d): %v", n, err)
			}
		}
	})
}
