package main

import (
	"cmp"
	"runtime"
	"slices"
	"strings"
	"time"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/bench/internal/traffic"
	"example.com/redislock/internal/servertest"
)

// contestClients is the number of clients, each with its own connections, over which the goroutines of a contest are
// spread.
const contestClients = 4

// handoff measures 32 goroutines in four clients that want one lock, with empty critical sections and with ones of 1
// ms.
func (b *bench) handoff() {
	s := servertest.Start(b)
	for _, work := range []time.Duration{0, time.Millisecond} {
		x := float64(work.Milliseconds())
		measure.Interleave(3, peer.All(), func(p peer.Peer) {
			b.contend("handoff", p, x, contest{
				name: "handoff", waiters: 32, work: work,
				warm: b.lasts(300 * time.Millisecond), window: b.lasts(1200 * time.Millisecond),
			}, s)
		})
	}
}

// crowds are the numbers of goroutines that want one lock, and how they are measured. With many goroutines it takes
// longer until they take turns evenly, and until each has had several turns.
var crowds = []struct {
	waiters      int
	rounds       int
	warm, window time.Duration
	peers        []string // nil: all
}{
	{waiters: 2, rounds: 3, warm: 100 * time.Millisecond, window: 500 * time.Millisecond},
	{waiters: 10, rounds: 3, warm: 100 * time.Millisecond, window: 500 * time.Millisecond},
	{waiters: 100, rounds: 3, warm: 200 * time.Millisecond, window: 600 * time.Millisecond},
	{waiters: 1000, rounds: 2, warm: 500 * time.Millisecond, window: 1200 * time.Millisecond},
	{
		waiters: 10000, rounds: 1, warm: 2 * time.Second, window: 4 * time.Second,
		peers: []string{peer.Ours, "bsm/redislock", "redsync", "rueidislock"}, // a selection, to save time
	},
}

// crowd measures a lock with increasing numbers of waiters.
func (b *bench) crowd() {
	s := servertest.Start(b)
	for _, c := range crowds {
		peers := slices.DeleteFunc(peer.All(), func(p peer.Peer) bool { return c.peers != nil && !slices.Contains(c.peers, p.Name) })
		measure.Interleave(c.rounds, peers, func(p peer.Peer) {
			b.contend("crowd", p, float64(c.waiters), contest{
				name: "crowd", waiters: c.waiters, warm: b.lasts(c.warm), window: b.lasts(c.window),
			}, s)
		})
	}
}

// contend holds a contest among clients of a peer, on empty servers, and notes its results.
func (b *bench) contend(section string, p peer.Peer, x float64, c contest, s ...*servertest.Server) (f field) {
	if b.ctx.Err() != nil {
		return f
	}
	var (
		counter traffic.Counter
		sent    []traffic.Sent
		used    []traffic.Usage
	)
	// The server's time is read a moment before the window and a moment after it.
	c.opens = func() {
		used = append(used, b.usage(s...))
		sent = append(sent, counter.Sent())
	}
	c.closes = func() {
		sent = append(sent, counter.Sent())
		used = append(used, b.usage(s...))
	}
	f = b.among(p, &counter, c, s...)

	t := f.tally()
	note := func(quantity string, value float64) {
		b.log.Add(measure.Key{Section: section, Subject: p.Name, Quantity: quantity, X: x}, value)
	}
	note("hand-offs per second", float64(t.handoffs)/(f.to-f.from).Seconds())
	note(failed, float64(f.failures))
	if len(t.waits) > 0 {
		median, slowest := measure.Median(t.waits), slices.Max(t.waits)
		note("wait p50, µs", median)
		note("wait p99, µs", measure.Quantile(t.waits, 0.99))
		note("slowest wait, µs", slowest)
		note("slowest wait / median", slowest/median)
	}
	if n := float64(t.handoffs); n > 0 {
		during := sent[1].Since(sent[0])
		note("Jain's index", measure.Jain(t.each))
		note("Jain's index, at best", fairest(t.handoffs, c.waiters))
		note("to another waiter, %", 100*float64(t.passed)/n)
		note("commands per hand-off", float64(during.Total())/n)
		note("server µs per hand-off", used[1].Since(used[0]).Micros(during)/n)
	}
	return f
}

// among holds a contest among new clients of a peer, on empty servers.
func (b *bench) among(p peer.Peer, counter *traffic.Counter, c contest, s ...*servertest.Server) field {
	for _, one := range s {
		b.must(one.Admin().FlushAll(b.ctx).Err())
	}
	runtime.GC() // so that no peer pays for the garbage of the previous one
	for range cmp.Or(c.clients, contestClients) {
		l, err := p.Open(addresses(s), peer.Options{Wrap: counter.Wrap})
		b.must(err)
		c.lockers = append(c.lockers, l)
	}
	defer closeAll(c.lockers)
	return c.run(b.ctx)
}

// usage is the total usage of the servers until now.
func (b *bench) usage(s ...*servertest.Server) traffic.Usage {
	all := traffic.Usage{}
	for _, one := range s {
		u, err := traffic.Read(b.ctx, one.Admin())
		b.must(err)
		all.Add(u)
	}
	return all
}

// addresses are those of servers, as a peer opens them.
func addresses(s []*servertest.Server) string {
	var all []string
	for _, one := range s {
		all = append(all, one.Addr())
	}
	return strings.Join(all, ",")
}
