package redislock_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
	"example.com/redislock/internal/servertest"
)

// change is an Upgrade or a Downgrade that must not fail.
func (e *env) change(how func(context.Context) error) {
	e.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := how(ctx); err != nil {
		e.stop(err)
	}
}

func TestTheOnlyReaderIsUpgradedAtOnce(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(), e.client()
		l := e.acquire(c, "x", reading)
		before := l.Fence()
		e.change(l.Upgrade)
		if l.Fence() <= before || l.Mode() != redislock.Write || l.Err() != nil {
			e.Errorf("fence %d after %d, in %v, %v", l.Fence(), before, l.Mode(), l.Err())
		}
		e.refused(other, "x", reading)
		fence := l.Fence()
		e.change(l.Upgrade) // nothing to do
		e.change(l.Downgrade)
		if l.Fence() != fence || l.Mode() != redislock.Read {
			e.Errorf("after the downgrade: fence %d, was %d, in %v", l.Fence(), fence, l.Mode())
		}
		r := e.acquire(other, "x", reading, trying)
		e.change(l.Downgrade) // nothing to do
		e.release(r)
		e.release(l)
		e.untouched("x")
	})
}

func TestAnUpgradeGoesBeforeAllWhoWaitAndNobodyComesInBetween(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(), e.client()
		l, r := e.acquire(c, "x", reading), e.acquire(other, "x", reading)
		writer := e.waiter(other, "x", writing)
		e.queued(c, "x", 1)
		upgraded := make(chan error, 1)
		go func() { upgraded <- l.Upgrade(context.Background()) }()
		e.queued(c, "x", 2)
		e.refused(other, "x", reading)
		select {
		case err := <-upgraded:
			e.Fatalf("beside another reader: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		e.release(r)
		if err := <-upgraded; err != nil {
			e.Fatal(err)
		}
		e.none(writer, "the upgraded one holds")
		e.change(l.Downgrade)
		e.none(writer, "a reader holds")
		e.release(l)
		w := <-writer
		if w.Fence() <= l.Fence() {
			e.Errorf("I2: fence %d after %d", w.Fence(), l.Fence())
		}
		e.release(w)
		e.untouched("x")
	})
}

func TestADowngradeLetsTheReadersInWithoutAGap(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(), e.client()
		l := e.acquire(c, "x", writing)
		var got []<-chan *redislock.Lock
		for i := range 40 { // more than one script tries
			got = append(got, e.waiter(other, "x", reading))
			e.queued(c, "x", i+1)
		}
		writer := e.waiter(other, "x", writing)
		e.queued(c, "x", 41)
		e.change(l.Downgrade)
		for _, g := range got {
			e.release(<-g)
		}
		e.none(writer, "a reader holds")
		if l.Err() != nil {
			e.Error(l.Err())
		}
		e.release(l)
		e.release(<-writer)
		e.untouched("x")
	})
}

func TestASecondUpgradeIsAConflictAtOnce(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(), e.client()
		a, b := e.acquire(c, "x", reading), e.acquire(other, "x", reading)
		upgraded := make(chan error, 1)
		go func() { upgraded <- a.Upgrade(context.Background()) }()
		e.queued(c, "x", 1)
		if err := b.Upgrade(context.Background()); !errors.Is(err, redislock.ErrConflict) {
			e.Errorf("got %v, want ErrConflict", err)
		}
		if b.Err() != nil || b.Mode() != redislock.Read {
			e.Errorf("after the conflict: %v, %v", b.Err(), b.Mode())
		}
		e.release(b)
		if err := <-upgraded; err != nil {
			e.Error(err)
		}
		e.release(a)
		e.untouched("x")
	})
}

func TestI8ACancelledUpgradeLeavesAReader(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(), e.client()
		a, b := e.acquire(c, "x", reading), e.acquire(other, "x", reading)
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		err := a.Upgrade(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("got %v", err)
		}
		e.queued(c, "x", 0)
		if a.Mode() != redislock.Read || a.Err() != nil {
			e.Errorf("it is in %v, %v", a.Mode(), a.Err())
		}
		third := e.acquire(other, "x", reading, trying)
		for _, l := range []*redislock.Lock{third, b, a} {
			e.release(l)
		}
		e.untouched("x")
	})
}

// An upgrade that is cancelled at the instant of its grant is either granted or not, but the handle, the server and
// all others agree on that.
func TestI8UpgradesCancelledAtTheGrant(t *testing.T) {
	t.Parallel()
	const delay = 10 * time.Millisecond
	step := time.Duration(unlessShort(1, 5)) * time.Millisecond
	for offset := time.Duration(0); offset <= 100*time.Millisecond; offset += step {
		embedded(t, delay, func(e *env, _ *fakenet.Network) {
			c, other := e.client(), e.client()
			a, b := e.acquire(c, "x", reading), e.acquire(other, "x", reading)
			time.Sleep(100 * time.Millisecond)
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(40*time.Millisecond, func() { e.release(b) })
			time.AfterFunc(offset, cancel)
			err := a.Upgrade(ctx)
			time.Sleep(time.Second)
			if (err == nil) != (a.Mode() == redislock.Write) || a.Err() != nil {
				e.Errorf("cancelled after %v: %v, but it is in %v, %v", offset, err, a.Mode(), a.Err())
			}
			r, readErr := other.TryAcquire(context.Background(), "x", reading)
			if (err == nil) == (readErr == nil) {
				e.Errorf("cancelled after %v: the upgrade said %v, and another reader %v", offset, err, readErr)
			}
			if readErr == nil {
				e.release(r)
			}
			e.release(a)
			e.untouched("x")
		})
	}
}

func TestAnUpgradedHoldIsRenewedAndKeepsItsHandles(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		c, other := e.client(), e.client()
		l := e.acquire(c, "x", reading, redislock.WithLease(time.Second))
		inner := e.under(l.Context(), c, "x", reading)
		if _, err := c.Acquire(l.Context(), "x", writing); !errors.Is(err, redislock.ErrDeadlock) {
			e.Errorf("Write under Read: %v", err)
		}
		e.change(inner.Upgrade)
		time.Sleep(time.Minute)
		if l.Err() != nil || inner.Err() != nil || inner.Fence() != l.Fence() {
			e.Errorf("a minute later: %v, %v", l.Err(), inner.Err())
		}
		w := e.under(l.Context(), c, "x", writing)
		if err := l.Downgrade(context.Background()); err != nil {
			e.Errorf("a handle that is content with Read: %v", err)
		}
		e.refused(other, "x", reading) // the others are not
		if err := inner.Downgrade(context.Background()); err != nil {
			e.Error(err)
		}
		e.refused(other, "x", reading)
		e.release(w)
		e.change(l.Downgrade)
		r := e.acquire(other, "x", reading, trying)
		e.release(r)
		e.release(inner)
		e.release(l)
		e.untouched("x")
	})
}

func TestADowngradeUnderANestedWriterIsOutOfOrder(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		l := e.acquire(c, "x", writing)
		inner := e.under(l.Context(), c, "x", writing)
		if err := l.Downgrade(context.Background()); !errors.Is(err, redislock.ErrOrder) {
			e.Errorf("got %v", err)
		}
		e.release(inner)
		e.change(l.Downgrade)
		e.release(l)
		e.untouched("x")
	})
}

func TestWhatCannotBeUpgraded(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c := e.client()
		for _, opts := range [][]redislock.Option{nil, {redislock.WithMode(redislock.Semaphore(2))}} {
			l := e.acquire(c, "x", opts...)
			for _, how := range []func(context.Context) error{l.Upgrade, l.Downgrade} {
				if err := how(ctx); !errors.Is(err, redislock.ErrInvalid) {
					e.Errorf("in %v: %v", l.Mode(), err)
				}
			}
			e.release(l)
		}
		l := e.acquire(c, "x", reading)
		e.release(l)
		for _, how := range []func(context.Context) error{l.Upgrade, l.Downgrade} {
			if err := how(ctx); !errors.Is(err, redislock.ErrNotHeld) {
				e.Errorf("after the release: %v", err)
			}
		}
		l = e.acquire(c, "x", reading)
		if _, err := c.Break(ctx, "x", "why"); err != nil {
			e.Fatal(err)
		}
		if err := l.Upgrade(ctx); !errors.Is(err, redislock.ErrNotHeld) {
			e.Errorf("after a break: %v", err)
		}
		_ = l.Release(ctx)
		e.untouched("x")
	})
}

func TestAnUpgradeThatWaitsEndsWithItsHold(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(), e.client()
		a, b := e.acquire(c, "x", reading), e.acquire(other, "x", reading)
		upgraded := make(chan error, 1)
		go func() { upgraded <- a.Upgrade(context.Background()) }()
		e.queued(c, "x", 1)
		if err := a.Release(context.Background()); err != nil {
			e.Error(err)
		}
		if err := <-upgraded; !errors.Is(err, redislock.ErrNotHeld) {
			e.Errorf("got %v", err)
		}
		w := e.waiter(other, "x", writing)
		e.release(b)
		e.release(<-w)
		e.untouched("x")
	})
}

func TestADeadUpgraderCostsItsLease(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		c := e.client()
		cut := &fakenet.Network{Dial: e.mini.Dial}
		dying := e.clientOn(cut)
		r := e.acquire(c, "x", reading)
		l := e.acquire(dying, "x", reading, redislock.WithLease(3*time.Second))
		go func() { _ = l.Upgrade(context.Background()) }()
		e.queued(c, "x", 1)
		cut.Cut()
		asked := time.Now()
		e.release(e.acquire(c, "x", reading))
		if waited := time.Since(asked); waited > 3100*time.Millisecond {
			e.Errorf("a reader waited %v behind a dead upgrade", waited)
		}
		e.release(r)
		_ = l.Release(context.Background())
		time.Sleep(time.Minute)
	})
}

func TestUpgradesAndDowngradesKeepReadersAndWritersApart(t *testing.T) {
	both(t, func(e *env) {
		const instances, workers = 3, 4
		rounds := unlessShort(12, 4)
		var (
			wg               sync.WaitGroup
			readers, writers atomic.Int32
			last             atomic.Int64
		)
		wrote := func(l *redislock.Lock) {
			if writers.Add(1) != 1 || readers.Load() != 0 {
				e.Errorf("%d writers and %d readers", writers.Load(), readers.Load())
			}
			if before := last.Swap(l.Fence()); before >= l.Fence() {
				e.Errorf("I2: a write with fence %d after %d", l.Fence(), before)
			}
			time.Sleep(time.Millisecond)
			writers.Add(-1)
		}
		for range instances {
			c := e.client()
			for range workers {
				wg.Go(func() {
					for range rounds {
						l := e.acquire(c, "shared", reading)
						readers.Add(1)
						time.Sleep(rand.N(2 * time.Millisecond))
						readers.Add(-1)
						switch err := l.Upgrade(context.Background()); {
						case err == nil:
							wrote(l)
							e.change(l.Downgrade)
							readers.Add(1)
							readers.Add(-1)
						case !errors.Is(err, redislock.ErrConflict):
							e.stop(err)
						}
						e.release(l)
					}
				})
			}
		}
		wg.Wait()
		e.untouched("shared")
	})
}

func TestBreakFindsAHoldThatIsUpgradedMeanwhile(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	x.readTimeout = 2 * time.Second
	operator, c := x.behind(2), x.beside()
	l := x.acquire(c, reading)
	f := x.proxy.HoldRequest(requests("break", x.key()))
	done := make(chan error, 1)
	go func() {
		_, err := operator.Break(context.Background(), x.name, "why")
		done <- err
	}()
	x.within("the break is on its way", f.Caught())
	if err := l.Upgrade(context.Background()); err != nil {
		t.Fatal(err)
	}
	f.Deliver()
	if err := <-done; err != nil {
		t.Error(err)
	}
	x.lost(l, redislock.ErrStolen)
	_ = l.Release(context.Background())
	x.untouched()
}
