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

// slowly fetches for a second.
func slowly(context.Context) (int, error) {
	time.Sleep(time.Second)
	return 1, nil
}

// A caller that does not want to wait decides for itself, not for those who ask at the same time, nor they for it.
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
				t.Errorf("the impatient one: %v", err)
			}
		})
		time.Sleep(50 * time.Millisecond)
		all.Go(func() {
			if _, err := share(a); err != nil {
				t.Errorf("the patient one, for somebody else's WithWait: %v", err)
			}
		})
		all.Wait()

		if err := a.ShareReset(ctx, "n"); err != nil {
			t.Fatal(err)
		}
		all.Go(func() { _, _ = share(a) }) // this process fetches
		time.Sleep(100 * time.Millisecond)
		if took, err := share(a, redislock.WithWait(100*time.Millisecond)); !errors.Is(err, redislock.ErrHeld) || took > 200*time.Millisecond {
			t.Errorf("the impatient one beside a patient one: %v after %v", err, took)
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
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if fetches.Load() != 1 {
			t.Errorf("%d fetches within the ttl", fetches.Load())
		}
	})
}

type tenant struct{}

// Where callers overlap for long, a fetch has the values of one who waits for it.
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
			t.Error(err)
		}
		all.Wait()
		if fetches.Load() != 1 {
			t.Errorf("%d fetches", fetches.Load())
		}
	})
}

// Whoever has reset a key does not get what another looked up before.
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
				t.Error(err)
			}
			return v
		}
		get("old")
		slow.Store(true)
		var all sync.WaitGroup
		all.Go(func() { get("other") })
		time.Sleep(50 * time.Millisecond)
		if err := c.ShareReset(ctx, "n"); err != nil {
			t.Fatal(err)
		}
		if v := get("new"); v == "old" {
			t.Error("after the reset it got the old value")
		}
		all.Wait()
	})
}

// A panic reaches who recovers it as what it was.
func TestAPanicOfAFetchKeepsItsValue(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		oh := errors.New("oh")
		defer func() {
			if err, _ := recover().(error); !errors.Is(err, oh) {
				t.Errorf("recovered %v", err)
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
			t.Fatal(err)
		}
		var fetches atomic.Int32
		for range 20 {
			_, err := redislock.Share(ctx, c, "n", time.Minute, func(context.Context) (int, error) { return int(fetches.Add(1)), nil },
				redislock.WithStale(time.Hour), redislock.WithErrorTTL(10*time.Second))
			if err != nil {
				t.Error(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := fetches.Load(); n != 1 || seen.count(redislock.EventNotKept) != 0 {
			t.Errorf("%d fetches in 2 s, told %d times that one was not kept", n, seen.count(redislock.EventNotKept))
		}
	})
}
