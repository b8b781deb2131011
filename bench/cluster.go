package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/internal/servertest"
)

const floorClassic = "floor: one PUBLISH on a classic channel"

// cluster measures three masters: uncontended pairs by many callers, and hand-offs of several locks in different slots.
// It also counts the messages by which the masters pass on what was published. With classic channels they go from one
// master to all others; with sharded channels there are none, as no master has a replica here.
func (b *bench) cluster() {
	c := servertest.StartCluster(b, 3)
	defer func() {
		for _, s := range c.Masters {
			s.Kill()
		}
	}()
	b.clusterPairs(c)
	b.clusterHandoffs(c)

	rdb := c.Connect()
	const messages = 200
	before := b.busMessages(c)
	for i := range messages {
		b.must(rdb.Publish(b.ctx, "channel-"+strconv.Itoa(i), "x").Err())
	}
	b.log.Add(measure.Key{Section: "cluster", Subject: floorClassic, Quantity: busMessagesPerHandoff}, (b.busMessages(c)-before)/messages)
}

const busMessagesPerHandoff = "pub/sub messages on the cluster bus per hand-off"

// flush empties all masters.
func (b *bench) flush(c *servertest.Cluster) {
	for _, s := range c.Masters {
		b.must(s.Admin().FlushAll(b.ctx).Err())
	}
}

func (b *bench) clusterPairs(c *servertest.Cluster) {
	const callers = 256
	subjects, closeThem := b.uncontended(c.Masters[0].Addr(), peer.Options{Cluster: true})
	defer closeThem()
	window := b.lasts(350 * time.Millisecond)
	measure.Interleave(5, subjects, func(one subject) {
		b.flush(c)
		b.load(one, callers, window/5)
		l := b.load(one, callers, window)
		b.log.Add(measure.Key{Section: "cluster", Subject: one.name, Quantity: "pairs per second"}, l.perSecond)
		b.log.Add(measure.Key{Section: "cluster", Subject: one.name, Quantity: "failures"}, l.failures)
	})
}

func (b *bench) clusterHandoffs(c *servertest.Cluster) {
	const clients = 4
	type contender struct {
		name    string
		lockers []peer.Locker
	}
	var all []contender
	for _, p := range peer.All() {
		one := contender{name: p.Name}
		for range clients {
			l, err := p.Open(c.Masters[0].Addr(), peer.Options{Cluster: true})
			b.must(err)
			defer bounded(l.Close)
			one.lockers = append(one.lockers, l)
		}
		all = append(all, one)
	}
	measure.Interleave(3, all, func(one contender) {
		b.flush(c)
		before := b.busMessages(c)
		h := b.contendOnCluster(one.lockers, b.lasts(150*time.Millisecond), b.lasts(500*time.Millisecond))
		bus := b.busMessages(c) - before
		note := func(quantity string, value float64) {
			b.log.Add(measure.Key{Section: "cluster", Subject: one.name, Quantity: quantity}, value)
		}
		note("hand-offs per second", h.perSecond)
		note("failures of hand-offs", h.failures)
		if h.perSecond > 0 {
			note("Jain's index", h.jain)
			note(busMessagesPerHandoff, bus/h.grants)
		}
	})
}

// clusterContention is the result of a number of waiters.
type clusterContention struct {
	grants    float64 // all grants
	perSecond float64 // in the window
	jain      float64 // Jain's index of the waiters' shares in the window
	failures  float64 // calls with an error while there was time
}

// contendOnCluster lets eight waiters of each client, for each of six locks, do pairs without work, first for a while in
// which nothing is counted, and then for the window in which grants are counted.
func (b *bench) contendOnCluster(lockers []peer.Locker, before, window time.Duration) (c clusterContention) {
	const names, waiters = 6, 8
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	var failures atomic.Int64
	var all sync.WaitGroup
	shares := make([]atomic.Int64, len(lockers)*names*waiters)
	for i, l := range lockers {
		for name := range names {
			for k := range waiters {
				grants := &shares[(i*names+name)*waiters+k]
				all.Go(func() {
					own, cancel := context.WithCancel(ctx)
					defer cancel()
					for ctx.Err() == nil {
						if err := once(own, l, "contended-"+strconv.Itoa(name)); err == nil {
							grants.Add(1)
						} else if ctx.Err() == nil {
							failures.Add(1)
						}
					}
				})
			}
		}
	}
	sleep(ctx, before)
	counted, begun := loads(shares), time.Now()
	sleep(ctx, window)
	then, took := loads(shares), time.Since(begun)
	cancel()
	bounded(all.Wait)
	for i := range then {
		then[i] -= counted[i]
	}
	c.perSecond, c.jain = sum(then)/took.Seconds(), measure.Jain(then)
	c.grants, c.failures = sum(loads(shares)), float64(failures.Load())
	b.must(b.ctx.Err())
	return c
}

func loads(counters []atomic.Int64) []float64 {
	values := make([]float64, len(counters))
	for i := range counters {
		values[i] = float64(counters[i].Load())
	}
	return values
}

func sum(values []float64) (total float64) {
	for _, v := range values {
		total += v
	}
	return total
}

// once takes a lock and gives it back, that also when ctx has ended meanwhile.
func once(ctx context.Context, l peer.Locker, name string) error {
	release, err := l.Lock(ctx, name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stuckAfter)
	defer cancel()
	return release(ctx)
}

// busMessages is how many messages the masters have sent each other because somebody published something.
func (b *bench) busMessages(c *servertest.Cluster) (n float64) {
	for _, s := range c.Masters {
		text, err := s.Admin().ClusterInfo(b.ctx).Result()
		b.must(err)
		sent, err := parseBusMessages(text)
		b.must(err)
		n += sent
	}
	return n
}

// parseBusMessages adds up what CLUSTER INFO says of messages on classic and on sharded channels. It is silent on what
// there was none of.
func parseBusMessages(text string) (n float64, err error) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name != "cluster_stats_messages_publish_sent" && name != "cluster_stats_messages_publishshard_sent" {
			continue
		}
		sent, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("CLUSTER INFO: %w", err)
		}
		n += sent
	}
	return n, nil
}
