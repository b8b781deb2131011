package redislock_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
)

// move gives the slot of a lock to another master, with what is in it, step by step as redis-cli does it. between is
// called when the lock's key has moved and the slot has not.
func (f *fleet) move(name string, between func()) {
	f.Helper()
	ctx := context.Background()
	key := "redislock:{" + name + "}"
	rdb := f.cluster.Connect()
	slot := rdb.ClusterKeySlot(ctx, key).Val()
	var from, to *redis.Client
	for _, m := range f.cluster.Masters {
		c := m.Connect()
		if serves(f, c, int(slot)) {
			from = c
		} else {
			to = c
		}
	}
	do := func(c *redis.Client, args ...any) {
		f.Helper()
		if err := c.Do(ctx, args...).Err(); err != nil {
			f.stop(fmt.Errorf("%v: %w", args, err))
		}
	}
	id := func(c *redis.Client) string { return c.Do(ctx, "cluster", "myid").Val().(string) }
	do(to, "cluster", "setslot", slot, "importing", id(from))
	do(from, "cluster", "setslot", slot, "migrating", id(to))
	port := to.Options().Addr[len("127.0.0.1:"):]
	for _, k := range from.ClusterGetKeysInSlot(ctx, int(slot), 100).Val() {
		do(from, "migrate", "127.0.0.1", port, k, 0, 5000)
	}
	if between != nil {
		between()
	}
	for _, m := range f.cluster.Masters {
		if m.Addr() == to.Options().Addr {
			do(to, "cluster", "setslot", slot, "node", id(to))
		}
	}
	for _, m := range f.cluster.Masters {
		if m.Addr() != to.Options().Addr {
			do(m.Connect(), "cluster", "setslot", slot, "node", id(to))
		}
	}
}

// serves reports whether a master has a slot, by what it says itself.
func serves(f *fleet, c *redis.Client, slot int) bool {
	ctx := context.Background()
	id := c.Do(ctx, "cluster", "myid").Val()
	shards, err := c.ClusterSlots(ctx).Result()
	if err != nil {
		f.stop(err)
	}
	for _, s := range shards {
		if s.Start <= slot && slot <= s.End {
			return s.Nodes[0].ID == id
		}
	}
	return false
}

func TestAWaiterHearsOfAGrantAfterItsSlotMoved(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.instance(), f.instance()
	for _, name := range names(3) {
		for range 2 { // there, and on to another or back
			held := f.acquire(a, name)
			got := make(chan *redislock.Lock)
			go func() { got <- f.acquire(b, name) }()
			f.queued(a, name, 1)
			f.move(name, nil)
			f.eventually("the channel is subscribed where the slot is now", func() bool {
				for _, m := range f.cluster.Masters {
					c := m.Connect()
					if serves(f, c, int(c.ClusterKeySlot(t.Context(), name).Val())) && len(c.PubSubShardChannels(t.Context(), "*{"+name+"}").Val()) > 0 {
						return true
					}
				}
				return false
			})
			start := time.Now()
			f.release(held)
			next := <-got
			if took := time.Since(start); took > time.Second {
				t.Errorf("%s was handed over after %v: by a check, not by a message", name, took)
			}
			f.release(next)
		}
	}
}

func TestAWaiterIsNotPassedOverWhileItsSlotMoves(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b, c := f.instance(), f.instance(), f.instance()
	for _, name := range names(3) {
		held := f.acquire(a, name)
		order := make(chan string, 2)
		locks := make(chan *redislock.Lock, 2)
		for i, each := range []*redislock.Client{b, c} {
			go func() {
				l := f.acquire(each, name)
				order <- fmt.Sprint("waiter ", i)
				locks <- l
			}()
			f.queued(a, name, i+1)
		}
		f.move(name, func() { f.release(held) }) // nobody who waits is subscribed where this is executed
		for i := range 2 {
			if got, want := <-order, fmt.Sprint("waiter ", i); got != want {
				t.Errorf("%s went to %s, not to %s: I5", name, got, want)
			}
			f.release(<-locks)
		}
	}
}
