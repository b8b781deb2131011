package redislock_test

import (
	"context"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// BenchmarkUncontended is the latency of an uncontended acquire and release, beside two scripts that do nothing.
func BenchmarkUncontended(b *testing.B) {
	rdb := servertest.Start(b).Connect()
	ctx := context.Background()
	b.Run("redislock", func(b *testing.B) {
		c, err := redislock.New(rdb)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			l, err := c.Acquire(ctx, "x")
			if err == nil {
				err = l.Release(ctx)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		closing, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := c.Close(closing); err != nil {
			b.Error(err)
		}
	})
	b.Run("floor", func(b *testing.B) {
		sha := rdb.ScriptLoad(ctx, "return 1").Val()
		b.ReportAllocs()
		for b.Loop() {
			for range 2 {
				if err := rdb.EvalSha(ctx, sha, []string{"x"}, "token").Err(); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
