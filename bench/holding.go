package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/internal/servertest"
)

// holding measures what a hundred thousand held locks cost a process and the server, with the libraries that renew
// their locks, and a lease of 30 s for both. A shorter run has fewer locks and shorter leases, for the same number of
// renewals per second.
func (b *bench) holding() {
	const locks, lease = 100_000, 30 * time.Second
	for _, p := range peer.All() {
		if !p.Renews || p.Variant {
			continue
		}
		s := servertest.Start(b)
		// Every lock is renewed once while it is watched.
		every := lease / 3
		if p.Name == "rueidislock" {
			every = lease / 2
		}
		b.inChild("holding", p.Name, task{
			Peer: p.Name, Addr: s.Addr(), Number: int(float64(locks) * b.scale), Lease: b.lasts(lease), Watch: b.lasts(every),
		})
		s.Kill()
	}
}

// holdMany takes locks on different names, and watches their renewals.
func holdMany(ctx context.Context, t task) (all []finding, err error) {
	l, look, others, err := t.open(ctx)
	if err != nil {
		return nil, err
	}
	if err := warm(ctx, l, look); err != nil {
		return nil, err
	}
	held := &holds{locker: l, locks: make([]*redislock.Lock, t.Number)}
	names := make([]string, t.Number)
	for i := range names {
		names[i] = fmt.Sprint("held-", i)
	}
	holding, cancel := context.WithCancel(ctx)
	defer cancel()
	goroutines := runtime.NumGoroutine()
	heap, stacks := inUse()
	failures := 0.0
	begun := time.Now()
	for _, err := range each(t.Number, 32, func(i int) error {
		// The locks are taken over some time, so that the renewals are spread as in a process that has run for long.
		sleep(ctx, time.Until(begun.Add(t.Watch*time.Duration(i)/time.Duration(t.Number)*3/5)))
		return held.take(holding, i, names[i])
	}) {
		if err == nil {
			continue
		}
		if failures++; failures == 1 {
			fmt.Fprintf(os.Stderr, "%s: no lock: %v\n", t.Peer, err)
		}
	}
	sleep(ctx, t.Lease/60) // requests under way are answered by then, and no renewal is due
	before, err := readCommandStats(ctx, look)
	if err != nil {
		return nil, err
	}
	cpu := clientCPU()
	begun = time.Now()
	sleep(ctx, t.Watch)
	after, err := readCommandStats(ctx, look)
	if err != nil {
		return nil, err
	}
	took := time.Since(begun).Seconds()
	cpu = clientCPU() - cpu
	sleep(ctx, t.Lease/15)
	heapThen, stacksThen := inUse()
	goroutines = runtime.NumGoroutine() - goroutines
	mine, err := connections(ctx, look)
	if err != nil {
		return nil, err
	}
	lost, err := held.lost(ctx, look, failures)
	if err != nil {
		return nil, err
	}
	runtime.KeepAlive(names)
	renewals := []string{"evalsha"}
	now, then := after.of(renewals), before.of(renewals)
	return []finding{
		{"KiB per lock", (heapThen + stacksThen - heap - stacks) / float64(t.Number)},
		{"goroutines", float64(goroutines)},
		{"connections", mine - others},
		{"server time for renewals, %", (now.usec - then.usec) / took / 1e4},
		{"client CPU for renewals, %", cpu.Seconds() / took * 100},
		{"renewals per second", (now.calls - then.calls) / took},
		{"locks lost", lost},
		{"failures", failures},
	}, nil
}

// holds are the locks that a part holds.
type holds struct {
	locker peer.Locker
	locks  []*redislock.Lock // the locks of this library, which know whether they are held
}

func (h *holds) take(ctx context.Context, i int, name string) (err error) {
	if c, ours := h.locker.(*peer.Client); ours {
		h.locks[i], err = c.Acquire(ctx, name)
		return err
	}
	return lockForGood(ctx, h.locker, name)
}

// lost is how many of the locks are no longer held. For other libraries it counts the keys, which expire with the
// lease.
func (h *holds) lost(ctx context.Context, look *redis.Client, failures float64) (n float64, err error) {
	if _, ours := h.locker.(*peer.Client); !ours {
		keys, err := look.DBSize(ctx).Result()
		return float64(len(h.locks)) - failures - float64(keys), err
	}
	for _, l := range h.locks {
		if l != nil && l.Err() != nil {
			n++
		}
	}
	return n, nil
}
