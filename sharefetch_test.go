package redislock_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
	"example.com/redislock/internal/servertest"
)

// A held lock must not serve as a back-off, as callers would wait for it.
func TestAfterAFailedRefreshNobodyWaits(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		oh := errors.New("oh")
		var fetches, fail atomic.Int32
		get := func(c *redislock.Client) (int, error) {
			begun := time.Now()
			v, err := redislock.Share(ctx, c, "n", time.Minute, func(context.Context) (int, error) {
				if n := fetches.Add(1); fail.Load() == 0 {
					return int(n), nil
				}
				return 0, oh
			}, redislock.WithStale(30*time.Second), redislock.WithErrorTTL(time.Minute))
			if waited := time.Since(begun); waited > 0 {
				e.Errorf("it waited %v for %d, %v", waited, v, err)
			}
			return v, err
		}
		is := func(when string, c *redislock.Client, want int, fetched int32) {
			e.Helper()
			if v, err := get(c); v != want || err != nil {
				e.Errorf("%s: %d, %v", when, v, err)
			}
			if time.Sleep(time.Second); fetches.Load() != fetched { // a refresh is through
				e.Errorf("%s: %d fetches", when, fetches.Load())
			}
		}
		is("the first", a, 1, 1)
		fail.Store(1)
		time.Sleep(80 * time.Second)
		is("a value that is over", a, 1, 2)
		is("after the failure", b, 1, 2)
		time.Sleep(10 * time.Second) // of the old value nothing is left, of the failure's time 48 s
		if _, err := get(a); !errors.Is(err, oh) {
			e.Errorf("where the refresh failed: %v", err)
		}
		var shared *redislock.SharedError
		if _, err := get(b); !errors.As(err, &shared) || shared.Text != "oh" {
			e.Errorf("elsewhere: %v", err)
		}
		if fetches.Load() != 2 {
			e.Errorf("%d fetches", fetches.Load())
		}
		fail.Store(0)
		time.Sleep(48 * time.Second)
		is("after the failure's time", b, 3, 3)

		fail.Store(1)
		time.Sleep(70 * time.Second)
		is("a value that is over again", a, 3, 4)
		fail.Store(0)
		if err := b.ShareReset(ctx, "n"); err != nil {
			e.Fatal(err)
		}
		is("after a reset during the failure's time", b, 5, 5)
	})
}

// A value that a reset has erased stays erased, even if a refresh of it fails afterwards.
func TestAFailedRefreshDoesNotUndoAReset(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		begun, end := make(chan struct{}), make(chan struct{})
		get := func(c *redislock.Client, fn func(context.Context) (string, error)) (string, error) {
			return redislock.Share(ctx, c, "n", time.Millisecond, fn, redislock.WithStale(time.Hour), redislock.WithErrorTTL(time.Minute))
		}
		if _, err := get(a, func(context.Context) (string, error) { return "old", nil }); err != nil {
			e.Fatal(err)
		}
		e.settle()
		if v, err := get(a, func(context.Context) (string, error) { close(begun); <-end; return "", errors.New("oh") }); v != "old" || err != nil {
			e.Fatalf("%q, %v", v, err)
		}
		<-begun
		if err := b.ShareReset(ctx, "n"); err != nil {
			e.Fatal(err)
		}
		close(end)
		e.untouched("share:n")
		if v, err := get(b, func(context.Context) (string, error) { return "new", nil }); v != "new" || err != nil {
			e.Errorf("after the reset: %q, %v", v, err)
		}
	})
}

func TestARefreshHasItsTime(t *testing.T) {
	for name, heeds := range map[string]bool{"and heeds its context": true, "and does not": false} {
		t.Run(name, func(t *testing.T) {
			embedded(t, 0, func(e *env, _ *fakenet.Network) {
				ctx := context.Background()
				seen := &recorder{}
				a, b := e.client(redislock.WithObserver(seen)), e.client()
				over := make(chan struct{})
				get := func(c *redislock.Client, fn func(context.Context) (string, error)) string {
					begun := time.Now()
					v, err := redislock.Share(ctx, c, "n", time.Minute, fn, redislock.WithStale(time.Hour), redislock.WithLease(10*time.Second))
					if err != nil || time.Since(begun) > 0 {
						e.Errorf("%v after %v", err, time.Since(begun))
					}
					return v
				}
				is := func(want string) func(context.Context) (string, error) {
					return func(context.Context) (string, error) { return want, nil }
				}
				get(a, is("first"))
				time.Sleep(2 * time.Minute)
				get(a, func(ctx context.Context) (string, error) { // hangs
					if heeds {
						<-ctx.Done()
						return "", ctx.Err()
					}
					<-over
					return "late", nil
				})
				time.Sleep(redislock.DefaultRefreshTimeout - time.Second)
				get(b, is("too soon"))
				if time.Sleep(12 * time.Second); !heeds { // a lease, for a function that ignores its context
					time.Sleep(2 * time.Second)
				}
				if n := seen.count(redislock.EventNotKept); n != 1 {
					e.Errorf("told %d times", n)
				}
				seen.mu.Lock()
				for _, event := range seen.events {
					if event.Kind == redislock.EventNotKept && !strings.Contains(event.Err.Error(), "not refreshed within 1m0s") {
						e.Errorf("told of %v", event.Err)
					}
				}
				seen.mu.Unlock()
				get(b, is("second"))
				time.Sleep(time.Second)
				if v := get(b, is("third")); v != "second" {
					e.Errorf("after its time another refreshed it, and the value is %q", v)
				}
				close(over)
				time.Sleep(time.Second)
				if v := get(a, is("third")); v != "second" {
					e.Errorf("after the late one: %q", v)
				}
				e.untouched("share:n")
			})
		})
	}
}

// A fetch that goes on when all its callers have gone does not keep the others from fetching.
func TestAFetchWithoutCallersGivesItsLockBack(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		seen := &recorder{}
		a, b := e.client(redislock.WithObserver(seen)), e.client()
		over := make(chan struct{})
		defer close(over)
		ctx, leave := context.WithTimeout(context.Background(), time.Second)
		defer leave()
		_, err := redislock.Share(ctx, a, "n", time.Minute, func(context.Context) (int, error) { <-over; panic("oh") }, redislock.WithLease(10*time.Second))
		if !errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("its caller: %v", err)
		}
		begun := time.Now()
		if _, err = redislock.Share(context.Background(), b, "n", time.Minute, slowly); err != nil || time.Since(begun) > 12*time.Second {
			e.Errorf("another: %v after %v", err, time.Since(begun))
		}
		over <- struct{}{}
		time.Sleep(time.Second)
		if n := seen.count(redislock.EventNotKept); n != 2 { // that it goes on, and its panic
			e.Errorf("told %d times", n)
		}
	})
}

func TestAPanicInARefreshIsToldToTheObserver(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		seen := &recorder{}
		c := e.client(redislock.WithObserver(seen))
		var fetches atomic.Int32
		for range 4 {
			v, err := redislock.Share(ctx, c, "n", time.Minute, func(context.Context) (int, error) {
				if fetches.Add(1) > 1 {
					panicsHere()
				}
				return 1, nil
			}, redislock.WithStale(time.Hour), redislock.WithErrorTTL(time.Minute))
			if v != 1 || err != nil {
				e.Errorf("%d, %v", v, err)
			}
			time.Sleep(40 * time.Second)
		}
		var p *redislock.PanicError
		seen.mu.Lock()
		defer seen.mu.Unlock()
		for _, event := range seen.events {
			if event.Kind == redislock.EventNotKept && errors.As(event.Err, &p) {
				if p.Value != "oh" || !strings.Contains(string(p.Stack), "panicsHere") || !strings.Contains(event.Err.Error(), "panicsHere") {
					e.Errorf("%v", event.Err)
				}
			}
		}
		if p == nil || fetches.Load() != 2 {
			e.Errorf("after %d fetches it was told of %v", fetches.Load(), p)
		}
	})
}

func panicsHere() { panic("oh") }

// Two versions of a program, of which one cannot read what the other wrote.
func TestAValueThatCannotBeDecodedIsFetchedAnewOnce(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		seen := &recorder{}
		before := e.client()
		after := []*redislock.Client{e.client(redislock.WithObserver(seen)), e.client(redislock.WithObserver(seen))}
		ask := func(opts ...redislock.ShareOption) (string, error) {
			return redislock.Share(ctx, before, "n", time.Hour, func(context.Context) (string, error) { return "a text", nil }, opts...)
		}
		if _, err := ask(); err != nil {
			e.Fatal(err)
		}

		oh := errors.New("oh")
		_, err := redislock.Share(ctx, after[0], "n", time.Hour, func(context.Context) (price, error) { return price{}, oh }, redislock.WithErrorTTL(20*time.Millisecond))
		if !errors.Is(err, oh) {
			e.Errorf("where the fetch fails: %v", err)
		}
		if v, err := ask(); v != "a text" || err != nil {
			e.Errorf("the failure took the value from those who can read it: %q, %v", v, err)
		}
		e.settle()
		e.settle()

		var fetches atomic.Int32
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				v, err := redislock.Share(ctx, after[i%2], "n", time.Hour, func(context.Context) (price, error) {
					e.settle()
					return price{Cents: int(fetches.Add(1))}, nil
				})
				if v.Cents != 1 || err != nil {
					e.Errorf("%v, %v", v, err)
				}
			})
		}
		all.Wait()
		if fetches.Load() != 1 || seen.count(redislock.EventNotKept) != 2 {
			e.Errorf("%d fetches, told %d times", fetches.Load(), seen.count(redislock.EventNotKept))
		}
		if err := e.raw.Set(ctx, "redislock:r:{share:n}", strings.Repeat("0", 17)+"?", time.Hour).Err(); err != nil {
			e.Fatal(err)
		}
		if v, err := ask(); v != "a text" || err != nil {
			e.Errorf("a record of an unknown kind: %q, %v", v, err)
		}
	})
}

// A codec that cannot read what it wrote is not asked for ever.
func TestACodecThatCannotReadItsOwnIsAnError(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		fetches := 0
		for range 2 {
			_, err := redislock.Share(context.Background(), e.client(), "n", time.Hour, func(context.Context) (int, error) { fetches++; return 1, nil }, redislock.WithCodec(writeOnly{}))
			if err == nil || !strings.Contains(err.Error(), "unreadable") {
				e.Errorf("%v", err)
			}
		}
		if fetches != 2 {
			e.Errorf("%d fetches of 2 calls", fetches)
		}
	})
}

type writeOnly struct{}

func (writeOnly) Marshal(any) ([]byte, error) { return []byte("x"), nil }
func (writeOnly) Unmarshal([]byte, any) error { return errors.New("unreadable") }

// slowly fetches for a second.
func slowly(context.Context) (int, error) {
	time.Sleep(time.Second)
	return 1, nil
}

// A caller that does not want to wait decides only for itself, and not for those that ask at the same time, nor they
// for it.
func TestEachCallerOfShareWaitsAsLongAsItWants(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		share := func(c *redislock.Client, opts ...redislock.ShareOption) (time.Duration, error) {
			begun := time.Now()
			_, err := redislock.Share(ctx, c, "n", time.Minute, slowly, opts...)
			return time.Since(begun), err
		}
		var all sync.WaitGroup
		all.Go(func() { _, _ = share(b) }) // another process fetches
		time.Sleep(100 * time.Millisecond)
		all.Go(func() {
			if _, err := share(a, redislock.WithWait(100*time.Millisecond)); !errors.Is(err, redislock.ErrHeld) {
				e.Errorf("the impatient one: %v", err)
			}
		})
		time.Sleep(50 * time.Millisecond)
		all.Go(func() {
			if _, err := share(a); err != nil {
				e.Errorf("the patient one, for somebody else's WithWait: %v", err)
			}
		})
		all.Wait()

		if err := a.ShareReset(ctx, "n"); err != nil {
			e.Fatal(err)
		}
		all.Go(func() { _, _ = share(a) }) // this process fetches
		time.Sleep(100 * time.Millisecond)
		if took, err := share(a, redislock.WithWait(100*time.Millisecond)); !errors.Is(err, redislock.ErrHeld) || took > 200*time.Millisecond {
			e.Errorf("the impatient one beside a patient one: %v after %v", err, took)
		}
		all.Wait()
	})
}

// A value may be served for as long as WithStale allows; it is fresh for its ttl all the same.
func TestAValueThatIsServedStaleForLongIsFreshFirst(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		var fetches atomic.Int32
		for range 5 {
			_, err := redislock.Share(context.Background(), c, "n", time.Hour, func(context.Context) (int, error) {
				return int(fetches.Add(1)), nil
			}, redislock.WithStale(10*365*24*time.Hour))
			if err != nil {
				e.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if fetches.Load() != 1 {
			e.Errorf("%d fetches within the ttl", fetches.Load())
		}
	})
}

type tenant struct{}

// If callers overlap for a long time, the context of a fetch has the values of a caller that waits for it.
func TestAFetchHasTheValuesOfACallerThatIsThere(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	e := &env{T: t}
	c := e.over(s.Connect())
	var there sync.Map
	var fetches, departed, next atomic.Int32
	until := time.Now().Add(time.Second)
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for time.Now().Before(until) {
				me := next.Add(1)
				there.Store(me, true)
				_, err := redislock.Share(context.WithValue(context.Background(), tenant{}, me), c, "n", time.Millisecond, func(ctx context.Context) (int, error) {
					fetches.Add(1)
					if _, still := there.Load(ctx.Value(tenant{})); !still {
						departed.Add(1)
					}
					return 1, nil
				})
				there.Delete(me)
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if departed.Load() > 0 {
		t.Errorf("%d of %d fetches had the values of a caller that had gone", departed.Load(), fetches.Load())
	}
}

// I10: the look under the lock may take longer than the lease lasts.
func TestAFetchDoesNotBeginWithoutItsLock(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		var looks atomic.Int32
		a := e.tapped(&tap{after: func(text string) error {
			if strings.Contains(text, digest("recall")) && looks.Add(1) == 2 {
				time.Sleep(time.Second)
			}
			return nil
		}})
		b := e.client()
		var fetches atomic.Int32
		fetch := func(context.Context) (int, error) { return int(fetches.Add(1)), nil }
		var all sync.WaitGroup
		all.Go(func() {
			_, _ = redislock.Share(context.Background(), a, "n", time.Minute, fetch, redislock.WithLease(300*time.Millisecond), redislock.WithoutRenewal())
		})
		time.Sleep(100 * time.Millisecond)
		if _, err := redislock.Share(context.Background(), b, "n", time.Minute, fetch); err != nil {
			e.Error(err)
		}
		all.Wait()
		if fetches.Load() != 1 {
			e.Errorf("%d fetches", fetches.Load())
		}
	})
}

// After a reset its caller does not get a value that another caller looked up before.
func TestAfterAResetNoOlderLookupIsJoined(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		var slow atomic.Bool
		c := e.tapped(&tap{after: func(text string) error {
			if strings.Contains(text, digest("recall")) && slow.CompareAndSwap(true, false) {
				time.Sleep(100 * time.Millisecond) // the answer is under way
			}
			return nil
		}})
		get := func(value string) string {
			v, err := redislock.Share(ctx, c, "n", time.Hour, func(context.Context) (string, error) { return value, nil })
			if err != nil {
				e.Error(err)
			}
			return v
		}
		get("old")
		slow.Store(true)
		var all sync.WaitGroup
		all.Go(func() { get("other") })
		time.Sleep(50 * time.Millisecond)
		if err := c.ShareReset(ctx, "n"); err != nil {
			e.Fatal(err)
		}
		if v := get("new"); v == "old" {
			e.Error("after the reset it got the old value")
		}
		all.Wait()
	})
}

// A recovered panic has its original value.
func TestAPanicOfAFetchKeepsItsValue(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		oh := errors.New("oh")
		defer func() {
			if err, _ := recover().(error); !errors.Is(err, oh) {
				e.Errorf("recovered %v", err)
			}
		}()
		_, _ = redislock.Share(context.Background(), e.client(), "n", time.Minute, func(context.Context) (int, error) { panic(oh) })
	})
}

// After a failover to a server whose clock is behind, a record may have a greater fence than the lock that is to refresh
// it. It is replaced all the same: holding the lock is what counts.
func TestARefreshReplacesARecordFromTheFuture(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		seen := &recorder{}
		c := e.client(redislock.WithObserver(seen))
		if err := e.raw.Set(ctx, "redislock:r:{share:n}", "90000000000000001v1", 30*time.Minute).Err(); err != nil {
			e.Fatal(err)
		}
		var fetches atomic.Int32
		for range 20 {
			_, err := redislock.Share(ctx, c, "n", time.Minute, func(context.Context) (int, error) { return int(fetches.Add(1)), nil },
				redislock.WithStale(time.Hour), redislock.WithErrorTTL(10*time.Second))
			if err != nil {
				e.Error(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := fetches.Load(); n != 1 || seen.count(redislock.EventNotKept) != 0 {
			e.Errorf("%d fetches in 2 s, told %d times that one was not kept", n, seen.count(redislock.EventNotKept))
		}
	})
}
