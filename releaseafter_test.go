package redislock_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

func TestALockThatIsReleasedLaterStaysWithoutItsOwner(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		l := e.acquire(a, "x", redislock.WithMetadata("hourly"))
		begun := time.Now()
		if err := l.ReleaseAfter(ctx, 400*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if !errors.Is(context.Cause(l.Context()), redislock.ErrReleased) {
			t.Errorf("the spent handle's context says %v", context.Cause(l.Context()))
		}
		for range 2 { // the first handle of a hold has the same answer again
			if err := l.Release(ctx); err != nil {
				t.Errorf("a release after it: %v", err)
			}
		}
		if err := a.Close(ctx); err != nil { // nothing waits for it in this process
			t.Error(err)
		}
		_, err := b.TryAcquire(ctx, "x")
		var held *redislock.HeldError
		if !errors.As(err, &held) || held.Holder.Metadata != "hourly" {
			t.Errorf("while it stays: %v", err)
		}
		next := e.acquire(b, "x", redislock.WithStealAfter(100*time.Millisecond))
		if passed := time.Since(begun); passed < 395*time.Millisecond || e.mini != nil && passed > 3*time.Second {
			t.Errorf("free after %v", passed)
		}
		e.release(next)
		e.untouched("x")
	})
}

func TestALockMayStayLongerThanItsLease(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		l := e.acquire(a, "x", redislock.WithLease(time.Second))
		if err := l.ReleaseAfter(ctx, time.Hour); err != nil {
			t.Fatal(err)
		}
		info, err := b.Inspect(ctx, "x")
		if err != nil || info.Holders != 1 || info.Holds[0].Fence != l.Fence() {
			t.Fatalf("%+v, %v", info, err)
		}
		if left := info.Holds[0].Deadline.Sub(info.Now); left < 59*time.Minute || left > time.Hour {
			t.Errorf("it stays for %v", left)
		}
		if fence, err := b.Break(ctx, "x", "needed now"); err != nil || fence != l.Fence() {
			t.Errorf("an operator's break: %d, %v", fence, err)
		}
		e.release(e.acquire(b, "x"))
	})
}

func TestReleaseAfterRefusesWhatItCannotDo(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c := e.client()
		l := e.acquire(c, "x")
		inner, err := c.Acquire(l.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		for what, got := range map[string]error{"nested": inner.ReleaseAfter(ctx, time.Second), "outer": l.ReleaseAfter(ctx, time.Second)} {
			if !errors.Is(got, redislock.ErrOrder) {
				t.Errorf("%s: %v", what, got)
			}
		}
		e.release(inner)
		if err := l.ReleaseAfter(ctx, redislock.MaxLease+1); !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("too long: %v", err)
		}
		if err := l.Err(); err != nil {
			t.Errorf("a refusal took the lock: %v", err)
		}
		if err := l.ReleaseAfter(ctx, -1); err != nil {
			t.Error(err)
		}
		l = e.acquire(c, "x") // it was released at once
		if _, err := c.Break(ctx, "x", "test"); err != nil {
			t.Fatal(err)
		}
		e.eventually("the loss is known", func() bool { return l.Err() != nil })
		if err := l.ReleaseAfter(ctx, time.Second); !errors.Is(err, redislock.ErrNotHeld) {
			t.Errorf("of a lost lock: %v", err)
		}
		e.untouched("x")
	})
}

func TestFromContextIsTheInnermostLock(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		ctx := context.Background()
		if l, ok := redislock.FromContext(ctx); ok || l != nil {
			t.Error("a lock out of nothing")
		}
		x, y := e.acquire(c, "x"), e.acquire(c, "y")
		is := func(what string, ctx context.Context, want *redislock.Lock) {
			t.Helper()
			if l, ok := redislock.FromContext(ctx); l != want || ok != (want != nil) {
				t.Errorf("%s: %v, %v", what, l, ok)
			}
		}
		is("a lock's own", x.Context(), x)
		is("another inside", y.With(x.Context()), y)
		is("the outer one again", x.With(y.With(x.Context())), x)
		child, cancel := context.WithCancel(x.With(ctx))
		defer cancel()
		is("a child", child, x)
		all, err := c.AcquireAll(x.Context(), []string{"p", "q"})
		if err != nil {
			t.Fatal(err)
		}
		is("of several", all.Context(), nil)
		is("one inside of several", y.With(all.Context()), y)
		if err := c.Do(ctx, "z", func(ctx context.Context) error {
			l, ok := redislock.FromContext(ctx)
			if !ok || l.Name() != "z" || l.Fence() == 0 {
				t.Errorf("in Do: %v, %v", l, ok)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if err := all.Release(ctx); err != nil {
			t.Error(err)
		}
		e.release(x)
		e.release(y)
	})
}

// Whoever is first in the queue hears that the lock will be free sooner than it knew, and does not sleep until its next check.
func TestWhoWaitsLearnsOfADeadlineThatHasBecomeEarlier(t *testing.T) {
	for name, c := range map[string]struct {
		opts    []redislock.Option
		shorten func(e *env, l *redislock.Lock) time.Duration // and when the lock is to be free
	}{
		"ReleaseAfter": {nil, func(e *env, l *redislock.Lock) time.Duration {
			if err := l.ReleaseAfter(context.Background(), 50*time.Millisecond); err != nil {
				e.Error(err)
			}
			return 50 * time.Millisecond
		}},
		"ReleaseAfter of one of two readers": {[]redislock.Option{redislock.WithMode(redislock.Read)}, func(e *env, l *redislock.Lock) time.Duration {
			if err := l.ReleaseAfter(context.Background(), 50*time.Millisecond); err != nil {
				e.Error(err)
			}
			return 50 * time.Millisecond
		}},
		"a resumed handoff with a shorter lease": {nil, func(e *env, l *redislock.Lock) time.Duration {
			ticket, err := l.Handoff()
			if err != nil {
				e.Error(err)
			}
			cut := &fakenet.Network{Dial: e.mini.Dial}
			next, err := e.clientOn(cut).Resume(context.Background(), ticket, redislock.WithLease(100*time.Millisecond), redislock.WithoutRenewal())
			if err != nil {
				e.stop(err)
			}
			cut.Cut() // it dies
			context.AfterFunc(next.Context(), cut.Mend)
			return 100 * time.Millisecond
		}},
		"the one before dies with a short lease": {nil, func(e *env, l *redislock.Lock) time.Duration {
			e.release(l)
			return 200 * time.Millisecond
		}},
	} {
		t.Run(name, func(t *testing.T) {
			embedded(t, time.Millisecond, func(e *env, n *fakenet.Network) {
				l := e.acquire(e.client(), "x", append(c.opts, redislock.WithLease(30*time.Second))...)
				if strings.Contains(name, "readers") {
					other := e.acquire(e.client(), "x", c.opts...)
					if err := other.ReleaseAfter(context.Background(), 40*time.Millisecond); err != nil {
						t.Error(err)
					}
				}
				behind := 0
				if strings.Contains(name, "dies") {
					cut := &fakenet.Network{Dial: e.mini.Dial}
					dead := e.clientOn(cut)
					behind++
					go func() {
						short, err := dead.Acquire(context.Background(), "x", redislock.WithLease(200*time.Millisecond), redislock.WithoutRenewal())
						if err == nil {
							cut.Cut()
							<-short.Context().Done()
							cut.Mend()
						}
					}()
					e.queued(e.client(), "x", 1)
				}
				granted := make(chan time.Time, 1)
				waiter := e.client()
				go func() {
					next := e.acquire(waiter, "x")
					granted <- time.Now()
					e.release(next)
				}()
				e.queued(e.client(), "x", behind+1)
				time.Sleep(100 * time.Millisecond) // checked, the next one is far
				begun := time.Now()
				in := c.shorten(e, l)
				if passed := (<-granted).Sub(begun); passed > in+100*time.Millisecond {
					t.Errorf("free after %v, and acquired after %v", in, passed)
				}
			})
		})
	}
}
