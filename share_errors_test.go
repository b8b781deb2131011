package redislock_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

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
				t.Errorf("call %d of its process: %v", i, err)
			}
		}
		var shared *redislock.SharedError
		if err := get(b, "n", own); errors.Is(err, own) || !errors.As(err, &shared) || shared.Text != "3 are too many" || shared.Owner.Client != "first" {
			t.Errorf("another process: %v", err)
		}
		codec := redislock.WithErrorCodec(soldOut{})
		_ = get(a, "seats", errSoldOut, codec)
		if err := get(b, "seats", nil, codec); !errors.Is(err, errSoldOut) || !errors.As(err, &shared) || shared.Text != "sold out" {
			t.Errorf("with a codec: %v", err)
		}
		if err := get(b, "seats", nil); errors.Is(err, errSoldOut) || !errors.As(err, &shared) || shared.Text != "sold out" {
			t.Errorf("where it has none: %v", err)
		}
		_ = get(a, "other", own, codec)
		if err := get(b, "other", nil, codec); !errors.As(err, &shared) || shared.Text != "3 are too many" {
			t.Errorf("an error that the codec does not know: %v", err)
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
			t.Errorf("it was not raised: %v", err)
		}
		var p *redislock.PanicError
		if err := ask(a); !errors.As(err, &p) || p.Value != "oh" || strings.Contains(err.Error(), "\n") {
			t.Errorf("a later caller: %v", err)
		}
		if err := ask(e.client()); err == nil || errors.As(err, &p) || !strings.HasSuffix(err.Error(), ": panic: oh") {
			t.Errorf("another process: %v", err)
		}
	})
}

// Whoever comes as the last caller leaves gets a fetch of its own, not the end of the other's.
func TestACallerDoesNotGetTheEndOfAnothersContext(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		for range 200 {
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
				t.Fatalf("%d, %v", v, err)
			}
			all.Wait()
			if err := c.ShareReset(context.Background(), "n"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A function that uses the context of its caller ends with that one. The others have it fetched by theirs.
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
				t.Errorf("the one that left: %v", err)
			}
		})
		<-begun
		for _, c := range []*redislock.Client{a, a, b} {
			all.Go(func() {
				v, err := redislock.Share(context.Background(), c, "n", time.Minute, func(context.Context) (int, error) { return 1, nil })
				if v != 1 || err != nil {
					t.Errorf("another: %d, %v", v, err)
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
				t.Error(err)
			}
			<-ctx.Done()
			return 0, ctx.Err()
		})
		if !errors.Is(err, redislock.ErrLost) || errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

// The text of an error is somebody else's.
func TestTheErrorOfAnotherProcessIsShownOnOneLineWithoutControls(t *testing.T) {
	t.Parallel()
	e := &redislock.SharedError{Text: "no\x1b]52;c;ZXZpbA\a\nforged: line"}
	if text := e.Error(); strings.ContainsAny(text, "\x1b\a\n") {
		t.Errorf("%q", text)
	}
}
