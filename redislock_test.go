package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

func TestAcquireAndReleaseLeaveOnlyTheFence(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		l := e.acquire(c, "a")
		if l.Name() != "a" || l.Fence() <= 0 || l.Err() != nil || ended(l.Context()) {
			t.Fatalf("a fresh lock: name %q, fence %d, error %v", l.Name(), l.Fence(), l.Err())
		}
		e.release(l)
		if err := l.Release(context.Background()); err != nil {
			t.Errorf("a second release has another answer: %v", err)
		}
		if got := context.Cause(l.Context()); !errors.Is(got, redislock.ErrReleased) {
			t.Errorf("after the release the context's cause is %v", got)
		}
		e.untouched("a")
	})
}

func TestI1HoldersNeverOverlapAndI2FencesRise(t *testing.T) {
	both(t, func(e *env) {
		const instances, workers, rounds = 3, 4, 20
		var (
			wg      sync.WaitGroup
			holders atomic.Int32
			last    atomic.Int64
		)
		for range instances {
			c := e.client()
			for w := range workers {
				wg.Go(func() {
					for round := range rounds {
						l := e.acquire(c, "shared")
						if n := holders.Add(1); n != 1 {
							t.Errorf("%d holders at once", n)
						}
						if before := last.Swap(l.Fence()); before >= l.Fence() {
							t.Errorf("fence %d after %d", l.Fence(), before)
						}
						if (w+round)%5 == 0 {
							time.Sleep(time.Millisecond)
						}
						holders.Add(-1)
						e.release(l)
					}
				})
			}
		}
		wg.Wait()
		e.untouched("shared")
	})
}

func TestTryAcquireSaysWhoHoldsIt(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(redislock.WithName("alpha")), e.client()
		l := e.acquire(a, "x", redislock.WithMetadata("import of\nMonday"))
		_, err := b.TryAcquire(context.Background(), "x")
		var held *redislock.HeldError
		if !errors.Is(err, redislock.ErrHeld) || !errors.As(err, &held) {
			t.Fatalf("got %v, want ErrHeld", err)
		}
		if held.Holder.Client != "alpha" || held.Holder.Metadata != "import of\nMonday" || held.Holder.PID == 0 ||
			held.Waiting != 0 || held.Since.UnixMicro() != l.Fence() || held.Deadline.Sub(held.Since) < redislock.DefaultLease {
			t.Errorf("the error says %+v", held)
		}
		e.release(l)
		l, err = b.TryAcquire(context.Background(), "x")
		if err != nil {
			t.Fatal(err)
		}
		e.release(l)
	})
}

func TestI5WaitersAreServedInTheOrderOfArrival(t *testing.T) {
	both(t, func(e *env) {
		clients := []*redislock.Client{e.client(), e.client(), e.client()}
		first := e.acquire(clients[0], "line")
		var (
			mu    sync.Mutex
			order []int
			wg    sync.WaitGroup
		)
		const waiters = 12
		for i := range waiters {
			wg.Go(func() {
				l := e.acquire(clients[i%3], "line")
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				// I5: a newcomer never passes a queue that is not empty, not even at the moment of a hand-over.
				if i < waiters-1 {
					if _, err := clients[0].TryAcquire(context.Background(), "line"); !errors.Is(err, redislock.ErrHeld) {
						t.Errorf("a newcomer got %v", err)
					}
				}
				e.release(l)
			})
			e.queued(clients[0], "line", i+1)
		}
		e.release(first)
		wg.Wait()
		if !slices.IsSorted(order) || len(order) != waiters {
			t.Errorf("served in the order %v", order)
		}
		e.untouched("line")
	})
}

func TestHandOverCostsOneMessageAndNoPolling(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		a, b := e.client(), e.client()
		warm := e.acquire(b, "warm") // the preflight and the subscription are made once, and the scripts loaded
		time.Sleep(time.Second)
		e.release(warm)
		l := e.acquire(a, "x")
		got := make(chan *redislock.Lock)
		go func() { got <- e.acquire(b, "x") }()
		time.Sleep(time.Second)
		released := time.Now()
		go e.release(l)
		next := <-got
		// One packet carries the release, one the message.
		if took := time.Since(released); took != 2*time.Millisecond {
			t.Errorf("the next waiter had the lock %v after the release began", took)
		}
		if next.Fence() <= l.Fence() {
			t.Errorf("fence %d after %d", next.Fence(), l.Fence())
		}
		e.release(next)
	})
}

func TestOneSubscriptionWhateverTheNumberOfWaits(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(), e.client()
		var held []*redislock.Lock
		var wg sync.WaitGroup
		for i := range 20 {
			name := fmt.Sprint("lock-", i)
			held = append(held, e.acquire(a, name))
			for range 3 {
				wg.Go(func() { e.release(e.acquire(b, name)) })
			}
			e.queued(a, name, 3)
		}
		most := 2
		if e.real != nil && len(e.real.masters) > 1 { // one more for each shard
			most *= 1 + len(e.real.masters)
		}
		if n := e.subscriptions(); n < 2 || n > most {
			t.Errorf("%d subscriptions of two Clients", n)
		}
		for _, l := range held {
			e.release(l)
		}
		wg.Wait()
	})
}

func TestDoReportsALossEvenIfTheBodyReturnsNil(t *testing.T) {
	both(t, func(e *env) {
		c, operator := e.client(), e.client()
		err := c.Do(context.Background(), "x", func(ctx context.Context) error {
			if _, err := operator.Break(context.Background(), "x", "test"); err != nil {
				t.Error(err)
			}
			<-ctx.Done()
			if cause := context.Cause(ctx); !errors.Is(cause, redislock.ErrStolen) {
				t.Errorf("the body's context ended with %v", cause)
			}
			return nil
		})
		if !errors.Is(err, redislock.ErrLost) || !errors.Is(err, redislock.ErrNotHeld) {
			t.Errorf("Do returned %v", err)
		}
		boom := errors.New("boom")
		if err := c.Do(context.Background(), "x", func(context.Context) error { return boom }); !errors.Is(err, boom) || errors.Is(err, redislock.ErrLost) {
			t.Errorf("Do returned %v for a body that failed", err)
		}
		func() {
			defer func() { _ = recover() }()
			_ = c.Do(context.Background(), "x", func(context.Context) error { panic("boom") })
		}()
		e.untouched("x") // also after a panic
	})
}

func TestI10WrapDoesNotRunTheFunctionWithoutTheLock(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(), e.client()
		ran := 0
		wrapped := b.Wrap("x", func(context.Context) error { ran++; return nil }, redislock.WithWait(0))
		by := redislock.WrapBy(b, func(id int) string { return fmt.Sprint("x/", id) },
			func(_ context.Context, id int) error { ran += id; return nil }, redislock.WithWait(0))

		l, m := e.acquire(a, "x"), e.acquire(a, "x/7")
		if err := wrapped(context.Background()); !errors.Is(err, redislock.ErrHeld) || ran != 0 {
			t.Errorf("held: %v, ran %d", err, ran)
		}
		if err := by(context.Background(), 7); !errors.Is(err, redislock.ErrHeld) || ran != 0 {
			t.Errorf("held: %v, ran %d", err, ran)
		}
		if err := by(context.Background(), 8); err != nil || ran != 8 {
			t.Errorf("another argument, another lock: %v, ran %d", err, ran)
		}
		e.release(l)
		e.release(m)
		if err := errors.Join(wrapped(context.Background()), by(context.Background(), 7)); err != nil || ran != 16 {
			t.Errorf("free: %v, ran %d", err, ran)
		}
	})
}

func TestWaitEndsWithHeldAndWithTheContextsError(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(redislock.WithName("alpha")), e.client()
		e.warm(b)
		l := e.acquire(a, "x")
		start := time.Now()
		_, err := b.Acquire(context.Background(), "x", redislock.WithWait(time.Second))
		var held *redislock.HeldError
		if !errors.As(err, &held) || !errors.Is(err, redislock.ErrHeld) || held.Holder.Client != "alpha" ||
			held.Waiting != 0 || errors.Is(err, context.DeadlineExceeded) || time.Since(start) < time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		if _, err = b.Acquire(ctx, "x"); !errors.Is(err, redislock.ErrHeld) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a context that ended: %v", err)
		}
		if _, err = b.Acquire(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, redislock.ErrHeld) {
			t.Errorf("a context that had ended before: %v", err)
		}
		e.release(l)
		e.untouched("x")
	})
}

func TestANonReentrantAcquireUnderItsOwnContextIsADeadlockAtOnce(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		l := e.acquire(c, "x")
		for _, ctx := range []context.Context{l.Context(), l.With(context.Background())} {
			if _, err := c.Acquire(ctx, "x", redislock.NonReentrant()); !errors.Is(err, redislock.ErrDeadlock) {
				t.Errorf("got %v, want ErrDeadlock", err)
			}
			other, err := c.Acquire(ctx, "y")
			if err != nil {
				t.Fatal(err)
			}
			e.release(other)
		}
		e.release(l)
		again, err := c.Acquire(context.WithoutCancel(l.Context()), "x")
		if err != nil {
			t.Fatalf("after the release it is no deadlock: %v", err)
		}
		e.release(again)
	})
}

func TestContextCarriesValuesButNotCancellation(t *testing.T) {
	both(t, func(e *env) {
		type key struct{}
		ctx, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "v"))
		l, err := e.client().Acquire(ctx, "x")
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if ended(l.Context()) || l.Err() != nil || l.Context().Value(key{}) != "v" {
			t.Errorf("after the caller's context ended: %v, value %v", l.Err(), l.Context().Value(key{}))
		}
		if with := l.With(ctx); !errors.Is(with.Err(), context.Canceled) {
			t.Error("With does not end with the given context")
		}
		with := l.With(context.Background())
		if err := l.Release(ctx); err != nil { // works although ctx has ended
			t.Error(err)
		}
		<-with.Done()
		if cause := context.Cause(with); !errors.Is(cause, redislock.ErrReleased) {
			t.Errorf("With ended with %v", cause)
		}
		e.untouched("x")
	})
}

func TestUnreachableIsNeitherHeldNorLost(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", DialerRetries: 1, DialTimeout: time.Second})
	defer rdb.Close()
	c, err := redislock.New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Acquire(context.Background(), "x")
	if err == nil || errors.Is(err, redislock.ErrHeld) || errors.Is(err, redislock.ErrLost) {
		t.Errorf("got %v", err)
	}
	ran := false
	if err := c.Do(context.Background(), "x", func(context.Context) error { ran = true; return nil }); err == nil || ran {
		t.Errorf("I10: the body ran %v, error %v", ran, err)
	}
	if err := c.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestWithWaitBoundsTheFirstRequestsToo(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, n *fakenet.Network) {
		c := e.client()
		n.Cut()
		start := time.Now()
		_, err := c.Acquire(context.Background(), "x", redislock.WithWait(200*time.Millisecond))
		if took := time.Since(start); took > 600*time.Millisecond || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, redislock.ErrHeld) {
			t.Errorf("a server that never answers: %v after %v", err, took)
		}
		n.Mend()
	})
}

func TestNamesNeverCollide(t *testing.T) {
	names := []string{"a", "{a}", "%7Ba%7D", "a}", "{a", "a b", "a\x00b", "\xff\xfe", "ä", "w:{a}", "a%", "a%25", " ", "\n", "c:x"}
	both(t, func(e *env) {
		c := e.client()
		var locks []*redislock.Lock
		for _, name := range names {
			l, err := c.TryAcquire(context.Background(), name)
			if err != nil {
				t.Fatalf("%q: %v", name, err)
			}
			locks = append(locks, l)
			weak, err := c.AcquireWeak(context.Background(), name, redislock.WithWait(0))
			if err != nil {
				t.Fatalf("weak %q: %v", name, err)
			}
			defer weak.Release(context.Background())
			if first, err := c.First(context.Background(), name, time.Minute); err != nil || !first {
				t.Fatalf("first %q: %v %v", name, first, err)
			}
		}
		for _, l := range locks {
			e.release(l)
		}
	})
}
