package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock/bench/internal/measure"
)

func benchOf(t *testing.T) *bench {
	return &bench{TB: t, ctx: t.Context(), log: &measure.Log{}, scale: 0.01}
}

func TestLoadCountsWhatFailsAndEndsWhatHangs(t *testing.T) {
	t.Parallel()
	const callers, window = 4, 100 * time.Millisecond
	var calls atomic.Int64
	for name, c := range map[string]struct {
		pair          func(ctx context.Context, name string) error
		pairs, failed bool
	}{
		"works":  {func(context.Context, string) error { time.Sleep(time.Millisecond); return nil }, true, false},
		"hangs":  {func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }, false, true},
		"refuse": {func(context.Context, string) error { time.Sleep(time.Millisecond); return errors.New("no") }, false, true},
		"both": {func(context.Context, string) error {
			time.Sleep(time.Millisecond)
			if calls.Add(1)%2 == 0 {
				return errors.New("no")
			}
			return nil
		}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			l := benchOf(t).load(subject{name: name, pair: c.pair}, callers, window)
			if (l.pairs > 0) != c.pairs || (l.perSecond > 0) != c.pairs || (l.failures > 0) != c.failed {
				t.Errorf("%+v", l)
			}
			if took := time.Since(begun); took > window+stuckAfter+20*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}
