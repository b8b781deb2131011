package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-redsync/redsync/v4"
	redsyncredis "github.com/go-redsync/redsync/v4/redis"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
	"example.com/redislock/quorum"
)

// locking takes a lock and gives it back, with something in between.
type locking func(ctx context.Context, name string, body func()) error

// majorities are the libraries over three servers, and one of ours over one of them. rueidislock has its three keys on one server.
func majorities(b *testing.B, servers []*servertest.Server) []struct {
	name string
	open func() locking
} {
	return []struct {
		name string
		open func() locking
	}{
		{"one server", func() locking {
			rdb := servers[0].Connect()
			c, err := redislock.New(rdb)
			if err != nil {
				b.Fatal(err)
			}
			return func(ctx context.Context, name string, body func()) error {
				l, err := c.Acquire(ctx, name)
				if err != nil {
					return err
				}
				body()
				return l.Release(ctx)
			}
		}},
		{"quorum", func() locking {
			var all []*redislock.Client
			for _, s := range servers {
				c, err := redislock.New(s.Connect(), redislock.WithPrefix("quorum"))
				if err != nil {
					b.Fatal(err)
				}
				all = append(all, c)
			}
			q, err := quorum.New(all, quorum.WithDurableNodes()) // servers of a moment ago do not count otherwise
			if err != nil {
				b.Fatal(err)
			}
			return func(ctx context.Context, name string, body func()) error {
				l, err := q.Acquire(ctx, name)
				if err != nil {
					return err
				}
				body()
				return l.Release(ctx)
			}
		}},
		{"redsync", func() locking {
			var pools []redsyncredis.Pool
			for _, s := range servers {
				pools = append(pools, goredis.NewPool(s.Connect()))
			}
			locks := redsync.New(pools...)
			return func(ctx context.Context, name string, body func()) error {
				m := locks.NewMutex("redsync:"+name, redsync.WithTries(1<<20))
				if err := m.LockContext(ctx); err != nil {
					return err
				}
				body()
				_, err := m.UnlockContext(ctx)
				return err
			}
		}},
		{"rueidislock", func() locking {
			l, err := rueidislock.NewLocker(rueidislock.LockerOption{
				ClientOption: rueidis.ClientOption{InitAddress: []string{servers[0].Addr()}, ForceSingleClient: true}, KeyMajority: 2,
			})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(l.Close)
			return func(ctx context.Context, name string, body func()) error {
				_, cancel, err := l.WithContext(ctx, name)
				if err != nil {
					return err
				}
				body()
				cancel()
				return nil
			}
		}},
	}
}

// BenchmarkQuorum is package quorum over three servers, beside the others: an uncontended pair by one caller and by 64, and hand-offs of
// one name between four processes' clients with eight callers each. docs/performance.md does not have it; run it by
// go test -run '^$' -bench Quorum.
func BenchmarkQuorum(b *testing.B) {
	servers := []*servertest.Server{servertest.Start(b), servertest.Start(b), servertest.Start(b)}
	ctx := context.Background()
	all := majorities(b, servers)
	for _, one := range all {
		b.Run("pair/"+one.name, func(b *testing.B) {
			lock := one.open()
			for range 50 {
				if err := lock(ctx, "warm", func() {}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := lock(ctx, "x", func() {}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, one := range all {
		b.Run("64 callers/"+one.name, func(b *testing.B) {
			callers(b, []locking{one.open()}, 64, func(i int) string { return fmt.Sprint("own", i) })
		})
	}
	for _, one := range all {
		b.Run("hand-offs/"+one.name, func(b *testing.B) {
			callers(b, []locking{one.open(), one.open(), one.open(), one.open()}, 32, func(int) string { return "shared" })
		})
	}
}

// callers share the clients and take the locks that they are told, b.N times in all. Beside the time of one it reports the longest wait.
func callers(b *testing.B, clients []locking, n int, name func(int) string) {
	ctx := context.Background()
	for _, lock := range clients {
		if err := lock(ctx, "warm", func() {}); err != nil {
			b.Fatal(err)
		}
	}
	var left atomic.Int64
	var longest atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				begun := time.Now()
				if err := clients[i%len(clients)](ctx, name(i), func() {
					if waited := int64(time.Since(begun)); waited > longest.Load() {
						longest.Store(waited)
					}
				}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.ReportMetric(float64(longest.Load())/1e6, "ms-longest-wait")
}
