package redislock_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

func TestAWeakLockIsHeldByOneUntilItsLeaseEnds(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(), e.client()
		ctx := context.Background()
		w, err := a.AcquireWeak(ctx, "x", redislock.WithLease(2*time.Second))
		if err != nil {
			e.Fatal(err)
		}
		if _, err := b.AcquireWeak(ctx, "x", redislock.WithWait(0)); !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("while it is held: %v", err)
		}
		if _, err := b.AcquireWeak(ctx, "x", redislock.WithWait(20*time.Millisecond)); !errors.Is(err, redislock.ErrHeld) || errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("after a short wait: %v", err)
		}
		strong, err := b.TryAcquire(ctx, "x")
		if err != nil {
			e.Errorf("the two kinds meet: %v", err)
		} else {
			e.release(strong)
		}
		start := time.Now()
		next, err := b.AcquireWeak(ctx, "x")
		if err != nil {
			e.Fatal(err)
		}
		if took := time.Since(start); e.mini != nil && took > 10*time.Second {
			e.Errorf("taken over after %v", took)
		}
		if err := w.Err(); !errors.Is(err, redislock.ErrLost) {
			e.Errorf("the first holder says %v", err)
		}
		if err := w.Release(ctx); !errors.Is(err, redislock.ErrNotHeld) {
			e.Errorf("its release: %v", err)
		}
		if _, err := a.AcquireWeak(ctx, "x", redislock.WithWait(0)); !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("a late release took it from its owner: %v", err)
		}
		if err := errors.Join(next.Release(ctx), next.Release(ctx)); err != nil {
			e.Error(err)
		}
		if cause := context.Cause(next.Context()); !errors.Is(cause, redislock.ErrReleased) {
			e.Errorf("after the release: %v", cause)
		}
		if again, err := a.AcquireWeak(ctx, "x", redislock.WithWait(0)); err != nil {
			e.Error(err)
		} else if err := again.Release(ctx); err != nil {
			e.Error(err)
		}
	})
}

func TestFirstIsTrueOnceInAWindow(t *testing.T) {
	both(t, func(e *env) {
		const window = time.Second
		a, b := e.client(), e.client()
		ctx := context.Background()
		first := func(c *redislock.Client, want bool) {
			e.Helper()
			if got, err := c.First(ctx, "mail/42", window); got != want || err != nil {
				e.Errorf("got %v, %v, want %v", got, err, want)
			}
		}
		first(a, true)
		first(a, false)
		first(b, false)
		time.Sleep(window + 50*time.Millisecond)
		first(b, true)
		if err := a.Forget(ctx, "mail/42"); err != nil {
			e.Error(err)
		}
		first(a, true)

		got, err := b.FirstOf(ctx, []string{"mail/42", "mail/43", "mail/44", "mail/43"}, time.Minute)
		if err != nil || !slices.Equal(got, []bool{false, true, true, false}) {
			e.Errorf("a batch: %v, %v", got, err)
		}
		if got, err := b.FirstOf(ctx, nil, time.Minute); len(got) != 0 || err != nil {
			e.Errorf("an empty batch: %v, %v", got, err)
		}
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		if got, err := b.First(cancelled, "mail/45", time.Minute); got || !errors.Is(err, context.Canceled) {
			e.Errorf("a cancelled context: %v, %v", got, err)
		}
	})
}

func TestABatchCostsOneRoundTrip(t *testing.T) {
	both(t, func(e *env) {
		counter := &roundTrips{}
		rdb := e.connect()
		rdb.AddHook(counter)
		c, err := redislock.New(rdb)
		if err != nil {
			e.Fatal(err)
		}
		keys := make([]string, 1000)
		for i := range keys {
			keys[i] = string(rune('a'+i%26)) + time.Duration(i).String()
		}
		got, err := c.FirstOf(context.Background(), keys, time.Minute)
		if err != nil || slices.Contains(got, false) {
			e.Errorf("%v", err)
		}
		if counter.pipelines != 1 || counter.single != 0 {
			e.Errorf("%d pipelines and %d commands", counter.pipelines, counter.single)
		}
		_ = c.Close(context.Background())
	})
}

// roundTrips counts what a client sends.
type roundTrips struct{ pipelines, single int }

func (r *roundTrips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (r *roundTrips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if name := cmd.Name(); name == "set" || name == "get" { // not the handshake of a connection
			r.single++
		}
		return next(ctx, cmd)
	}
}

func (r *roundTrips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if len(cmds) > 0 && cmds[0].Name() == "set" {
			r.pipelines++
		}
		return next(ctx, cmds)
	}
}

func TestFailOpenIsForTheWeakKindAlone(t *testing.T) {
	var seen recorder
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", DialerRetries: 1, DialTimeout: time.Second})
	defer rdb.Close()
	c, err := redislock.New(rdb, redislock.WithObserver(&seen))
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if ok, err := c.First(ctx, "k", time.Minute); ok || err == nil {
		t.Errorf("without fail-open: %v, %v", ok, err)
	}
	if ok, err := c.First(ctx, "k", time.Minute, redislock.WithFailOpen()); !ok || err != nil {
		t.Errorf("First: %v, %v", ok, err)
	}
	if got, err := c.FirstOf(ctx, []string{"k", "l", "k"}, time.Minute, redislock.WithFailOpen()); err != nil || !slices.Equal(got, []bool{true, true, false}) {
		t.Errorf("FirstOf: %v, %v", got, err)
	}
	w, err := c.AcquireWeak(ctx, "k", redislock.WithFailOpen())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Err(), w.Release(ctx)); err != nil {
		t.Error(err)
	}
	if n := seen.count(redislock.EventFailOpen); n != 5 {
		t.Errorf("the observer counted %d", n)
	}

	// I10: no option and no default turns a strong lock into a weak one.
	if _, err := c.Acquire(ctx, "k", redislock.WithFailOpen()); !errors.Is(err, redislock.ErrInvalid) {
		t.Errorf("a strong lock: %v", err)
	}
	if _, err := redislock.New(rdb, redislock.WithDefaults(redislock.WithFailOpen())); !errors.Is(err, redislock.ErrInvalid) {
		t.Errorf("as a default: %v", err)
	}
}

// A try whose answer was lost may be executed while the caller goes on trying. Then the key belongs to the caller.
func TestAWaitingWeakLockKnowsItsOwnLateCopy(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		holder, err := e.client().AcquireWeak(ctx, "x")
		if err != nil {
			e.Fatal(err)
		}
		const lease = 10 * time.Second
		first := once(e.T)
		copied := make(chan time.Time, 1)
		waiter := e.tapped(&tap{before: func(text string) error {
			args := strings.Fields(text)
			if args[0] != "set" || !first() {
				return nil
			}
			go func() { // it arrives when the key is free again
				time.Sleep(700 * time.Millisecond)
				if err := holder.Release(ctx); err != nil {
					e.Error(err)
				}
				copied <- time.Now()
				e.raw.Do(ctx, "set", args[1], args[2], "nx", "px", args[5])
			}()
			return io.EOF
		}})
		begun := time.Now()
		w, err := waiter.AcquireWeak(ctx, "x", redislock.WithLease(lease))
		if err != nil {
			e.Fatal(err)
		}
		if passed := time.Since(begun); passed > time.Second {
			e.Errorf("acquired after %v", passed)
		}
		<-w.Context().Done()
		if kept := time.Since(<-copied); kept > lease || kept < lease-300*time.Millisecond {
			e.Errorf("relied on for %v after it was taken, the key lives %v", kept, lease)
		}
	})
}

// halfDown is a hook that behaves as a cluster of which one master is down: that of the keys with "down" in them.
type halfDown struct{ answer error }

func (h halfDown) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h halfDown) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.Contains(textOf(cmd), "down") {
			return h.answer
		}
		return next(ctx, cmd)
	}
}

func (h halfDown) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		up := slices.DeleteFunc(slices.Clone(cmds), func(cmd redis.Cmder) bool { return strings.Contains(textOf(cmd), "down") })
		if len(up) > 0 {
			_ = next(ctx, up)
		}
		if len(up) == len(cmds) {
			return nil
		}
		for _, cmd := range cmds {
			if !slices.Contains(up, cmd) {
				cmd.SetErr(h.answer)
			}
		}
		return h.answer
	}
}

// I11: while one master of a cluster is down, WithFailOpen answers yes for its keys only. The answers of the other
// masters stay.
func TestFailOpenKeepsTheAnswersThatAreKnown(t *testing.T) {
	ctx := context.Background()
	for _, answer := range []error{io.EOF, refusal("CLUSTERDOWN Hash slot not served")} {
		embedded(t, 0, func(e *env, _ *fakenet.Network) {
			told := &recorder{}
			rdb := e.connect()
			c := e.over(rdb, redislock.WithObserver(told))
			if first, err := c.First(ctx, "old", time.Hour); err != nil || !first {
				e.Fatal(first, err)
			}
			rdb.AddHook(halfDown{answer})
			first, err := c.FirstOf(ctx, []string{"old", "down", "new", "old", "down", "new"}, time.Hour, redislock.WithFailOpen())
			if err != nil || !slices.Equal(first, []bool{false, true, true, false, false, false}) {
				e.Errorf("FirstOf = %v, %v", first, err)
			}
			for _, event := range told.events {
				if event.Kind == redislock.EventFailOpen && event.Name != "down" {
					e.Errorf("fail-open of %q, which has an answer", event.Name)
				}
			}
			if n := told.count(redislock.EventFailOpen); n != 2 {
				e.Errorf("%d times fail-open", n)
			}
			first, err = c.FirstOf(ctx, []string{"newer", "down"}, time.Hour)
			if err == nil || first != nil {
				e.Errorf("without WithFailOpen: %v, %v", first, err)
			}
		})
	}
	embedded(t, 0, func(e *env, _ *fakenet.Network) { // a refusal of the client itself is none of it, whatever comes beside it
		rdb := e.connect()
		c := e.over(rdb)
		rdb.AddHook(halfDown{refusal("NOPERM User app has no permissions to run the 'set' command")})
		for _, keys := range [][]string{{"up", "down"}, {"down", "up"}} {
			if first, err := c.FirstOf(ctx, keys, time.Hour, redislock.WithFailOpen()); err == nil || first != nil {
				e.Errorf("FirstOf = %v, %v", first, err)
			}
		}
	})
}
