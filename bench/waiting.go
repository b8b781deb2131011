package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/internal/servertest"
)

// eachItsOwn is added to a library's name if each waiter waits for another lock.
const eachItsOwn = ", a lock each"

// waiting measures what ten thousand waiters cost a process and the server while a lock is held for a long time. All
// wait for one lock; with libraries that do not poll, they also wait for a lock each. Each library waits in a process
// of its own.
func (b *bench) waiting() {
	const waiters = 10000
	s := servertest.Start(b)
	defer s.Kill()
	for _, p := range peer.All() {
		b.waitFor(s, p, p.Name, task{Peer: p.Name, Number: waiters})
	}
	for _, p := range peer.All() {
		if !p.Polls {
			b.waitFor(s, p, p.Name+eachItsOwn, task{Peer: p.Name, Number: waiters, Own: true})
		}
	}
}

// waitFor holds the locks that are waited for. Their leases are longer than the measurement, so that they are not
// renewed meanwhile.
func (b *bench) waitFor(s *servertest.Server, p peer.Peer, subject string, t task) {
	b.must(s.Admin().FlushAll(b.ctx).Err())
	l, err := p.Open(s.Addr(), peer.Options{TTL: 10 * time.Minute})
	b.must(err)
	defer bounded(l.Close)
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	for _, err := range each(t.names(), 8, func(i int) error { return lockForGood(ctx, l, t.name(i)) }) {
		b.must(err)
	}
	t.Addr, t.Watch = s.Addr(), max(b.lasts(2500*time.Millisecond), time.Second)
	b.inChild("waiting", subject, t)
	b.must(s.Admin().FlushAll(b.ctx).Err()) // the locks of the waiters are not given back
}

// rest returns the number of goroutines when it no longer changes, or after some seconds.
func rest(ctx context.Context) (goroutines int) {
	time.Sleep(time.Second)
	for range 10 {
		before := runtime.NumGoroutine()
		sleep(ctx, 200*time.Millisecond)
		if goroutines = runtime.NumGoroutine(); goroutines == before {
			break
		}
	}
	return goroutines
}

// names is how many names there are.
func (t task) names() int {
	if t.Own {
		return t.Number
	}
	return 1
}

func (t task) name(i int) string { return fmt.Sprint("waited-for-", i%t.names()) }

// waitInCrowd waits for locks that another process holds.
func waitInCrowd(ctx context.Context, t task) (all []finding, err error) {
	l, look, others, err := t.open(ctx)
	if err != nil {
		return nil, err
	}
	if err := warm(ctx, l, look); err != nil {
		return nil, err
	}
	sent, err := monitored(ctx, t.Addr, func() error { // what a waiter sends
		ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		if _, err := l.Lock(ctx, t.name(0)); err == nil {
			return fmt.Errorf("%s has the lock that is held", t.Peer)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	commands := commandsAbout(sent, t.name(0))

	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	var failures atomic.Int64
	start := func(waiting context.Context, wait func(own context.Context, i int)) *sync.WaitGroup {
		var all sync.WaitGroup
		for i := range t.Number {
			all.Go(func() {
				own, cancel := context.WithCancel(waiting)
				defer cancel()
				wait(own, i)
			})
		}
		return &all
	}
	names := make([]string, t.Number)
	for i := range names {
		names[i] = t.name(i)
	}

	// As many goroutines that only wait for a channel: their memory is not the library's.
	resting, end := context.WithCancel(ctx)
	bare := start(resting, func(own context.Context, _ int) { <-own.Done() })
	time.Sleep(100 * time.Millisecond)
	bareHeap, bareStacks := inUse()
	end()
	bare.Wait()
	time.Sleep(100 * time.Millisecond)

	goroutines := runtime.NumGoroutine()
	start(waiting, func(own context.Context, i int) {
		if _, err := l.Lock(own, names[i]); waiting.Err() == nil { // without an error is a failure too, as the lock is held
			if failures.Add(1) == 1 {
				fmt.Fprintf(os.Stderr, "%s: a waiter ended: %v\n", t.Peer, err)
			}
		}
	})
	goroutines = rest(ctx) - goroutines - t.Number
	before, err := readCommandStats(ctx, look)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	heap, stacks := inUse()
	sleep(ctx, t.Watch)
	after, err := readCommandStats(ctx, look)
	if err != nil {
		return nil, err
	}
	took := time.Since(begun)
	runtime.KeepAlive(names)
	mine, err := connections(ctx, look)
	if err != nil {
		return nil, err
	}
	n, more := float64(t.Number), float64(max(goroutines, 0))
	return []finding{
		// The library's own goroutines have stacks too, about as large as those of the callers.
		{"KiB per waiter beside its stack", (heap - bareHeap + stacks*more/(n+more)) / n},
		{"KiB of a waiter's stack", stacks / (n + more)},
		{"KiB of a bare goroutine's stack", bareStacks / n},
		{"goroutines per waiter", float64(goroutines) / n},
		{"connections", mine - others},
		{"requests per second while waiting", (after.of(commands).calls - before.of(commands).calls) / took.Seconds()},
		{"failures", float64(failures.Load())},
	}, nil
}
