package redislock_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/redislocktest"
)

// carried are those of the locks of a context.
func carried(ctx context.Context) (all []string) {
	for _, l := range redislock.LocksFromContext(ctx) {
		all = append(all, l.Name())
	}
	return all
}

func TestAContextNamesAllItsLocksTheInnermostFirst(t *testing.T) {
	t.Parallel()
	client := redislocktest.New(t).Client
	ctx := t.Context()
	if got := carried(ctx); len(got) != 0 {
		t.Errorf("a context without a lock has %q", got)
	}
	err := client.Do(ctx, "outer", func(ctx context.Context) error {
		return client.DoAll(ctx, []string{"b", "a"}, func(ctx context.Context) error {
			if got := carried(ctx); !slices.Equal(got, []string{"a", "b", "outer"}) {
				t.Errorf("under several: %q", got)
			}
			if l, one := redislock.FromContext(ctx); one {
				t.Errorf("several are one lock, %q", l.Name())
			}
			return client.Do(ctx, "inner", func(ctx context.Context) error {
				return client.Do(ctx, "a", func(ctx context.Context) error { // nested in the one that is held
					if got := carried(ctx); !slices.Equal(got, []string{"a", "inner", "b", "outer"}) {
						t.Errorf("nested: %q", got)
					}
					return nil
				})
			})
		})
	})
	if err != nil {
		t.Error(err)
	}
}

func TestALocksOwnContextHasTheLocksItWasTakenUnder(t *testing.T) {
	t.Parallel()
	client := redislocktest.New(t).Client
	outer, err := client.Acquire(t.Context(), "outer")
	if err != nil {
		t.Fatal(err)
	}
	inner, err := client.Acquire(outer.Context(), "inner")
	if err != nil {
		t.Fatal(err)
	}
	if got := carried(inner.Context()); !slices.Equal(got, []string{"inner", "outer"}) {
		t.Errorf("%q", got)
	}
	if got := carried(outer.With(inner.Context())); !slices.Equal(got, []string{"outer", "inner"}) {
		t.Errorf("with the outer one put inside: %q", got)
	}
	for _, l := range []*redislock.Lock{inner, outer} {
		if err := l.Release(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// The lock of Share is the library's own: what a fetch writes is guarded by its caller's.
func TestAFetchHasTheLockOfItsCaller(t *testing.T) {
	t.Parallel()
	client := redislocktest.New(t).Client
	err := client.Do(t.Context(), "account/7", func(ctx context.Context) error {
		_, err := redislock.Share(ctx, client, "rate", time.Minute, func(ctx context.Context) (int, error) {
			if l, ok := redislock.FromContext(ctx); !ok || l.Name() != "account/7" {
				t.Errorf("the innermost lock of the fetch is %v", carried(ctx))
			}
			if got := carried(ctx); !slices.Equal(got, []string{"account/7"}) {
				t.Errorf("the fetch has %q", got)
			}
			return 1, nil
		})
		return err
	})
	if err != nil {
		t.Error(err)
	}
	_, err = redislock.Share(t.Context(), client, "free", time.Minute, func(ctx context.Context) (int, error) {
		if got := carried(ctx); len(got) != 0 {
			t.Errorf("without a caller's lock the fetch has %q", got)
		}
		return 1, nil
	})
	if err != nil {
		t.Error(err)
	}
}
