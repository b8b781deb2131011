package main

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
)

// lockFunc is a lock whose behaviour the test sets.
type lockFunc func(ctx context.Context) (peer.Release, error)

func (f lockFunc) Lock(ctx context.Context, _ string) (peer.Release, error) { return f(ctx) }

func (lockFunc) Close() {}

// fair is a lock that serves its waiters in the order of arrival, each d after the previous one gave it back.
func fair(d time.Duration) lockFunc {
	var mu sync.Mutex
	tail := make(chan struct{})
	close(tail)
	return func(ctx context.Context) (peer.Release, error) {
		mu.Lock()
		turn, next := tail, make(chan struct{})
		tail = next
		mu.Unlock()
		<-turn
		time.Sleep(d)
		if ctx.Err() != nil {
			close(next)
			return nil, ctx.Err()
		}
		return func(context.Context) error { close(next); return nil }, nil
	}
}

func TestAContestCountsWhatHappensInItsWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := fair(time.Millisecond)
		var edges []time.Time
		edge := func() { edges = append(edges, time.Now()) }
		c := contest{
			lockers: []peer.Locker{l, l}, waiters: 4, work: time.Millisecond, warm: 51 * time.Millisecond, window: 80 * time.Millisecond,
			opens: edge, closes: edge,
		}
		got := c.run(t.Context())
		if d := edges[1].Sub(edges[0]); d != c.window || got.to-got.from != d {
			t.Errorf("a window of %v, noted as %v", d, got.to-got.from)
		}
		w := got.tally()
		if w.handoffs != 40 || w.passed != 40 || w.writes != 40 || got.failures != 0 {
			t.Errorf("%d hand-offs, %d of them to others, %d to write, and %d failures", w.handoffs, w.passed, w.writes, got.failures)
		}
		if !slices.Equal(w.each, []float64{10, 10, 10, 10}) {
			t.Errorf("the goroutines had %v", w.each)
		}
		// Three others have the lock for 1 ms each, and it takes 1 ms to come, four times.
		if m := measure.Median(w.waits); m != 7000 {
			t.Errorf("the median wait is %v µs", m)
		}
	})
}

func TestALockThatGivesUpHasFailedAndItsWaitGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		l := lockFunc(func(ctx context.Context) (peer.Release, error) {
			time.Sleep(9 * time.Millisecond)
			if tries++; tries <= 3 {
				return nil, errors.New("gives up")
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})
		got := contest{lockers: []peer.Locker{l}, waiters: 1, window: 100 * time.Millisecond}.run(t.Context())
		if got.failures != 3 {
			t.Errorf("%d failures", got.failures)
		}
		if w := got.tally(); w.handoffs != 0 || !slices.Equal(w.waits, []float64{100000}) {
			t.Errorf("%d hand-offs, waits %v", w.handoffs, w.waits)
		}
	})
}

func TestALockThatHangsEndsTheContestAllTheSame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		l := lockFunc(func(context.Context) (peer.Release, error) {
			<-hang
			return nil, errors.New("too late")
		})
		begun := time.Now()
		got := contest{lockers: []peer.Locker{l}, waiters: 3, window: time.Second}.run(t.Context())
		if d := time.Since(begun); d != time.Second+patience {
			t.Errorf("it took %v", d)
		}
		if got.failures != 3 {
			t.Errorf("%d failures", got.failures)
		}
		if w := got.tally(); !slices.Equal(w.waits, []float64{1e6, 1e6, 1e6}) {
			t.Errorf("waits %v", w.waits)
		}
		close(hang)
	})
}

func TestTwoAtATimeAreAFailureUnlessTheyRead(t *testing.T) {
	t.Parallel()
	open := lockFunc(func(context.Context) (peer.Release, error) {
		return func(context.Context) error { return nil }, nil
	})
	shared := func(ctx context.Context, l peer.Locker, _ bool) (peer.Release, error) { return l.Lock(ctx, "") }
	for _, c := range []struct {
		what    string
		lock    func(context.Context, peer.Locker, bool) (peer.Release, error)
		readers float64
		fails   bool
	}{
		{"readers that may be together", shared, 1, false},
		{"readers of a lock that is exclusive", nil, 1, true},
		{"writers", shared, 0, true},
		{"readers and writers", shared, 0.5, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			got := contest{
				lockers: []peer.Locker{open}, waiters: 4, work: time.Millisecond, window: 20 * time.Millisecond, readers: c.readers, lock: c.lock,
			}.run(t.Context())
			if (got.failures > 0) != c.fails {
				t.Errorf("%s: %d failures", c.what, got.failures)
			}
			w := got.tally()
			if share := float64(w.writes) / float64(w.handoffs); math.Abs(share-(1-c.readers)) > 0.2 {
				t.Errorf("%s: %v of them to write", c.what, share)
			}
		})
	}
}

func TestATallyTakesEachTurnAsTheWindowMetIt(t *testing.T) {
	t.Parallel()
	ms := func(asked, got int) turn {
		return turn{asked: time.Duration(asked) * time.Millisecond, got: time.Duration(got) * time.Millisecond}
	}
	f := field{from: 100 * time.Millisecond, to: 200 * time.Millisecond, turns: [][]turn{
		{ms(10, 99), ms(99, 101), ms(150, 151)}, // before the window; begun before it; in it
		{ms(50, 201), ms(201, 202)},             // ended after it; after it
		{ms(199, -1)},                           // never ended
		{ms(20, 20)},
	}}
	w := f.tally()
	if w.handoffs != 2 || !slices.Equal(w.each, []float64{2, 0, 0, 0}) {
		t.Errorf("%d hand-offs: %v", w.handoffs, w.each)
	}
	if !slices.Equal(w.waits, []float64{2000, 1000, 150000, 1000}) {
		t.Errorf("waits %v", w.waits)
	}
}

func TestTheFairestIsWhatWholeTurnsAllow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n, over int
		want    float64
	}{{8, 4, 1}, {2, 4, 0.5}, {6, 4, 0.9}} {
		if got := fairest(c.n, c.over); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%d over %d: %v, not %v", c.n, c.over, got, c.want)
		}
	}
}
