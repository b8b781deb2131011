package main

import (
	"context"
	"runtime"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/internal/servertest"
)

// subject is something that is measured in pairs: a peer's lock and its release, or a floor's commands.
type subject struct {
	name  string
	pair  func(ctx context.Context, name string) error
	close func()
}

const (
	floorNoop     = "floor: two no-op EVALSHA"
	floorUnfenced = "floor: SET NX PX, compare-and-delete"
	floorPing     = "floor: two PING"
)

const unfencedRelease = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"

// subjects are all peers and floors on one server.
func (b *bench) subjects(addr string, o peer.Options) []subject {
	var all []subject
	for _, p := range peer.All() {
		all = append(all, b.subject(p, addr, o))
	}
	rdb := peer.Connect(addr, o)
	noop := rdb.ScriptLoad(b.ctx, "return 1").Val()
	release := rdb.ScriptLoad(b.ctx, unfencedRelease).Val()
	return append(all,
		subject{floorNoop, func(ctx context.Context, name string) error {
			if err := rdb.EvalSha(ctx, noop, []string{name}, "token").Err(); err != nil {
				return err
			}
			return rdb.EvalSha(ctx, noop, []string{name}, "token").Err()
		}, func() {}},
		subject{floorUnfenced, func(ctx context.Context, name string) error {
			if err := rdb.SetArgs(ctx, name, "token", redis.SetArgs{Mode: "NX", TTL: 30 * time.Second}).Err(); err != nil {
				return err
			}
			return rdb.EvalSha(ctx, release, []string{name}, "token").Err()
		}, func() {}},
		subject{floorPing, func(ctx context.Context, _ string) error {
			if err := rdb.Ping(ctx).Err(); err != nil {
				return err
			}
			return rdb.Ping(ctx).Err()
		}, func() { _ = rdb.Close() }},
	)
}

// subject is a new client of a peer.
func (b *bench) subject(p peer.Peer, addr string, o peer.Options) subject {
	l, err := p.Open(addr, o)
	b.must(err)
	return subject{p.Name, func(ctx context.Context, name string) error {
		release, err := l.Lock(ctx, name)
		if err != nil {
			return err
		}
		return release(ctx)
	}, l.Close}
}

// pair measures an uncontended acquire and release by one caller.
func (b *bench) pair() {
	s := servertest.Start(b)
	all := b.subjects(s.Addr(), peer.Options{})
	ends, cancel := context.WithCancel(b.ctx)
	defer cancel()
	lock := all[0].pair
	all = slices.Insert(all, 1, subject{
		all[0].name + ", a context that can end",
		func(_ context.Context, name string) error { return lock(ends, name) }, func() {},
	})
	b.pairs("pair", 60, all)
	for _, one := range all {
		one.close()
	}
}

// pairs measures pairs of all subjects by one caller, in this number of rounds.
func (b *bench) pairs(section string, rounds int, all []subject) {
	ctx := context.Background() // a context that cannot end: go-redis and its users then do not watch it while they wait for an answer
	for _, one := range all {
		for range 200 {
			b.must(one.pair(ctx, "warm"))
		}
	}
	measure.Interleave(rounds, all, func(one subject) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		n := 0
		begun := time.Now()
		for until := begun.Add(b.lasts(25 * time.Millisecond)); time.Now().Before(until); n++ {
			b.must(one.pair(ctx, "x"))
		}
		took := time.Since(begun)
		runtime.ReadMemStats(&after)
		b.log.Add(measure.Key{Section: section, Subject: one.name, Quantity: "µs per pair"}, float64(took.Nanoseconds())/1e3/float64(n))
		b.log.Add(measure.Key{Section: section, Subject: one.name, Quantity: "allocations per pair"}, float64(after.Mallocs-before.Mallocs)/float64(n))
		b.log.Add(measure.Key{Section: section, Subject: one.name, Quantity: "bytes per pair"}, float64(after.TotalAlloc-before.TotalAlloc)/float64(n))
	})
}
