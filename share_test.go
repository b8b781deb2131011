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
					e.Error(err)
				}
				values[i] = v
			})
		}
		all.Wait()
		for _, v := range values {
			if v.Cents != 1 || len(v.Tags) != 1 {
				e.Fatalf("%v", v)
			}
			v.Tags[0] = "mine" // a value of its own
		}
		if fetches.Load() != 1 {
			e.Errorf("%d fetches", fetches.Load())
		}
		e.untouched("share:price")
	})
}

func TestASharedValueIsOverAfterItsTTL(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		a, b := e.client(), e.client()
		fetches := 0
		get := func(c *redislock.Client) int {
			e.Helper()
			v, err := redislock.Share(context.Background(), c, "n", time.Minute, func(context.Context) (int, error) { fetches++; return fetches, nil })
			if err != nil {
				e.Fatal(err)
			}
			return v
		}
		for want := 1; want < 4; want++ {
			if get(a) != want || get(b) != want {
				e.Errorf("after %d minutes: %d", want-1, get(b))
			}
			time.Sleep(59 * time.Second)
			if get(b) != want {
				e.Error("it was over too soon")
			}
			time.Sleep(time.Second)
		}
		if err := a.ShareReset(context.Background(), "n"); err != nil {
			e.Fatal(err)
		}
		if get(b) != 4 {
			e.Error("the reset was not noticed")
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
			e.Errorf("its own caller: %v", err)
		}
		time.Sleep(redislock.DefaultErrorTTL - time.Millisecond)
		var shared *redislock.SharedError
		if err := get(b); !errors.As(err, &shared) || shared.Text != "oh" || shared.Owner.Client != "first" {
			e.Errorf("another: %v", err)
		}
		if fetches != 1 {
			e.Errorf("%d fetches", fetches)
		}
		time.Sleep(time.Millisecond)
		if err := get(b, redislock.WithErrorTTL(0)); !errors.Is(err, oh) || fetches != 2 {
			e.Errorf("after its time: %v, %d fetches", err, fetches)
		}
		if err := get(a); !errors.Is(err, oh) || fetches != 3 {
			e.Errorf("one that is not to be shared: %v, %d fetches", err, fetches)
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
				e.Error(err)
			}
			if waited := time.Since(begun); waited > 0 && fetches.Load() > 1 {
				e.Errorf("it waited %v", waited)
			}
			return v
		}
		if get(clients[0]) != 1 {
			e.Fatal("the first")
		}
		time.Sleep(time.Minute)
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				if v := get(clients[i%2]); v != 1 {
					e.Errorf("while it is refreshed: %d", v)
				}
			})
		}
		all.Wait()
		time.Sleep(2 * time.Second)
		if v := get(clients[1]); v != 2 || fetches.Load() != 2 {
			e.Errorf("after the refresh: %d, %d fetches", v, fetches.Load())
		}
		fail.Store(1)
		time.Sleep(time.Minute)
		for range 5 { // a failure is not repeated for the time of the error
			for _, c := range clients {
				if get(c) != 2 {
					e.Error("a failed refresh took the value away")
				}
			}
			time.Sleep(2 * time.Second)
		}
		if fetches.Load() != 3 {
			e.Errorf("%d fetches while it failed", fetches.Load())
		}
		fail.Store(0)
		time.Sleep(2 * time.Second)
		get(clients[0])
		time.Sleep(2 * time.Second)
		if v := get(clients[1]); v != 4 {
			e.Errorf("after the recovery: %d", v)
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
			e.Errorf("the one that gave up: %v", err)
		}
		close(end)
		if err := <-results; err != nil {
			e.Errorf("the other: %v", err)
		}

		begun, end = make(chan struct{}), make(chan struct{})
		alone, leave := context.WithCancel(context.Background())
		if err := c.ShareReset(alone, "n"); err != nil {
			e.Fatal(err)
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
			e.Errorf("after a fetch that nobody waited for: %v", err)
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
				e.Errorf("%d bytes, %v", len(v), err)
			}
		}
		_, err := redislock.Share(ctx, a, "too large", time.Minute, func(context.Context) (string, error) { return large, nil })
		if !errors.Is(err, redislock.ErrTooLarge) || !strings.Contains(err.Error(), fmt.Sprint(redislock.MaxShared+2)) {
			e.Errorf("too large: %v", err)
		}
		for _, c := range []*redislock.Client{a, b} {
			v, err := redislock.Share(ctx, c, "gob", time.Minute, func(context.Context) (price, error) { return price{7, nil}, nil }, redislock.WithCodec(gobs{}))
			if err != nil || v.Cents != 7 {
				e.Errorf("%v, %v", v, err)
			}
		}
		v, err := redislock.Share(ctx, a, "gob", time.Minute, func(context.Context) (price, error) { return price{8, nil}, nil })
		if err != nil || v.Cents != 8 { // it is fetched anew
			e.Errorf("another codec: %v, %v", v, err)
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
				e.Errorf("%v, %v", p, err)
			}
			opts = append(opts, redislock.WithWait(0))
		}
		if p, err := call(func(context.Context) (int, error) { panic("oh") }); p == nil || !strings.Contains(fmt.Sprint(p), "oh") {
			e.Errorf("%v, %v", p, err)
		}
		if p, err := call(func(context.Context) (int, error) { runtime.Goexit(); return 0, nil }); p != nil || err == nil {
			e.Errorf("a goroutine that ended: %v, %v", p, err)
		}
		if p, err := call(func(context.Context) (int, error) { return 1, nil }); p != nil || err != nil {
			e.Errorf("after both: %v, %v", p, err)
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
				e.Errorf("%s: %v", what, err)
			}
		}
		_, err := redislock.Share(ctx, c, "x", time.Minute, func(ctx context.Context) (int, error) {
			return redislock.Share(ctx, c, "x", time.Minute, fetch)
		})
		if !errors.Is(err, redislock.ErrDeadlock) {
			e.Errorf("inside itself: %v", err)
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
				e.Error(err)
			}
			if v, err := redislock.Share(ctx, b, "n", time.Minute, func(context.Context) (string, error) { return "new", nil }); v != "new" || err != nil {
				e.Errorf("the later one: %q, %v", v, err)
			}
			return "old", nil
		})
		if late != "old" || err != nil {
			e.Errorf("the late one: %q, %v", late, err)
		}
		v, err := redislock.Share(ctx, a, "n", time.Minute, func(context.Context) (string, error) { return "another", nil })
		if v != "new" || err != nil {
			e.Errorf("%q, %v", v, err)
		}
	})
}

// An error after the loss of the lock, or when nobody waits any more, says nothing about the value.
func TestAnErrorThatIsNotTheValuesIsNotShared(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(), e.client()
		ask := func() error {
			v, err := redislock.Share(context.Background(), b, "n", time.Minute, func(context.Context) (int, error) { return 1, nil })
			if v != 1 {
				e.Errorf("%d", v)
			}
			return err
		}
		_, err := redislock.Share(context.Background(), a, "n", time.Minute, func(ctx context.Context) (int, error) {
			if _, err := b.Break(context.Background(), "share:n", "test"); err != nil {
				e.Error(err)
			}
			<-ctx.Done() // it hears of the loss
			return 0, ctx.Err()
		}, redislock.WithErrorTTL(time.Minute))
		if err == nil {
			e.Error("no error")
		}
		if err := ask(); err != nil {
			e.Errorf("after a loss: %v", err)
		}
		if err := a.ShareReset(context.Background(), "n"); err != nil {
			e.Fatal(err)
		}
		ctx, leave := context.WithCancel(context.Background())
		_, _ = redislock.Share(ctx, a, "n", time.Minute, func(ctx context.Context) (int, error) {
			leave()
			<-ctx.Done()
			return 0, ctx.Err()
		}, redislock.WithErrorTTL(time.Minute))
		if err := ask(); err != nil {
			e.Errorf("after its caller went away: %v", err)
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
				e.Error(err)
			}
			return v
		}
		slow := func(ctx context.Context) (int, error) {
			n++
			if ctx.Value(who{}) != "me" {
				e.Error("the values of no caller")
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
			e.Errorf("%d after %d fetches", v, n)
		}
		time.Sleep(2 * time.Minute)
		get(func(ctx context.Context) (int, error) {
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return 0, ctx.Err()
		})
		time.Sleep(time.Second)
		if err := a.Close(context.Background()); err != nil {
			e.Error(err)
		}
		if err := <-ended; !errors.Is(err, redislock.ErrClosed) {
			e.Errorf("it ended with %v", err)
		}
	})
}

// There is an event if the value of a fetch or a refresh could not be kept.
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
				e.Errorf("%d, %v", v, err)
			}
		}
		one := func(context.Context) (int, error) { return 1, nil }
		ask(one)
		if n := seen.count(redislock.EventNotKept); n != 1 {
			e.Errorf("told %d times of a value that was not kept", n)
		}
		fail = false
		ask(one)
		time.Sleep(2 * time.Minute)
		ask(func(context.Context) (int, error) { return 0, oh })
		time.Sleep(time.Second)
		if n := seen.count(redislock.EventNotKept); n != 2 {
			e.Errorf("told %d times, a refresh that failed included", n)
		}
	})
}

var errSoldOut = errors.New("sold out")

// soldOut carries one kind of error to other processes.
type soldOut struct{}

func (soldOut) MarshalError(err error) []byte {
	if errors.Is(err, errSoldOut) {
		return []byte("\x00sold out\xff")
	}
	return nil
}

func (soldOut) UnmarshalError(data []byte) error {
	if string(data) == "\x00sold out\xff" {
		return errSoldOut
	}
	return nil
}

func TestAnErrorOfAFetchKeepsItsIdentity(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(redislock.WithName("first")), e.client()
		get := func(c *redislock.Client, key string, err error, opts ...redislock.ShareOption) error {
			_, err = redislock.Share(ctx, c, key, time.Minute, func(context.Context) (int, error) { return 0, err }, append(opts, redislock.WithErrorTTL(time.Minute))...)
			return err
		}
		own := &tooMany{3}
		for i := range 3 {
			err := get(a, "n", own)
			var found *tooMany
			if !errors.Is(err, own) || !errors.As(err, &found) || found.n != 3 {
				e.Errorf("call %d of its process: %v", i, err)
			}
		}
		var shared *redislock.SharedError
		if err := get(b, "n", own); errors.Is(err, own) || !errors.As(err, &shared) || shared.Text != "3 are too many" || shared.Owner.Client != "first" {
			e.Errorf("another process: %v", err)
		}
		codec := redislock.WithErrorCodec(soldOut{})
		_ = get(a, "seats", errSoldOut, codec)
		if err := get(b, "seats", nil, codec); !errors.Is(err, errSoldOut) || !errors.As(err, &shared) || shared.Text != "sold out" {
			e.Errorf("with a codec: %v", err)
		}
		if err := get(b, "seats", nil); errors.Is(err, errSoldOut) || !errors.As(err, &shared) || shared.Text != "sold out" {
			e.Errorf("where it has none: %v", err)
		}
		_ = get(a, "other", own, codec)
		if err := get(b, "other", nil, codec); !errors.As(err, &shared) || shared.Text != "3 are too many" {
			e.Errorf("an error that the codec does not know: %v", err)
		}
	})
}

type tooMany struct{ n int }

func (e *tooMany) Error() string { return "3 are too many" }

// The stack of a panic is for its own process.
func TestOthersGetThePanicOfAFetchInOneLine(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ask := func(c *redislock.Client) (err error) {
			defer func() { _ = recover() }()
			_, err = redislock.Share(context.Background(), c, "n", time.Minute, func(context.Context) (int, error) { panic("oh") })
			return err
		}
		a := e.client()
		if err := ask(a); err != nil {
			e.Errorf("it was not raised: %v", err)
		}
		var p *redislock.PanicError
		if err := ask(a); !errors.As(err, &p) || p.Value != "oh" || strings.Contains(err.Error(), "\n") {
			e.Errorf("a later caller: %v", err)
		}
		if err := ask(e.client()); err == nil || errors.As(err, &p) || !strings.HasSuffix(err.Error(), ": panic: oh") {
			e.Errorf("another process: %v", err)
		}
	})
}

// A caller that comes as the last one leaves gets a fetch of its own, and not the end of the other's.
func TestACallerDoesNotGetTheEndOfAnothersContext(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		for range unlessShort(200, 50) {
			ctx, leave := context.WithCancel(context.Background())
			ended := make(chan struct{})
			var all sync.WaitGroup
			all.Go(func() {
				_, _ = redislock.Share(ctx, c, "n", time.Millisecond, func(ctx context.Context) (int, error) {
					leave()
					<-ctx.Done()
					close(ended)
					return 0, ctx.Err()
				})
			})
			<-ended
			v, err := redislock.Share(context.Background(), c, "n", time.Millisecond, func(context.Context) (int, error) { return 1, nil })
			if v != 1 || err != nil {
				e.Fatalf("%d, %v", v, err)
			}
			all.Wait()
			if err := c.ShareReset(context.Background(), "n"); err != nil {
				e.Fatal(err)
			}
		}
	})
}

// A function that uses the context of its caller ends with that context. Then the function of another caller fetches.
func TestAFetchThatEndsWithItsCallerIsBegunAnewForTheOthers(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(), e.client()
		request, leave := context.WithCancel(context.Background())
		begun := make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() {
			_, err := redislock.Share(request, a, "n", time.Minute, func(context.Context) (int, error) {
				close(begun)
				<-request.Done()
				e.settle()
				return 0, request.Err()
			}, redislock.WithErrorTTL(time.Minute))
			if !errors.Is(err, context.Canceled) {
				e.Errorf("the one that left: %v", err)
			}
		})
		<-begun
		for _, c := range []*redislock.Client{a, a, b} {
			all.Go(func() {
				v, err := redislock.Share(context.Background(), c, "n", time.Minute, func(context.Context) (int, error) { return 1, nil })
				if v != 1 || err != nil {
					e.Errorf("another: %d, %v", v, err)
				}
			})
		}
		e.settle()
		leave()
		all.Wait()
	})
}

// The context of a fetch ends when its lock is lost. That is not the end of the caller's.
func TestAFetchWhoseLockIsLostSaysSo(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(), e.client()
		_, err := redislock.Share(context.Background(), a, "n", time.Minute, func(ctx context.Context) (int, error) {
			if _, err := b.Break(context.Background(), "share:n", "test"); err != nil {
				e.Error(err)
			}
			<-ctx.Done()
			return 0, ctx.Err()
		})
		if !errors.Is(err, redislock.ErrLost) || errors.Is(err, context.Canceled) {
			e.Errorf("%v", err)
		}
	})
}

// The text of a shared error may come from others.
func TestTheErrorOfAnotherProcessIsShownOnOneLineWithoutControls(t *testing.T) {
	t.Parallel()
	e := &redislock.SharedError{Text: "no\x1b]52;c;ZXZpbA\a\nforged: line"}
	if text := e.Error(); strings.ContainsAny(text, "\x1b\a\n") {
		t.Errorf("%q", text)
	}
}
