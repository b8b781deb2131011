package redislock_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

func preflights(n *atomic.Int64, fail *atomic.Bool) *tap {
	return &tap{before: func(text string) error {
		if !strings.Contains(text, digest("preflight")) && !strings.Contains(text, "local refused") {
			return nil
		}
		if fail.Load() {
			return io.EOF
		}
		n.Add(1)
		return nil
	}}
}

// All who take a first lock at the same time share one preflight.
func TestAThousandFirstAcquiresSendOnePreflight(t *testing.T) {
	embedded(t, 5*time.Millisecond, func(e *env, _ *fakenet.Network) {
		var sent atomic.Int64
		var fail atomic.Bool
		warm := e.client() // so that the server knows the scripts
		e.release(e.acquire(warm, "warm"))
		c := e.tapped(preflights(&sent, &fail))
		var all sync.WaitGroup
		for i := range 1000 {
			all.Go(func() { e.release(e.acquire(c, strconv.Itoa(i))) })
		}
		all.Wait()
		if n := sent.Load(); n != 1 {
			t.Errorf("%d preflights", n)
		}
	})
}

// Who shares a preflight waits no longer for it than his context lasts, and after one that failed the next acquire makes another.
func TestAPreflightHoldsNobodyLongerThanItsContext(t *testing.T) {
	ctx := context.Background()
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		var sent atomic.Int64
		var fail atomic.Bool
		c := e.tapped(preflights(&sent, &fail))
		n.Cut()
		first := make(chan error, 1)
		go func() { first <- second(c.Acquire(ctx, "a")) }()
		time.Sleep(time.Millisecond)
		bounded, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		begun := time.Now()
		if _, err := c.Acquire(bounded, "b"); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 50*time.Millisecond {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		begun = time.Now()
		if _, err := c.Acquire(ctx, "b", redislock.WithWait(70*time.Millisecond)); err == nil || time.Since(begun) != 70*time.Millisecond {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		fail.Store(true)
		n.Mend()
		if err := <-first; err == nil {
			t.Error("a lock without a preflight")
		}
		if _, err := c.Acquire(ctx, "a"); !errors.Is(err, io.EOF) {
			t.Errorf("the next has %v", err)
		}
		fail.Store(false)
		e.release(e.acquire(c, "a"))
		before := sent.Load()
		e.release(e.acquire(c, "b"))
		if sent.Load() != before {
			t.Error("a preflight that had passed was made again")
		}
	})
}

// A hook of the Redis client may end the goroutine that it is called on. The one caller has an error, the next one a lock.
func TestAPreflightThatIsCutShortBlocksNobody(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		first := once(t)
		c := e.tapped(&tap{before: func(text string) error {
			if strings.Contains(text, digest("preflight")) && first() {
				runtime.Goexit()
			}
			return nil
		}})
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := c.Acquire(ctx, "x"); err == nil || ctx.Err() != nil {
			t.Errorf("the first caller: %v", err)
		}
		l, err := c.Acquire(ctx, "x")
		if err != nil {
			t.Fatalf("the next caller: %v", err)
		}
		e.release(l)
	})
}
