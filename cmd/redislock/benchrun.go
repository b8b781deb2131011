package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

// crowd is how many callers there are at a time.
var crowd = []int{1, 16, 256}

// turn is how long one operation is measured before the next one.
const turn = 100 * time.Millisecond

// bench is one measurement.
type bench struct {
	link, other *link
	prefix      string
	own         string // what the names of its locks begin with

	mu     sync.Mutex
	series map[benchKey]*series
}

type benchKey struct {
	what    string
	callers int
}

// series has all measurements of one operation.
type series struct {
	took []time.Duration
	busy time.Duration // the turns that it had
}

// compareAndDelete gives a bare lock back.
var compareAndDelete = redis.NewScript(`if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) end return 0`)

// run measures for that long. Each number of callers has a quarter of the time, and so have the hand-overs; in it all
// things take turns.
func (b *bench) run(ctx context.Context, d time.Duration) error {
	b.series = map[benchKey]*series{}
	quarter := d / time.Duration(len(crowd)+1)
	for _, callers := range crowd {
		for over := time.Now().Add(quarter); time.Now().Before(over); {
			for _, thing := range []struct {
				what string
				do   func(context.Context, int) error
			}{
				{"ping", b.ping},
				{"set_nx", b.setNX},
				{"lock", b.lock},
			} {
				if err := b.turn(ctx, benchKey{thing.what, callers}, min(turn, quarter/3), thing.do); err != nil {
					return err
				}
			}
		}
	}
	for over := time.Now().Add(quarter); time.Now().Before(over); {
		if err := b.handOff(ctx); err != nil {
			return err
		}
	}
	return nil
}

// turn has so many callers do an operation again and again.
func (b *bench) turn(ctx context.Context, key benchKey, d time.Duration, do func(context.Context, int) error) error {
	began := time.Now()
	took := make([][]time.Duration, key.callers)
	g, ctx := errgroup.WithContext(ctx)
	for caller := range key.callers {
		g.Go(func() error {
			for now := time.Now(); now.Sub(began) < d; {
				if err := do(ctx, caller); err != nil {
					return err
				}
				then := time.Now()
				took[caller] = append(took[caller], then.Sub(now))
				now = then
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	b.note(key, time.Since(began), slices.Concat(took...)...)
	return nil
}

func (b *bench) note(key benchKey, busy time.Duration, took ...time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.series[key]
	if s == nil {
		s = &series{}
		b.series[key] = s
	}
	s.took = append(s.took, took...)
	s.busy += busy
}

func (b *bench) ping(ctx context.Context, _ int) error { return b.link.rdb.Ping(ctx).Err() }

// setNX is the least that a lock costs: a key with a token and a lifetime, deleted if it is still one's own. Each caller
// has a key of its own.
func (b *bench) setNX(ctx context.Context, caller int) error {
	key := fmt.Sprintf("%s:w:{%sbare/%d}", b.prefix, b.own, caller) // as a weak lock has it
	if err := b.link.rdb.SetArgs(ctx, key, key, redis.SetArgs{Mode: "NX", TTL: time.Minute}).Err(); err != nil {
		return err
	}
	return compareAndDelete.Run(ctx, b.link.rdb, []string{key}, key).Err()
}

func (b *bench) lock(ctx context.Context, caller int) error {
	lock, err := b.link.client.Acquire(ctx, fmt.Sprint(b.own, caller))
	if err != nil {
		return err
	}
	return lock.Release(ctx)
}

// handOff measures how long it takes from a release until a waiter of another Client has the lock.
func (b *bench) handOff(ctx context.Context) error {
	name := b.own + "hand-off"
	ctx, cancel := context.WithTimeoutCause(ctx, reachTime, errSilent)
	defer cancel()
	lock, err := b.link.client.Acquire(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Release(context.WithoutCancel(ctx)) }() // it was released, if all went well
	granted := make(chan error, 1)
	var at time.Time
	go func() {
		next, err := b.other.client.Acquire(ctx, name)
		at = time.Now()
		if err == nil {
			err = next.Release(ctx)
		}
		granted <- err
	}()
	for waiting := 0; waiting == 0; {
		info, err := b.link.client.Inspect(ctx, name)
		if err != nil {
			return err
		}
		waiting = info.Waiting
	}
	released := time.Now()
	if err := lock.Release(ctx); err != nil {
		return err
	}
	if err := <-granted; err != nil {
		return err
	}
	b.note(benchKey{"hand_off", 1}, at.Sub(released), at.Sub(released))
	return nil
}

func (b *bench) result(d time.Duration) benchJSON {
	out := benchJSON{Address: b.link.addr, Seconds: d.Seconds(), Rows: []benchRowJSON{}}
	row := func(what string, callers int) benchRowJSON {
		s := b.series[benchKey{what, callers}]
		if s == nil || len(s.took) == 0 {
			return benchRowJSON{What: what, Callers: callers}
		}
		slices.Sort(s.took)
		return benchRowJSON{
			What: what, Callers: callers, Count: len(s.took), PerSecond: float64(len(s.took)) / s.busy.Seconds(),
			P50Seconds: s.took[len(s.took)/2].Seconds(), P99Seconds: s.took[len(s.took)*99/100].Seconds(),
		}
	}
	add := func(what string, callers int) {
		r, ping, bare := row(what, callers), row("ping", callers), row("set_nx", callers)
		if what != "ping" && ping.P50Seconds > 0 {
			r.ToPing = r.P50Seconds / ping.P50Seconds
		}
		if what == "lock" && bare.P50Seconds > 0 {
			r.ToSetNX = r.P50Seconds / bare.P50Seconds
		}
		out.Rows = append(out.Rows, r)
	}
	for _, callers := range crowd {
		for _, what := range []string{"ping", "set_nx", "lock"} {
			add(what, callers)
		}
	}
	add("hand_off", 1)
	return out
}
