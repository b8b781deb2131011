package main

import (
	"context"
	"time"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/bench/internal/traffic"
	"example.com/redislock/internal/servertest"
)

// manyCallers is how many callers of one client are measured, each on a name of its own, in addition to a single one.
const manyCallers = 256

// servers measures this library on each of the servers that people run, and on the newest with a second thread for their
// connections (io-threads).
func (b *bench) servers() {
	type server struct {
		name string
		*servertest.Server
	}
	var all []server
	start := func(name, suffix string, args ...string) {
		if _, _, err := servertest.Fetch(name); err != nil { // without a mirror, for instance, the server is not in the table
			b.Log(err)
			return
		}
		as := servertest.Named(b, name)
		all = append(all, server{servertest.Version(as) + suffix, servertest.Start(as, args...)})
	}
	for _, k := range servertest.AllKnown {
		start(k.Name, "")
	}
	for _, name := range []string{"redis newest", "valkey newest"} {
		start(name, ", io-threads 2", "--io-threads", "2")
	}
	defer func() {
		for _, s := range all {
			s.Kill()
		}
	}()
	ours := peer.All()[0]
	measure.Interleave(5, all, func(s server) {
		b.must(s.Admin().FlushAll(b.ctx).Err())
		l, err := ours.Open(s.Addr(), peer.Options{})
		b.must(err)
		one := subject{s.name, func(ctx context.Context, name string) error {
			release, err := l.Lock(ctx, name)
			if err != nil {
				return err
			}
			return release(ctx)
		}, l.Close}
		note := func(quantity string, value float64) {
			b.log.Add(measure.Key{Section: "servers", Subject: s.name, Quantity: quantity}, value)
		}
		b.load(one, manyCallers, b.lasts(40*time.Millisecond)) // so that it connects
		if alone := b.load(one, 1, b.lasts(160*time.Millisecond)); alone.perSecond > 0 {
			note("µs per pair, one caller", 1e6/alone.perSecond)
		}
		note("pairs per second, 256 callers", b.load(one, manyCallers, b.lasts(160*time.Millisecond)).perSecond)
		bounded(one.close)
		var counter traffic.Counter
		f := b.among(ours, &counter, contest{
			name: "handoff", waiters: 32, warm: b.lasts(100 * time.Millisecond), window: b.lasts(400 * time.Millisecond),
			opens: func() {}, closes: func() {},
		}, s.Server)
		note("hand-offs per second, 32 waiters", float64(f.tally().handoffs)/(f.to-f.from).Seconds())
	})
}
