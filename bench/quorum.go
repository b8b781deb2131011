package main

import (
	"context"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/internal/servertest"
)

// Where a quorum is measured: one caller, callers on names of their own, and callers who want one name.
const (
	quorumCallers = 64
	quorumWaiters = 32
)

const floorOfThree = "floor: two no-op EVALSHA on each of three"

// floorOfThree is the least that a majority needs, sent by go-redis: twice a request to each server, all at once, and a wait for the
// answers of two.
func (b *bench) floorOfThree(addrs string) subject {
	var nodes []redis.UniversalClient
	var noop string
	for addr := range strings.SplitSeq(addrs, ",") {
		rdb := peer.Connect(addr, peer.Options{})
		noop = rdb.ScriptLoad(b.ctx, "return 1").Val()
		nodes = append(nodes, rdb)
	}
	round := func(ctx context.Context, name string) error {
		answers := make(chan error, len(nodes))
		for _, rdb := range nodes {
			go func() { answers <- rdb.EvalSha(ctx, noop, []string{name}, "token").Err() }()
		}
		for range len(nodes)/2 + 1 {
			if err := <-answers; err != nil {
				return err
			}
		}
		return nil
	}
	pair := func(ctx context.Context, name string) error {
		if err := round(ctx, name); err != nil {
			return err
		}
		return round(ctx, name)
	}
	return subject{floorOfThree, pair, func() {
		for _, rdb := range nodes {
			_ = rdb.Close()
		}
	}}
}

// quorum measures the cost of locks by a majority, beside one of this library over one server: a pair, many callers on separate names,
// hand-offs of one name, and a wake-up.
func (b *bench) quorum() {
	servers := []*servertest.Server{servertest.Start(b), servertest.Start(b), servertest.Start(b)}
	addr := addresses(servers)
	var all []subject
	for _, p := range peer.Majorities() {
		all = append(all, b.subject(p, addr, peer.Options{}))
	}
	floor := b.floorOfThree(addr)
	b.pairs("quorum", 40, append(all, floor))
	bounded(floor.close)
	window := b.lasts(160 * time.Millisecond)
	measure.Interleave(5, all, func(one subject) {
		b.load(one, quorumCallers, window/5)
		l := b.load(one, quorumCallers, window)
		note := func(quantity string, value float64) {
			b.log.Add(measure.Key{Section: "quorum", Subject: one.name, Quantity: quantity, X: quorumCallers}, value)
		}
		note("pairs per second", l.perSecond)
		note(failed, l.failures)
	})
	for _, one := range all {
		bounded(one.close)
	}
	measure.Interleave(3, peer.Majorities(), func(p peer.Peer) {
		b.contend("quorum", p, quorumWaiters, contest{
			name: "quorum", waiters: quorumWaiters, warm: b.lasts(300 * time.Millisecond), window: b.lasts(1200 * time.Millisecond),
		}, servers...)
	})
	b.awaken("quorum", 5, b.sleepers(peer.Majorities(), addr), addr)
}
