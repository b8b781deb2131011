package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/bench/internal/traffic"
	"example.com/redislock/internal/servertest"
)

// turns measures grants within a process: hand-offs among 32 goroutines in four clients, in one, and in four processes; the cost of
// acquiring a lingering lock again; and the cost of a lingering lock for another process.
func (b *bench) turns() {
	s := servertest.Start(b)
	peers := slices.DeleteFunc(peer.All(), func(p peer.Peer) bool { return p.Variant || p.Name == peer.Ours })
	for _, clients := range []int{contestClients, 1} {
		measure.Interleave(3, append(peer.Turns(), peers...), func(p peer.Peer) {
			b.contend("turns", p, float64(clients), contest{
				name: "turns", clients: clients, waiters: 32, warm: b.lasts(200 * time.Millisecond), window: b.lasts(800 * time.Millisecond),
			}, s)
		})
	}
	measure.Interleave(3, append(peer.Turns(), peers...), func(p peer.Peer) { b.processes(s, p) })
	b.reacquire(s)
	b.beside(s)
	b.inTurn(s)
}

// counted is a subject whose requests are counted.
type counted struct {
	subject
	counter *traffic.Counter
}

func (b *bench) counted(s *servertest.Server, peers []peer.Peer) (all []counted) {
	for _, p := range peers {
		var c traffic.Counter
		l, err := p.Open(s.Addr(), peer.Options{Wrap: c.Wrap})
		b.must(err)
		ours := l.(*peer.Client)
		pair := func(ctx context.Context, name string) error { // without the allocation of a Release
			lock, err := ours.Acquire(ctx, name)
			if err != nil {
				return err
			}
			return lock.Release(ctx)
		}
		all = append(all, counted{subject{p.Name, pair, l.Close}, &c})
	}
	return all
}

// beside measures eight goroutines of one client that read one name, while nobody writes.
func (b *bench) beside(s *servertest.Server) {
	ctx := context.Background()
	b.granted("readers beside each other, ", b.counted(s, peer.Readers()), func(c counted, until time.Time) float64 {
		var readers sync.WaitGroup
		var pairs atomic.Int64
		for range 8 {
			readers.Go(func() {
				mine := int64(0)
				for ; time.Now().Before(until); mine++ {
					b.must(c.pair(ctx, c.name))
				}
				pairs.Add(mine)
			})
		}
		readers.Wait()
		return float64(pairs.Load())
	}, func(took time.Duration, pairs float64) (string, float64) {
		return "pairs per second", pairs / took.Seconds()
	})
}

// reacquire measures a pair of a caller that had the lock a moment ago, with the requests that it sends.
func (b *bench) reacquire(s *servertest.Server) {
	ctx := context.Background() // as in the section pair
	b.granted("re-acquire, ", b.counted(s, peer.Lingers()), func(c counted, until time.Time) (n float64) {
		for ; time.Now().Before(until); n++ {
			b.must(c.pair(ctx, c.name))
		}
		return n
	}, func(took time.Duration, pairs float64) (string, float64) {
		return "µs per pair", float64(took.Nanoseconds()) / 1e3 / pairs
	})
}

// granted measures the cost of pairs that are granted within the process. do makes pairs until the given time, and returns their
// number; speed is the name of the quantity for their time.
func (b *bench) granted(prefix string, all []counted, do func(c counted, until time.Time) float64, speed func(time.Duration, float64) (string, float64)) {
	for _, c := range all {
		do(c, time.Now().Add(b.lasts(100*time.Millisecond)))
	}
	measure.Interleave(20, all, func(c counted) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		sent, begun := c.counter.Sent(), time.Now()
		n := do(c, begun.Add(b.lasts(25*time.Millisecond)))
		took := time.Since(begun)
		runtime.ReadMemStats(&after)
		note := func(quantity string, value float64) {
			b.log.Add(measure.Key{Section: "turns", Subject: c.name, Quantity: prefix + quantity}, value)
		}
		note(speed(took, n))
		note("allocations per pair", float64(after.Mallocs-before.Mallocs)/n)
		note("commands per pair", float64(c.counter.Sent().Since(sent).Total())/n)
	})
	for _, c := range all {
		bounded(c.close)
	}
}

// inTurn lets two clients take a name in turn, by one goroutine, so that each finds the lock as the other has left it. With one
// name the lock no longer lingers after some recalls. With a new name each time the second client must recall the lock, and
// waits for that.
func (b *bench) inTurn(s *servertest.Server) {
	type two struct {
		name    string
		clients [2]peer.Locker
	}
	var all []two
	for _, p := range peer.Lingers() {
		t := two{name: p.Name}
		for i := range t.clients {
			l, err := p.Open(s.Addr(), peer.Options{})
			b.must(err)
			t.clients[i] = l
		}
		all = append(all, t)
	}
	ctx := context.Background()
	names := 0
	waits := map[string][]float64{}
	pair := func(l peer.Locker, name string) (took time.Duration) { // took is the time to get the lock
		begun := time.Now()
		release, err := l.Lock(ctx, name)
		took = time.Since(begun)
		b.must(err)
		b.must(release(ctx))
		return took
	}
	both := func(t two) {
		for _, l := range t.clients {
			pair(l, "in turn/"+t.name)
		}
	}
	note := func(t two, quantity string, value float64) {
		b.log.Add(measure.Key{Section: "turns", Subject: t.name, Quantity: quantity}, value)
	}
	for _, t := range all {
		for range 100 {
			both(t)
		}
	}
	measure.Interleave(40, all, func(t two) {
		n := 0.0
		before, begun := b.usage(s), time.Now()
		for until := begun.Add(b.lasts(25 * time.Millisecond)); time.Now().Before(until); n += 2 {
			both(t)
		}
		took, used := time.Since(begun), b.usage(s).Since(before)
		note(t, "two clients in turn, µs per pair", float64(took.Nanoseconds())/1e3/n)
		note(t, "two clients in turn, recalls per pair", float64(used["publish"].Calls+used["spublish"].Calls)/n)
		for range 20 {
			names++
			name := fmt.Sprintf("recall/%s/%d", t.name, names)
			pair(t.clients[0], name)
			waits[t.name] = append(waits[t.name], float64(pair(t.clients[1], name).Nanoseconds())/1e3)
		}
	})
	for _, t := range all {
		note(t, "µs to acquire what another client gave back, p50", measure.Median(waits[t.name]))
		note(t, "µs to acquire what another client gave back, p99", measure.Quantile(waits[t.name], 0.99))
		closeAll(t.clients[:])
	}
}
