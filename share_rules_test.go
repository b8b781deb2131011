package redislock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// An error after the lock was lost, or when nobody waits any more, says nothing about the value.
func TestAnErrorThatIsNotTheValuesIsNotShared(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(), e.client()
		ask := func() error {
			v, err := redislock.Share(context.Background(), b, "n", time.Minute, func(context.Context) (int, error) { return 1, nil })
			if v != 1 {
				t.Errorf("%d", v)
			}
			return err
		}
		_, err := redislock.Share(context.Background(), a, "n", time.Minute, func(ctx context.Context) (int, error) {
			if _, err := b.Break(context.Background(), "share:n", "test"); err != nil {
				t.Error(err)
			}
			<-ctx.Done() // it hears of the loss
			return 0, ctx.Err()
		}, redislock.WithErrorTTL(time.Minute))
		if err == nil {
			t.Error("no error")
		}
		if err := ask(); err != nil {
			t.Errorf("after a loss: %v", err)
		}
		if err := a.ShareReset(context.Background(), "n"); err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithCancel(context.Background())
		_, _ = redislock.Share(ctx, a, "n", time.Minute, func(ctx context.Context) (int, error) {
			leave()
			<-ctx.Done()
			return 0, ctx.Err()
		}, redislock.WithErrorTTL(time.Minute))
		if err := ask(); err != nil {
			t.Errorf("after its caller went away: %v", err)
		}
	})
}

type who struct{}

// A refresh outlives the caller that began it, has its values, and ends with the Client.
func TestARefreshOutlivesItsCallerAndEndsWithTheClient(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		a := e.client()
		n, ended := 0, make(chan error, 1)
		get := func(fetch func(context.Context) (int, error)) int {
			ctx, leave := context.WithCancel(context.WithValue(context.Background(), who{}, "me"))
			defer leave()
			v, err := redislock.Share(ctx, a, "n", time.Minute, fetch, redislock.WithStale(time.Hour))
			if err != nil {
				t.Error(err)
			}
			return v
		}
		slow := func(ctx context.Context) (int, error) {
			n++
			if ctx.Value(who{}) != "me" {
				t.Error("the values of no caller")
			}
			select {
			case <-time.After(time.Second):
				return n, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		get(slow)
		time.Sleep(2 * time.Minute)
		get(slow) // stale
		time.Sleep(2 * time.Second)
		if v := get(slow); v != 2 || n != 2 {
			t.Errorf("%d after %d fetches", v, n)
		}
		time.Sleep(2 * time.Minute)
		get(func(ctx context.Context) (int, error) {
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return 0, ctx.Err()
		})
		time.Sleep(time.Second)
		if err := a.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, redislock.ErrClosed) {
			t.Errorf("it ended with %v", err)
		}
	})
}

// What is not kept is told, of a fetch and of a refresh.
func TestTheObserverIsToldOfWhatIsNotKept(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		seen := &recorder{}
		oh := errors.New("oh")
		fail := true
		a := e.tapped(&tap{before: func(text string) error {
			if fail && len(text) > 40 && text[:8] == "evalsha " && text[8:48] == digest("record") {
				return errors.New("the line is down")
			}
			return nil
		}}, redislock.WithObserver(seen))
		ask := func(fn func(context.Context) (int, error)) {
			if v, err := redislock.Share(context.Background(), a, "n", time.Minute, fn, redislock.WithStale(time.Hour)); v != 1 || err != nil {
				t.Errorf("%d, %v", v, err)
			}
		}
		one := func(context.Context) (int, error) { return 1, nil }
		ask(one)
		if n := seen.count(redislock.EventNotKept); n != 1 {
			t.Errorf("told %d times of a value that was not kept", n)
		}
		fail = false
		ask(one)
		time.Sleep(2 * time.Minute)
		ask(func(context.Context) (int, error) { return 0, oh })
		time.Sleep(time.Second)
		if n := seen.count(redislock.EventNotKept); n != 2 {
			t.Errorf("told %d times, a refresh that failed included", n)
		}
	})
}
