package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/internal/servertest"
)

// footprint measures the whole cost of one of each thing for a server and a network, for docs/scale.md: the server's
// own time with its system calls, bytes in memory, bytes on the wire.
type footprint struct{ *bench }

func (b *bench) footprint() {
	f := footprint{b}
	f.renewals(servertest.Start(b), "server CPU µs per renewal", 1, 16, 256)
	f.renewals(servertest.StartReplicated(b, 1).Primary, "server CPU µs per renewal, with a replica", 256)
	f.pairsOnTheWire()
	f.ownRenewals()
	f.checks()
	f.memory()
}

// foot notes a quantity of this library in this section.
func (b footprint) foot(quantity string, x, value float64) {
	b.log.Add(measure.Key{Section: "footprint", Subject: peer.Ours, Quantity: quantity, X: x}, value)
}

// open makes a Client of this library for this section.
func (b footprint) open(s *servertest.Server, o peer.Options) *peer.Client {
	b.Helper()
	for _, p := range peer.All() {
		if p.Name == peer.Ours {
			l, err := p.Open(s.Addr(), o)
			b.must(err)
			return l.(*peer.Client)
		}
	}
	b.Fatal("this library is not among the peers")
	return nil
}

// renewals copies the renewals of 2,000 locks as the Client sends them, and sends them again in requests of several
// sizes. So the requests are real ones, of known sizes.
func (b footprint) renewals(s *servertest.Server, quantity string, sizes ...int) {
	const locks = 2000
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	c := b.open(s, peer.Options{})
	defer c.Close()
	copied := &scriptTap{}
	c.Redis.AddHook(copied)
	_ = b.hold(ctx, c, 0, locks)
	copied.open.Store(true)
	admin := s.Admin()
	// A Client that has to subscribe anew renews all that it holds at once.
	b.must(admin.ClientKillByFilter(ctx, "TYPE", "pubsub").Err())
	var calls [][]any
	for len(calls) < locks && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
		calls, _ = copied.seen()
	}
	b.must(ctx.Err())
	copied.open.Store(false)
	calls = renewalsOf(calls)

	rdb := s.Connect(func(o *redis.Options) { o.PoolSize = 1 })
	measure.Interleave(5, sizes, func(size int) {
		before := b.spent(admin)
		for until := before.at.Add(b.lasts(200 * time.Millisecond)); time.Now().Before(until); {
			for i := 0; i+size <= len(calls) && (size > 1 || i < 500); i += size {
				pipe := rdb.Pipeline()
				for _, args := range calls[i : i+size] {
					pipe.Do(ctx, args...)
				}
				_, err := pipe.Exec(ctx)
				b.must(err)
			}
		}
		after := b.spent(admin)
		n := after.scripts - before.scripts
		b.foot(quantity, float64(size), (after.server-before.server)/n)
		b.foot(strings.Replace(quantity, "CPU µs", "script µs", 1), float64(size), (after.script-before.script)/n)
		switch {
		case after.replicas > before.replicas:
			b.foot("replication bytes per renewal", 0, (after.replicas-before.replicas)/n)
		case size == sizes[len(sizes)-1]:
			b.foot("bytes to the server per renewal", 0, (after.in-before.in)/n)
			b.foot("bytes from the server per renewal", 0, (after.out-before.out)/n)
		}
	})
}

// renewalsOf keeps the calls of the most frequent script, as a probe of the new subscription is among the calls.
func renewalsOf(calls [][]any) (all [][]any) {
	count, most := map[any]int{}, 0
	for _, args := range calls {
		count[args[1]]++
		most = max(most, count[args[1]])
	}
	for _, args := range calls {
		if count[args[1]] == most {
			all = append(all, args)
		}
	}
	return all
}

// wire measures the cost of one operation for the server and the network, by n callers that repeat it.
func (b footprint) wire(what string, n int, admin *redis.Client, once func(ctx context.Context, i int) error) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	var done atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := once(ctx, i); err == nil {
					done.Add(1)
				} else if ctx.Err() == nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	time.Sleep(b.lasts(50 * time.Millisecond)) // until the connections are made and the scripts loaded
	before, begun := b.spent(admin), done.Load()
	time.Sleep(b.lasts(250 * time.Millisecond))
	after, ended := b.spent(admin), done.Load()
	cancel()
	all.Wait()
	if err := failed.Load(); err != nil {
		b.must(*err)
	}
	times := float64(ended - begun)
	if times == 0 {
		b.Fatalf("not one %s in a round", what)
	}
	b.foot("server CPU µs per "+what, float64(n), (after.server-before.server)/times)
	b.foot("bytes to the server per "+what, float64(n), (after.in-before.in)/times)
	b.foot("bytes from the server per "+what, float64(n), (after.out-before.out)/times)
}

// pairsOnTheWire measures an acquire with its release on separate names, by one caller and by 256, and hand-offs
// between 4 Clients with 8 waiters each on one name.
func (b footprint) pairsOnTheWire() {
	whole, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	s := servertest.Start(b)
	var clients []*peer.Client
	for range 4 {
		c := b.open(s, peer.Options{})
		defer c.Close()
		clients = append(clients, c)
	}
	once := func(ctx context.Context, c *peer.Client, name string) error {
		release, err := c.Lock(ctx, name)
		if err != nil {
			return err
		}
		return release(whole) // not with the context that ends, as the next round must find the lock free
	}
	for range 5 {
		for _, callers := range []int{1, 256} {
			b.wire("pair", callers, s.Admin(), func(ctx context.Context, i int) error {
				return once(ctx, clients[0], fmt.Sprintf("invoice/%08d", i))
			})
		}
		b.wire("hand-off", 32, s.Admin(), func(ctx context.Context, i int) error {
			return once(ctx, clients[i%len(clients)], "invoice")
		})
	}
}

// ownRenewals lets a Client renew locks that were taken one after the other, evenly over the time between two renewals
// of one lock, so that as few renewals as possible leave together.
func (b footprint) ownRenewals() {
	const locks, lease = 1500, 1500 * time.Millisecond
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	s := servertest.Start(b)
	c := b.open(s, peer.Options{TTL: lease})
	defer c.Close()
	sent := &scriptTap{}
	c.Redis.AddHook(sent)
	begun := time.Now()
	for i := range locks {
		time.Sleep(time.Until(begun.Add(lease / 3 / locks * time.Duration(i))))
		_, err := c.Lock(ctx, fmt.Sprintf("invoice/%08d", i))
		b.must(err)
	}
	for range 3 {
		sent.reset()
		before := b.spent(s.Admin())
		time.Sleep(lease / 3)
		after := b.spent(s.Admin())
		calls, requests := sent.seen()
		n := float64(len(calls))
		if requests == 0 {
			b.Fatal("nothing was renewed")
		}
		b.foot("renewals per request", locks, n/float64(requests))
		b.foot("connections of a Client that renews", locks, after.clients-1) // without the one that asks
		b.foot("server CPU µs per renewal, as they come", locks, (after.server-before.server)/n)
		b.foot("client CPU µs per renewal, as they come", locks, (after.client-before.client)/n)
	}
}
