package redislock_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
)

// pool is one for what needs no server: its address answers nobody.
func pool(t *testing.T, name string, n int) *redislock.Stripes {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", DialerRetries: 1, DialTimeout: time.Second})
	t.Cleanup(func() { _ = rdb.Close() })
	c, err := redislock.New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	return c.Stripes(name, n)
}

func TestStripesCountAnyNumberModuloTheirSize(t *testing.T) {
	for _, tc := range []struct {
		n, i int
		name string
	}{
		{16, 0, "p#0"},
		{16, 3, "p#3"},
		{16, 15, "p#15"},
		{16, 16, "p#0"},
		{16, 19, "p#3"},
		{16, -1, "p#15"},
		{16, -13, "p#3"},
		{16, -16, "p#0"},
		{16, -17, "p#15"},
		{10, math.MaxInt64, "p#7"}, // …807
		{10, math.MinInt64, "p#2"}, // -…808
		{1, -5, "p#0"},
		{redislock.MaxStripes, -1, "p#1048575"},
		{redislock.MaxStripes, math.MinInt64, "p#0"},
	} {
		if got := pool(t, "p", tc.n).Name(tc.i); got != tc.name {
			t.Errorf("of %d, number %d is %s, want %s", tc.n, tc.i, got, tc.name)
		}
	}
	if n := pool(t, "p", 16).Len(); n != 16 {
		t.Errorf("Len is %d", n)
	}
}

// The numbers were computed by Python's hashlib, int.from_bytes(sha256(key).digest()[:8], "big") % n: the hash is a
// promise to programs in other languages, and to those that run an older version.
func TestStripesAgreeWithOtherLanguagesOnAKey(t *testing.T) {
	sizes := []int{1, 16, 64, 1000, 1 << 20}
	for key, want := range map[string][]int{
		"":           {0, 4, 20, 652, 793620},
		"a":          {0, 10, 10, 250, 769482},
		"user/42":    {0, 3, 51, 971, 13171}, // its number is above 1<<63
		"invoice/42": {0, 9, 9, 625, 913993},
		"schlüssel":  {0, 11, 11, 179, 237323},
		"日本語":        {0, 3, 35, 371, 970659},
		"\x00\xff":   {0, 5, 37, 29, 924133},
	} {
		for i, n := range sizes {
			if got := pool(t, "p", n).Index(key); got != want[i] {
				t.Errorf("of %d, the key %q is %d, want %d", n, key, got, want[i])
			}
		}
	}
}

func TestStripesSpreadKeysEvenly(t *testing.T) {
	const keys = 20_000
	for what, key := range map[string]func(i int) string{
		"numbered":  func(i int) string { return fmt.Sprintf("user/%d", i) },
		"multiples": func(i int) string { return fmt.Sprint(i * 4096) },
		"binary":    func(i int) string { return string(binary.BigEndian.AppendUint64(nil, uint64(i))) },
		"lengths":   func(i int) string { return strings.Repeat("a", i%200) + fmt.Sprint(i/200) },
	} {
		for _, n := range []int{2, 100, 1000} {
			p := pool(t, "p", n)
			counts := make([]float64, n)
			for i := range keys {
				counts[p.Index(key(i))]++
			}
			expected, chi := float64(keys)/float64(n), 0.0
			for _, count := range counts {
				chi += (count - expected) * (count - expected) / expected
			}
			// Of random spreads, one in 30,000 is four deviations from the mean, n-1.
			if free := float64(n - 1); math.Abs(chi-free) > 4*math.Sqrt(2*free)+3 {
				t.Errorf("%s keys on %d stripes: chi-square %.0f, about %.0f is due", what, n, chi, free)
			}
		}
	}
}

func TestStripesThatCannotBeAreInvalidWhenTheyAreAcquired(t *testing.T) {
	ctx := context.Background()
	for _, p := range []*redislock.Stripes{
		pool(t, "p", 0), pool(t, "p", -1), pool(t, "p", math.MinInt64), pool(t, "p", redislock.MaxStripes+1),
		pool(t, "", 16), pool(t, "", 0),
		pool(t, strings.Repeat("x", redislock.MaxName), 1), pool(t, strings.Repeat("x", redislock.MaxName-2), 11),
	} {
		if l, err := p.Acquire(ctx, 3); l != nil || !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("Acquire: %v", err)
		}
		if l, err := p.AcquireKey(ctx, "key", redislock.WithWait(0)); l != nil || !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("AcquireKey: %v", err)
		}
		if i, name, n := p.Index("key"), p.Name(3), p.Len(); i != 0 || name != "" || n != 0 {
			t.Errorf("it has an index %d, a name %q, %d stripes", i, name, n)
		}
	}
	if _, err := pool(t, "p", 0).Acquire(ctx, 3); err == nil || !strings.Contains(err.Error(), `acquire "p": invalid: Stripes("p", 0)`) {
		t.Errorf("the error does not say what is wrong: %v", err)
	}
	if _, err := pool(t, "p", 16).AcquireKey(ctx, "key", redislock.WithLease(-1)); !errors.Is(err, redislock.ErrInvalid) {
		t.Errorf("options do not reach the acquire: %v", err)
	}
}

func TestStripesAreOrdinaryLocks(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		mine, theirs := a.Stripes("p", 16), b.Stripes("p", 16)

		l, err := mine.Acquire(ctx, -13)
		if err != nil {
			t.Fatal(err)
		}
		if l.Name() != "p#3" {
			t.Errorf("the lock is %s", l.Name())
		}
		// "user/42" is on stripe 3, "invoice/42" is not.
		if _, err := theirs.AcquireKey(ctx, "user/42", redislock.WithWait(0)); !errors.Is(err, redislock.ErrHeld) {
			t.Errorf("a key of a stripe that is held: %v", err)
		}
		if _, err := b.TryAcquire(ctx, theirs.Name(19)); !errors.Is(err, redislock.ErrHeld) {
			t.Errorf("the name of a stripe that is held: %v", err)
		}
		free, err := theirs.AcquireKey(ctx, "invoice/42", redislock.WithWait(0))
		if err != nil {
			t.Fatal(err)
		}
		if free.Name() != "p#9" {
			t.Errorf("invoice/42 has the lock %s", free.Name())
		}
		e.release(free)
		e.release(l)

		longest, err := a.Stripes(strings.Repeat("x", redislock.MaxName-2), 10).Acquire(ctx, 9)
		if err != nil {
			t.Fatal(err)
		}
		if len(longest.Name()) != redislock.MaxName {
			t.Errorf("a name of %d bytes", len(longest.Name()))
		}
		e.release(longest)
		e.untouched("p#3")
		e.untouched("p#9")
	})
}

// What the doc comment says about two keys on one stripe.
func TestStripesThatTwoKeysShare(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c := e.client()
		p := c.Stripes("p", 1)
		l, err := p.AcquireKey(ctx, "one")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.AcquireKey(ctx, "other", redislock.WithWait(0)); !errors.Is(err, redislock.ErrHeld) {
			t.Errorf("without the lock's context: %v", err)
		}
		inner, err := p.AcquireKey(l.Context(), "other")
		if err != nil {
			t.Fatal(err)
		}
		e.release(inner)
		e.release(l)

		all, err := c.AcquireAll(ctx, []string{p.Name(p.Index("one")), p.Name(p.Index("other"))})
		if err != nil {
			t.Fatal(err)
		}
		if len(all.Names()) != 1 {
			t.Errorf("took %v", all.Names())
		}
		if err := all.Release(ctx); err != nil {
			t.Error(err)
		}
		e.untouched("p#0")
	})
}
