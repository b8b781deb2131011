package main

import (
	"context"
	"slices"
	"time"

	"example.com/redislock"
	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/bench/internal/traffic"
	"example.com/redislock/internal/servertest"
)

// oursExclusive is this library with readers that take the lock exclusively, as in all other libraries.
const oursExclusive = peer.Ours + ", exclusive"

// readerShare is how many of a hundred critical sections only read.
const readerShare = 95

// readOrWrite takes a lock of ours for a section that writes, or for one that reads, in the mode that is the default
// of its client.
func readOrWrite(name string) func(ctx context.Context, l peer.Locker, writes bool) (peer.Release, error) {
	return func(ctx context.Context, l peer.Locker, writes bool) (peer.Release, error) {
		var opts []redislock.Option
		if writes {
			opts = []redislock.Option{redislock.WithMode(redislock.Write), redislock.WithTurn(0)}
		}
		lock, err := l.(*peer.Client).Acquire(ctx, name, opts...)
		if err != nil {
			return nil, err
		}
		return lock.Release, nil
	}
}

// readers measures critical sections of 1 ms, most of which only read: 32 goroutines in four clients of this process, and in four
// processes.
func (b *bench) readers() {
	s := servertest.Start(b)
	type subject struct {
		peer.Peer

		name  string // in the tables
		modes bool   // it has a mode for readers
	}
	var subjects []subject
	for _, p := range slices.Backward(peer.Readers()) { // the strict way first
		name := p.Name
		if name == peer.Apart {
			name = peer.Ours
		}
		subjects = append(subjects, subject{p, name, true})
	}
	for _, p := range peer.All() {
		name := p.Name
		if name == peer.Ours {
			name = oursExclusive
		}
		subjects = append(subjects, subject{p, name, false})
	}
	measure.Interleave(3, subjects, func(one subject) {
		if b.ctx.Err() != nil {
			return
		}
		c := contest{
			name: "readers", waiters: 32, work: time.Millisecond, readers: readerShare / 100.0,
			warm: b.lasts(150 * time.Millisecond), window: b.lasts(700 * time.Millisecond),
		}
		if one.modes {
			c.lock = readOrWrite(c.name)
		}
		f := b.among(one.Peer, &traffic.Counter{}, c, s)
		t := f.tally()
		note := func(quantity string, n int) {
			b.log.Add(measure.Key{Section: "readers", Subject: one.name, Quantity: quantity, X: contestClients}, float64(n)/(f.to-f.from).Seconds())
		}
		note("sections per second", t.handoffs)
		note("readers' sections per second", t.handoffs-t.writes)
		note("writers' sections per second", t.writes)
		b.log.Add(measure.Key{Section: "readers", Subject: one.name, Quantity: failed, X: contestClients}, float64(f.failures))
	})
	subjects = slices.DeleteFunc(subjects, func(one subject) bool { return !one.modes && (one.Variant || one.name == oursExclusive) })
	measure.Interleave(3, subjects, func(one subject) {
		if b.ctx.Err() == nil {
			b.readersApart(s, one.Peer, one.name)
		}
	})
}
