package fence_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/fence"
)

func TestASmallerFenceIsRefusedAndAnyOtherAccepted(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, r fence.Register) {
		ctx := context.Background()
		accepted(t, r, "account/7", 5)
		accepted(t, r, "account/7", 5) // one holder writes many times
		accepted(t, r, "account/7", 9)
		refused(t, r.Accept(ctx, "account/7", 8), "account/7", 8, 9)
		refused(t, r.Accept(ctx, "account/7", 5), "account/7", 5, 9)
		accepted(t, r, "account/7", 9) // a refusal changes nothing
	})
}

func TestFencesCompareToTheLastDigit(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, r fence.Register) {
		ctx := context.Background()
		accepted(t, r, "digits", 9)
		accepted(t, r, "digits", 10) // numbers of different lengths must not compare as text
		refused(t, r.Accept(ctx, "digits", 9), "digits", 9, 10)
		f := time.Now().Add(23 * time.Hour).UnixMicro() // nearly as far ahead as is allowed
		accepted(t, r, "digits", f)
		refused(t, r.Accept(ctx, "digits", f-1), "digits", f-1, f)
	})
}

func TestResourcesDoNotMeet(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, r fence.Register) {
		names := []string{"a", "a}", "{a", "{a}", "a%7D", "a:fence", " a", "A", "ä", "\xff\x00\r\n", strings.Repeat("x", redislock.MaxName)}
		for i, name := range names {
			accepted(t, r, name, int64(1000-i)) // as one resource, each would refuse the next
		}
		for i, name := range names {
			f := int64(1000 - i)
			refused(t, r.Accept(context.Background(), name, f-1), name, f-1, f)
		}
	})
}

func TestWhatCannotBeAFenceIsInvalid(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, r fence.Register) {
		for _, bad := range []struct {
			resource string
			fence    int64
		}{{"a", 0}, {"a", -1}, {"a", math.MinInt64}, {"", 1}, {"a", math.MaxInt64}, {"a", 1e16}, {"a", time.Now().Add(25 * time.Hour).UnixMicro()}, {strings.Repeat("x", redislock.MaxName+1), 1}} {
			if err := r.Accept(context.Background(), bad.resource, bad.fence); !errors.Is(err, redislock.ErrInvalid) || errors.Is(err, fence.ErrStale) {
				t.Errorf("fence %d of %.10q: %v, want ErrInvalid", bad.fence, bad.resource, err)
			}
		}
		accepted(t, r, "a", 1) // nothing was remembered
	})
}

// A number that no lock can have must not lock out all rightful holders, nor must the fence of a clock that was
// wrong.
func TestAResetRegisterAcceptsAnyFence(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, r fence.Register) {
		ctx := context.Background()
		accepted(t, r, "a", 9)
		accepted(t, r, "b", 9)
		if redis, ok := r.(*fence.Redis); ok {
			if err := redis.Set(ctx, "a", []byte("kept"), 9); err != nil {
				t.Fatal(err)
			}
		}
		switch r := r.(type) {
		case *fence.Memory:
			r.Reset("a")
			r.Reset("unknown")
		case *fence.Redis:
			if err := errors.Join(r.Reset(ctx, "a"), r.Reset(ctx, "unknown")); err != nil {
				t.Fatal(err)
			}
			if value, seen, err := r.Get(ctx, "a"); string(value) != "kept" || seen != 0 || err != nil {
				t.Errorf("after the reset: %q, %d, %v", value, seen, err)
			}
			if err := r.Reset(ctx, ""); !errors.Is(err, redislock.ErrInvalid) {
				t.Errorf("the reset of nothing: %v", err)
			}
		}
		accepted(t, r, "a", 5)
		refused(t, r.Accept(ctx, "a", 4), "a", 4, 5)
		refused(t, r.Accept(ctx, "b", 8), "b", 8, 9)
	})
}

func TestAnEndedContextAcceptsNothing(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, r fence.Register) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := r.Accept(ctx, "a", 9); !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v, want that of the context", err)
		}
		accepted(t, r, "a", 1)
	})
}

func TestAStaleErrorSaysWhatWasCompared(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		`redislock: stale fence 5 of "account/7": 9 was seen`:             &fence.StaleError{Resource: "account/7", Fence: 5, Seen: 9},
		`redislock: stale fence 5 of "account/7": a greater one was seen`: &fence.StaleError{Resource: "account/7", Fence: 5},
	} {
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
}
