package main

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/internal/servertest"
)

// stuckAfter is how long after the end of a measurement a call in it is given up.
const stuckAfter = time.Second

// callers measures uncontended pairs by increasing numbers of callers of one client, each on a name of its own.
func (b *bench) callers() {
	s := servertest.Start(b)
	defer s.Kill()
	type cell struct {
		subject
		callers int
	}
	var cells []cell
	commands := map[string][]string{} // the commands that a subject sends
	subjects, closeThem := b.uncontended(s.Addr(), peer.Options{})
	defer closeThem()
	for _, one := range subjects {
		all, err := monitored(b.ctx, s.Addr(), func() error { return one.pair(b.ctx, "watched") })
		b.must(err)
		commands[one.name] = commandsAbout(all, "watched")
		for _, n := range []int{1, 4, 16, 64, 256, 1024} {
			cells = append(cells, cell{one, n})
		}
	}
	window := b.lasts(160 * time.Millisecond)
	measure.Interleave(5, cells, func(c cell) {
		b.must(s.Admin().FlushAll(b.ctx).Err())
		b.load(c.subject, c.callers, window/5)
		b.must(s.Admin().ConfigResetStat(b.ctx).Err())
		cpu := clientCPU()
		l := b.load(c.subject, c.callers, window)
		cpu = clientCPU() - cpu
		stats, err := readCommandStats(b.ctx, s.Admin())
		b.must(err)
		note := func(quantity string, value float64) {
			b.log.Add(measure.Key{Section: "callers", Subject: c.name, Quantity: quantity, X: float64(c.callers)}, value)
		}
		note("pairs per second", l.perSecond)
		if l.pairs > 0 {
			note("server µs per pair", stats.of(commands[c.name]).usec/l.pairs)
			note("client CPU µs per pair", float64(cpu.Nanoseconds())/1e3/l.pairs)
		}
		note("failures", l.failures)
	})
}

// uncontended are the subjects that are measured without contention: all without PING and without the variants that
// only wait in another way.
func (b *bench) uncontended(addr string, o peer.Options) (some []subject, closeThem func()) {
	all := b.subjects(addr, o)
	for _, one := range all {
		variant := slices.ContainsFunc(peer.All(), func(p peer.Peer) bool { return p.Name == one.name && p.Variant })
		if !variant && one.name != floorPing {
			some = append(some, one)
		}
	}
	return some, func() {
		for _, one := range all {
			bounded(one.close)
		}
	}
}

// load is the result of a number of callers.
type load struct {
	pairs     float64 // all pairs, with those that ended after the window
	perSecond float64 // of the pairs that ended in the window
	failures  float64 // calls that had an error, or did not return within stuckAfter
}

// load lets that many callers do pairs, each on a name of its own, for a while.
func (b *bench) load(one subject, callers int, window time.Duration) (l load) {
	ctx, cancel := context.WithTimeout(b.ctx, window+stuckAfter)
	defer cancel()
	type counter struct {
		pairs atomic.Int64
		_     [56]byte // so that each has a cache line of its own
	}
	var (
		counters = make([]counter, callers)
		failures atomic.Int64
		over     atomic.Bool
		all      sync.WaitGroup
	)
	pairs := func() (n float64) {
		for i := range counters {
			n += float64(counters[i].pairs.Load())
		}
		return n
	}
	begun := time.Now()
	for i := range callers {
		all.Go(func() {
			own, cancel := context.WithCancel(ctx) // each caller has its own context, like each request of a server
			defer cancel()
			name := "caller-" + strconv.Itoa(i)
			for !over.Load() && own.Err() == nil {
				if one.pair(own, name) == nil {
					counters[i].pairs.Add(1)
				} else {
					failures.Add(1)
				}
			}
		})
	}
	sleep(ctx, window)
	l.perSecond = pairs() / time.Since(begun).Seconds()
	over.Store(true)
	all.Wait()
	l.pairs, l.failures = pairs(), float64(failures.Load())
	b.must(b.ctx.Err())
	return l
}

// sleep returns after that time, or when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// bounded runs a function that might hang, such as the close of a client, and does not wait for it for ever.
func bounded(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(stuckAfter):
	}
}

// clientCPU is the processor time of this process until now.
func clientCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0 // if there is no such process, it is this one
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
