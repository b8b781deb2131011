package redislock_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"example.com/redislock"
)

func TestAnUncontendedPairCostsTwoCommandsAndFourInsideTheServer(t *testing.T) {
	once := func(more ...string) map[string]int {
		all := map[string]int{"evalsha": 1, "hlen": 1, "time": 1, "hset": 1, "hdel": 1}
		for _, name := range more {
			all[name]++
		}
		return all
	}
	cases := []struct {
		what     string
		fresh    bool
		held     time.Duration
		sent     map[string]int
		executed map[string]int
	}{
		{"briefly, a name in use", false, 0, map[string]int{"acquire": 1, "hdel": 1}, once("hget")},
		{"briefly, a fresh name", true, 0, map[string]int{"acquire": 1, "hdel": 1}, once("expire")},
		{"longer, a name in use", false, redislock.Brief + time.Millisecond, map[string]int{"acquire": 1, "release": 1}, once("hget", "evalsha")},
		{"longer, a fresh name", true, redislock.Brief + time.Millisecond, map[string]int{"acquire": 1, "release": 1}, once("expire", "evalsha")},
	}
	metered(t, func(b *budget) {
		c := b.instance()
		b.release(b.acquire(c.Client, "x"))
		names := 0
		for _, one := range cases {
			var sent, executed map[string]int
			var trips int
			b.undisturbed(one.what, func() bool {
				name := "x"
				if one.fresh {
					names++
					name = fmt.Sprint(one.what, names)
				}
				time.Sleep(time.Millisecond) // a fence later than the last needs a clock that goes on
				b.reset(c)
				begun := time.Now()
				l := b.acquire(c.Client, name)
				time.Sleep(one.held)
				b.release(l)
				briefly := time.Since(begun) < redislock.Brief
				sent, trips = c.wire.count()
				executed = b.executed()
				return briefly || one.held > 0
			})
			if !maps.Equal(sent, one.sent) || trips != 2 {
				b.Errorf("%s: %v was sent in %d round trips, instead of %v in 2", one.what, sent, trips, one.sent)
			}
			if b.server != nil && !maps.Equal(executed, one.executed) {
				b.Errorf("%s: the server executed %v instead of %v", one.what, executed, one.executed)
			}
		}
	})
}

func TestTheReleaseOfABriefHoldThatSomebodyWaitsForCostsOneCommandMore(t *testing.T) {
	metered(t, func(b *budget) {
		holder, waiter := b.instance(), b.instance()
		var held, waited map[string]int
		names := 0
		b.undisturbed("a brief hold that somebody waits for", func() bool {
			names++
			name := fmt.Sprint("x", names)
			queued := waiter.told.count(redislock.EventQueued)
			b.reset(holder, waiter)
			begun := time.Now()
			l := b.acquire(holder.Client, name)
			next := make(chan *redislock.Lock)
			go func() { next <- b.acquire(waiter.Client, name) }()
			b.soon("it waits", func() bool { return waiter.told.count(redislock.EventQueued) > queued })
			b.release(l)
			briefly := time.Since(begun) < redislock.Brief
			b.release(<-next)
			held, _ = holder.wire.count()
			waited, _ = waiter.wire.count()
			return briefly
		})
		if want := map[string]int{"acquire": 1, "hdel": 1, "release": 1}; !maps.Equal(held, want) {
			b.Errorf("the holder sent %v instead of %v", held, want)
		}
		if want := map[string]int{"acquire": 1, "release": 1}; !maps.Equal(waited, want) {
			b.Errorf("the waiter sent %v instead of %v", waited, want)
		}
	})
}
