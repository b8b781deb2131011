package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/internal/servertest"
)

// hold takes n locks, the first of them by that number, and returns their releases.
func (b footprint) hold(ctx context.Context, c *peer.Client, from, n int) []peer.Release {
	b.Helper()
	releases := make([]peer.Release, n)
	b.crowd(64, n, func(i int) (err error) {
		releases[i], err = c.Lock(ctx, fmt.Sprintf("invoice/%08d", from+i))
		return err
	})
	return releases
}

// crowd calls a function n times, by this number of callers.
func (b footprint) crowd(callers, n int, once func(i int) error) {
	b.Helper()
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for j := i; j < n && failed.Load() == nil; j += callers {
				if err := once(j); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		b.must(*err)
	}
}

// memory measures the server's memory for a lock, a name that is free again, a waiter and a connection: the growth of
// its allocated memory, tables included.
func (b footprint) memory() {
	const locks, waiters, connections = 20000, 5000, 500
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	s := servertest.Start(b)
	admin := s.Admin()
	c := b.open(s, peer.Options{})
	defer c.Close()
	giveBack := func(all []peer.Release) {
		b.crowd(64, len(all), func(i int) error { return all[i](ctx) })
	}
	giveBack(b.hold(ctx, c, 0, 1000)) // connections, scripts, the subscription
	b.must(admin.FlushAll(ctx).Err())

	empty := b.spent(admin)
	held := b.hold(ctx, c, 0, locks)
	b.foot("server bytes per lock", locks, (b.spent(admin).memory-empty.memory)/locks)
	giveBack(held)
	b.foot("server bytes per free name", locks, (b.spent(admin).memory-empty.memory)/locks)

	one := b.hold(ctx, c, locks, 1)
	alone := b.spent(admin)
	name := fmt.Sprintf("invoice/%08d", locks)
	var gone sync.WaitGroup
	waiting, leave := context.WithCancel(ctx)
	defer leave()
	for range waiters {
		gone.Go(func() {
			if release, err := c.Lock(waiting, name); err == nil {
				_ = release(ctx)
			}
		})
	}
	b.until(ctx, "all wait", func() bool {
		state, err := c.Inspect(ctx, name)
		b.must(err)
		return state.Waiting == waiters
	})
	b.foot("server bytes per waiter", waiters, (b.spent(admin).memory-alone.memory)/waiters)
	leave()
	gone.Wait()
	giveBack(one)

	rdb := s.Connect(func(o *redis.Options) { o.PoolSize = connections })
	before := b.spent(admin)
	for range connections {
		conn := rdb.Conn()
		defer func() { _ = conn.Close() }()
		b.must(conn.Ping(ctx).Err())
	}
	after := b.spent(admin)
	made := after.clients - before.clients
	b.foot("server bytes per connection", connections, (after.memory-before.memory)/made)
	b.foot("server CPU µs per connection", connections, (after.server-before.server)/made)
}

// checks measures the cost of a waiter for the server while nothing happens: the checks of one wait for each of 2,000
// names.
func (b footprint) checks() {
	const names = 2000
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	s := servertest.Start(b)
	holder, waiter := b.open(s, peer.Options{}), b.open(s, peer.Options{})
	defer holder.Close()
	defer waiter.Close()
	held := b.hold(ctx, holder, 0, names)
	waiting, leave := context.WithCancel(ctx)
	var gone sync.WaitGroup
	defer gone.Wait()
	defer leave()
	for i := range names {
		gone.Go(func() {
			if release, err := waiter.Lock(waiting, fmt.Sprintf("invoice/%08d", i)); err == nil {
				_ = release(ctx)
			}
		})
	}
	b.until(ctx, "all wait", func() bool {
		state, err := holder.Inspect(ctx, fmt.Sprintf("invoice/%08d", names-1))
		b.must(err)
		return state.Waiting == 1
	})
	// A wait is first checked after a second and a half to two, however short the run.
	time.Sleep(200 * time.Millisecond)
	before := b.spent(s.Admin())
	time.Sleep(2500 * time.Millisecond)
	after := b.spent(s.Admin())
	n := after.scripts - before.scripts
	if n == 0 {
		b.Fatal("nobody checked")
	}
	b.foot("server CPU µs per check", names, (after.server-before.server)/n)
	leave()
	gone.Wait()
	b.crowd(64, names, func(i int) error { return held[i](ctx) })
}

// until checks a condition until it holds, and ends the run if ctx ends first.
func (b footprint) until(ctx context.Context, what string, holds func() bool) {
	b.Helper()
	for !holds() {
		if ctx.Err() != nil {
			b.Fatalf("%s: not in time", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
