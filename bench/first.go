package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/internal/servertest"
)

const (
	floorSetNX     = "floor: SET NX PX"
	floorSetNXPipe = "floor: pipeline of SET NX PX"
)

// window is how long a key is remembered here.
const window = time.Minute

// claim is a call that says of each key whether it is new.
type claim struct {
	name  string
	claim func(ctx context.Context, keys []string) ([]bool, error)
}

// first measures a call of First by one caller beside the command that it sends.
func (b *bench) first() { b.claims("first", "µs per call", 0, 1, floorSetNX) }

// batch measures FirstOf for a thousand keys beside a pipeline of as many commands.
func (b *bench) batch() { b.claims("batch", "µs per key", 1000, 1000, floorSetNXPipe) }

// claims measures calls for that many new keys each.
func (b *bench) claims(section, quantity string, x float64, keys int, floor string) {
	s := servertest.Start(b)
	defer s.Kill()
	l, err := peer.All()[0].Open(s.Addr(), peer.Options{})
	b.must(err)
	defer bounded(l.Close)
	ours := l.(*peer.Client)
	rdb := peer.Connect(s.Addr(), peer.Options{})
	defer rdb.Close()
	all := []claim{
		{peer.Ours, func(ctx context.Context, keys []string) ([]bool, error) {
			if len(keys) > 1 {
				return ours.FirstOf(ctx, keys, window)
			}
			first, err := ours.First(ctx, keys[0], window)
			return []bool{first}, err
		}},
		{floor, func(ctx context.Context, keys []string) ([]bool, error) {
			if len(keys) > 1 {
				return setAll(ctx, rdb, keys)
			}
			err := rdb.SetArgs(ctx, "plain:"+keys[0], "1", redis.SetArgs{Mode: "NX", TTL: window}).Err()
			return []bool{err == nil}, err
		}},
	}
	// The caller's context can be cancelled, as in a server's handler.
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	made := 0
	play := func(c claim, d time.Duration) (calls int, took time.Duration) {
		batch := make([]string, keys)
		begun := time.Now()
		for until := begun.Add(d); time.Now().Before(until); calls++ {
			for i := range batch {
				made++
				batch[i] = "event/" + strconv.Itoa(made)
			}
			first, err := c.claim(ctx, batch)
			b.must(err)
			for i, is := range first {
				if !is {
					b.Fatalf("%s: %s is not the first of its kind", c.name, batch[i])
				}
			}
		}
		return calls, time.Since(begun)
	}
	measure.Interleave(25, all, func(c claim) {
		b.must(s.Admin().FlushAll(ctx).Err())
		play(c, b.lasts(15*time.Millisecond))
		calls, took := play(c, b.lasts(130*time.Millisecond))
		b.log.Add(measure.Key{Section: section, Subject: c.name, Quantity: quantity, X: x}, float64(took.Nanoseconds())/1e3/float64(calls*keys))
	})
}

// setAll claims keys in one pipeline.
func setAll(ctx context.Context, rdb redis.UniversalClient, keys []string) ([]bool, error) {
	pipe := rdb.Pipeline()
	for _, key := range keys {
		pipe.SetArgs(ctx, "plain:"+key, "1", redis.SetArgs{Mode: "NX", TTL: window})
	}
	answers, err := pipe.Exec(ctx)
	if err != nil {
		return nil, fmt.Errorf("a pipeline: %w", err)
	}
	first := make([]bool, len(keys))
	for i, a := range answers {
		first[i] = a.Err() == nil
	}
	return first, nil
}
