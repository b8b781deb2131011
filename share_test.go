package redislock_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

type price struct {
	Cents int
	Tags  []string
}

func TestManyCallersOfShareCauseOneFetch(t *testing.T) {
	both(t, func(e *env) {
		clients := []*redislock.Client{e.client(), e.client(), e.client()}
		var fetches atomic.Int32
		var all sync.WaitGroup
		values := make([]price, 90)
		for i := range values {
			all.Go(func() {
				v, err := redislock.Share(context.Background(), clients[i%3], "price", time.Hour, func(context.Context) (price, error) {
					time.Sleep(50 * time.Millisecond)
					return price{int(fetches.Add(1)), []string{"new"}}, nil
				})
				if err != nil {
					t.Error(err)
				}
				values[i] = v
			})
		}
		all.Wait()
		for _, v := range values {
			if v.Cents != 1 || len(v.Tags) != 1 {
				t.Fatalf("%v", v)
			}
			v.Tags[0] = "mine" // a value of its own
		}
		if fetches.Load() != 1 {
			t.Errorf("%d fetches", fetches.Load())
		}
		e.untouched("share:price")
	})
}

func TestASharedValueIsOverAfterItsTTL(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		a, b := e.client(), e.client()
		fetches := 0
		get := func(c *redislock.Client) int {
			t.Helper()
			v, err := redislock.Share(context.Background(), c, "n", time.Minute, func(context.Context) (int, error) { fetches++; return fetches, nil })
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		for want := 1; want < 4; want++ {
			if get(a) != want || get(b) != want {
				t.Errorf("after %d minutes: %d", want-1, get(b))
			}
			time.Sleep(59 * time.Second)
			if get(b) != want {
				t.Error("it was over too soon")
			}
			time.Sleep(time.Second)
		}
		if err := a.ShareReset(context.Background(), "n"); err != nil {
			t.Fatal(err)
		}
		if get(b) != 4 {
			t.Error("the reset was not noticed")
		}
	})
}

func TestAnErrorIsSharedForAShortTime(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		a, b := e.client(redislock.WithName("first")), e.client()
		oh := errors.New("oh")
		fetches := 0
		get := func(c *redislock.Client, opts ...redislock.ShareOption) error {
			_, err := redislock.Share(ctx, c, "n", time.Minute, func(context.Context) (int, error) { fetches++; return 0, oh }, opts...)
			return err
		}
		if err := get(a); !errors.Is(err, oh) {
			t.Errorf("its own caller: %v", err)
		}
		time.Sleep(redislock.DefaultErrorTTL - time.Millisecond)
		var shared *redislock.SharedError
		if err := get(b); !errors.As(err, &shared) || shared.Text != "oh" || shared.Owner.Client != "first" {
			t.Errorf("another: %v", err)
		}
		if fetches != 1 {
			t.Errorf("%d fetches", fetches)
		}
		time.Sleep(time.Millisecond)
		if err := get(b, redislock.WithErrorTTL(0)); !errors.Is(err, oh) || fetches != 2 {
			t.Errorf("after its time: %v, %d fetches", err, fetches)
		}
		if err := get(a); !errors.Is(err, oh) || fetches != 3 {
			t.Errorf("one that is not to be shared: %v, %d fetches", err, fetches)
		}
	})
}

func TestAStaleValueIsServedWhileOneRefreshesIt(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		clients := []*redislock.Client{e.client(), e.client()}
		var fetches, fail atomic.Int32
		get := func(c *redislock.Client) int {
			begun := time.Now()
			v, err := redislock.Share(context.Background(), c, "n", time.Minute, func(context.Context) (int, error) {
				n := int(fetches.Add(1))
				time.Sleep(time.Second)
				if fail.Load() > 0 {
					return 0, errors.New("down")
				}
				return n, nil
			}, redislock.WithStale(time.Hour), redislock.WithErrorTTL(10*time.Second))
			if err != nil {
				t.Error(err)
			}
			if waited := time.Since(begun); waited > 0 && fetches.Load() > 1 {
				t.Errorf("it waited %v", waited)
			}
			return v
		}
		if get(clients[0]) != 1 {
			t.Fatal("the first")
		}
		time.Sleep(time.Minute)
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				if v := get(clients[i%2]); v != 1 {
					t.Errorf("while it is refreshed: %d", v)
				}
			})
		}
		all.Wait()
		time.Sleep(2 * time.Second)
		if v := get(clients[1]); v != 2 || fetches.Load() != 2 {
			t.Errorf("after the refresh: %d, %d fetches", v, fetches.Load())
		}
		fail.Store(1)
		time.Sleep(time.Minute)
		for range 5 { // a failure is not repeated for the time of the error
			for _, c := range clients {
				if get(c) != 2 {
					t.Error("a failed refresh took the value away")
				}
			}
			time.Sleep(2 * time.Second)
		}
		if fetches.Load() != 3 {
			t.Errorf("%d fetches while it failed", fetches.Load())
		}
		fail.Store(0)
		time.Sleep(2 * time.Second)
		get(clients[0])
		time.Sleep(2 * time.Second)
		if v := get(clients[1]); v != 4 {
			t.Errorf("after the recovery: %d", v)
		}
	})
}

func TestACallerThatGivesUpLeavesTheFetchToTheOthers(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		impatient, give := context.WithCancel(context.Background())
		begun, end, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		fetch := func(ctx context.Context) (string, error) {
			close(begun)
			select {
			case <-end:
				return "value", nil
			case <-ctx.Done():
				ended <- context.Cause(ctx)
				return "", ctx.Err()
			}
		}
		results := make(chan error, 2)
		share := func(ctx context.Context) {
			v, err := redislock.Share(ctx, c, "n", time.Minute, fetch)
			if err == nil && v != "value" {
				err = fmt.Errorf("got %q", v)
			}
			results <- err
		}
		go share(impatient)
		<-begun
		go share(context.Background())
		e.settle()
		give()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("the one that gave up: %v", err)
		}
		close(end)
		if err := <-results; err != nil {
			t.Errorf("the other: %v", err)
		}

		begun, end = make(chan struct{}), make(chan struct{})
		alone, leave := context.WithCancel(context.Background())
		if err := c.ShareReset(alone, "n"); err != nil {
			t.Fatal(err)
		}
		go share(alone)
		<-begun
		leave()
		<-results
		<-ended // its last caller has gone
		begun = make(chan struct{})
		close(end)
		share(context.Background())
		if err := <-results; err != nil {
			t.Errorf("after a fetch that nobody waited for: %v", err)
		}
	})
}

func TestShareHasAnyCodecAndALargestValue(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		large := strings.Repeat("x", redislock.MaxShared)
		for _, c := range []*redislock.Client{a, b} {
			v, err := redislock.Share(ctx, c, "large", time.Minute, func(context.Context) ([]byte, error) { return []byte(large), nil }, redislock.WithCodec(plain{}))
			if err != nil || string(v) != large {
				t.Errorf("%d bytes, %v", len(v), err)
			}
		}
		_, err := redislock.Share(ctx, a, "too large", time.Minute, func(context.Context) (string, error) { return large, nil })
		if !errors.Is(err, redislock.ErrTooLarge) || !strings.Contains(err.Error(), fmt.Sprint(redislock.MaxShared+2)) {
			t.Errorf("too large: %v", err)
		}
		for _, c := range []*redislock.Client{a, b} {
			v, err := redislock.Share(ctx, c, "gob", time.Minute, func(context.Context) (price, error) { return price{7, nil}, nil }, redislock.WithCodec(gobs{}))
			if err != nil || v.Cents != 7 {
				t.Errorf("%v, %v", v, err)
			}
		}
		v, err := redislock.Share(ctx, a, "gob", time.Minute, func(context.Context) (price, error) { return price{8, nil}, nil })
		if err != nil || v.Cents != 8 { // it is fetched anew
			t.Errorf("another codec: %v, %v", v, err)
		}
	})
}

type plain struct{}

func (plain) Marshal(v any) ([]byte, error)      { return v.([]byte), nil }
func (plain) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }

type gobs struct{}

func (gobs) Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}

func (gobs) Unmarshal(data []byte, v any) error {
	return gob.NewDecoder(bytes.NewReader(data)).Decode(v)
}

func TestAPanicOfAFetchIsRaisedInItsCallers(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		opts := []redislock.ShareOption{redislock.WithErrorTTL(0)}
		call := func(fn func(context.Context) (int, error)) (p any, err error) {
			defer func() { p = recover() }()
			_, err = redislock.Share(context.Background(), c, "n", time.Minute, fn, opts...)
			return nil, err
		}
		for range 2 {
			if p, err := call(func(context.Context) (int, error) { panic("oh") }); p != "oh" {
				t.Errorf("%v, %v", p, err)
			}
			opts = append(opts, redislock.WithWait(0))
		}
		if p, err := call(func(context.Context) (int, error) { panic("oh") }); p == nil || !strings.Contains(fmt.Sprint(p), "oh") {
			t.Errorf("%v, %v", p, err)
		}
		if p, err := call(func(context.Context) (int, error) { runtime.Goexit(); return 0, nil }); p != nil || err == nil {
			t.Errorf("a goroutine that ended: %v, %v", p, err)
		}
		if p, err := call(func(context.Context) (int, error) { return 1, nil }); p != nil || err != nil {
			t.Errorf("after both: %v, %v", p, err)
		}
		e.untouched("share:n")
	})
}

func TestShareRefusesWhatItCannotDo(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c := e.client()
		fetch := func(context.Context) (int, error) { return 1, nil }
		share := func(key string, ttl time.Duration, opts ...redislock.ShareOption) error {
			_, err := redislock.Share(ctx, c, key, ttl, fetch, opts...)
			return err
		}
		_, noFetch := redislock.Share[int](ctx, c, "x", time.Minute, nil)
		for what, err := range map[string]error{
			"no key":          share("", time.Minute),
			"a long key":      share(strings.Repeat("k", redislock.MaxName-5), time.Minute),
			"no ttl":          share("x", 0),
			"no function":     noFetch,
			"no codec":        share("x", time.Minute, redislock.WithCodec(nil)),
			"a stale past":    share("x", time.Minute, redislock.WithStale(-1)),
			"errors for ever": share("x", time.Minute, redislock.WithErrorTTL(time.Hour)),
			"a mode":          share("x", time.Minute, redislock.WithMode(redislock.Read)),
			"a nil option":    share("x", time.Minute, nil),
		} {
			if !errors.Is(err, redislock.ErrInvalid) {
				t.Errorf("%s: %v", what, err)
			}
		}
		_, err := redislock.Share(ctx, c, "x", time.Minute, func(ctx context.Context) (int, error) {
			return redislock.Share(ctx, c, "x", time.Minute, fetch)
		})
		if !errors.Is(err, redislock.ErrDeadlock) {
			t.Errorf("inside itself: %v", err)
		}
	})
}

// A fetcher that was paused past its lease does not overwrite what a later one fetched.
func TestALateFetchDoesNotOverwriteALaterOne(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		late, err := redislock.Share(ctx, a, "n", time.Minute, func(context.Context) (string, error) {
			if _, err := b.Break(ctx, "share:n", "as if its lease had ended"); err != nil {
				t.Error(err)
			}
			if v, err := redislock.Share(ctx, b, "n", time.Minute, func(context.Context) (string, error) { return "new", nil }); v != "new" || err != nil {
				t.Errorf("the later one: %q, %v", v, err)
			}
			return "old", nil
		})
		if late != "old" || err != nil {
			t.Errorf("the late one: %q, %v", late, err)
		}
		v, err := redislock.Share(ctx, a, "n", time.Minute, func(context.Context) (string, error) { return "another", nil })
		if v != "new" || err != nil {
			t.Errorf("%q, %v", v, err)
		}
	})
}
