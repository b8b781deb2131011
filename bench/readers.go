package main

import (
	"context"
	"time"

	"example.com/redislock"
	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/bench/internal/traffic"
	"example.com/redislock/internal/servertest"
)

// oursExclusive is this library with readers that take the lock as if they wrote, as all others have to.
const oursExclusive = peer.Ours + ", exclusive"

// readerShare is how many of a hundred sections only read.
const readerShare = 95

// sectionLock takes a lock for a section that writes, or only reads.
type sectionLock func(ctx context.Context, l peer.Locker, writes bool) (peer.Release, error)

// readers measures sections of 1 ms of which most only read: 32 goroutines in four clients.
func (b *bench) readers() {
	s := servertest.Start(b)
	reading := func(opts ...redislock.Option) sectionLock {
		return func(ctx context.Context, l peer.Locker, writes bool) (peer.Release, error) {
			all := opts
			if writes {
				all = []redislock.Option{redislock.WithMode(redislock.Write)}
			}
			lock, err := l.(*peer.Client).Acquire(ctx, "readers", all...)
			if err != nil {
				return nil, err
			}
			return lock.Release, nil
		}
	}
	type subject struct {
		peer.Peer

		lock sectionLock
	}
	var subjects []subject
	for _, p := range peer.All() {
		if p.Name == peer.Ours {
			subjects = append(subjects, subject{p, reading(redislock.WithMode(redislock.Read))})
			p.Name = peer.Together
			subjects = append(subjects, subject{p, reading(redislock.WithMode(redislock.Read), redislock.WithTurn(time.Millisecond))})
			p.Name = oursExclusive
		}
		subjects = append(subjects, subject{p, nil})
	}
	measure.Interleave(3, subjects, func(one subject) {
		if b.ctx.Err() != nil {
			return
		}
		c := contest{
			name: "readers", waiters: 32, work: time.Millisecond, readers: readerShare / 100.0, lock: one.lock,
			warm: b.lasts(150 * time.Millisecond), window: b.lasts(700 * time.Millisecond),
		}
		f := b.among(one.Peer, &traffic.Counter{}, c, s)
		t := f.tally()
		note := func(quantity string, n int) {
			b.log.Add(measure.Key{Section: "readers", Subject: one.Name, Quantity: quantity, X: readerShare}, float64(n)/(f.to-f.from).Seconds())
		}
		note("sections per second", t.handoffs)
		note("readers' sections per second", t.handoffs-t.writes)
		note("writers' sections per second", t.writes)
		b.log.Add(measure.Key{Section: "readers", Subject: one.Name, Quantity: failed, X: readerShare}, float64(f.failures))
	})
}
