package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

func manyNames(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("many/%04d", i))
	}
	return names
}

func TestAThousandLocksAreTakenAndGivenBackInAFewRequests(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		var requests atomic.Int32
		rdb := e.connect().(*redis.Client)
		rdb.AddHook(seeing{func([]redis.Cmder) { requests.Add(1) }})
		c, other := e.over(rdb), e.client()
		e.release(e.acquire(c, "warm up"))
		names := manyNames(1000)
		requests.Store(0)
		all := e.all(ctx, c, names)
		if n := requests.Load(); n > 30 {
			e.Errorf("%d requests for 1,000 names", n)
		}
		for _, name := range names {
			if all.Fence(name) == 0 {
				e.Errorf("%s is not held", name)
			}
		}
		e.taken(other, names[0], names[500], names[999])
		requests.Store(0)
		if err := all.Release(ctx); err != nil {
			e.Error(err)
		}
		if n := requests.Load(); n > 30 {
			e.Errorf("%d requests to give 1,000 back", n)
		}
		for _, name := range []string{names[0], names[500], names[999]} {
			e.untouched(name)
		}
	})
}

// A caller that waits for a lock holds none that comes after it in the order.
func TestWhoWaitsForOneOfManyHoldsNothingBehindIt(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		c, other := e.client(), e.client()
		names := manyNames(300)
		const taken = 123
		held := e.acquire(other, names[taken])
		got := make(chan *redislock.Locks)
		go func() { got <- e.all(ctx, c, names) }()
		e.queued(other, names[taken], 1)
		for i, name := range names {
			info, err := other.Inspect(ctx, name)
			if want := i <= taken; err != nil || (info.Holders > 0) != want || i != taken && info.Waiting > 0 {
				e.Errorf("number %d: %d hold it and %d wait while number %d is waited for, %v", i, info.Holders, info.Waiting, taken, err)
			}
		}
		e.release(held)
		if err := (<-got).Release(ctx); err != nil {
			e.Error(err)
		}
		held = e.acquire(other, names[taken])
		if all, err := c.AcquireAll(ctx, names, redislock.WithWait(0)); all != nil || !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("one is taken: %v", err)
		}
		for _, name := range []string{names[0], names[taken-1], names[taken+1], names[299]} {
			e.untouched(name)
		}
		e.release(held)
	})
}

func TestManyInOverlappingSetsDoNotDeadlock(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		var done sync.WaitGroup
		owners := make([]atomic.Int32, 40)
		for worker := range 5 {
			c := e.client()
			random := rand.New(rand.NewPCG(uint64(worker), 7))
			done.Go(func() {
				for range 15 {
					var names []string
					var mine []int
					for _, i := range random.Perm(40)[:10+random.IntN(25)] {
						names, mine = append(names, fmt.Sprintf("many/%04d", i)), append(mine, i)
					}
					all := e.all(context.Background(), c, names)
					for _, i := range mine {
						if n := owners[i].Add(1); n != 1 {
							e.Errorf("I1: %d hold number %d", n, i)
						}
					}
					time.Sleep(time.Duration(random.IntN(5)) * time.Millisecond)
					for _, i := range mine {
						owners[i].Add(-1)
					}
					if err := all.Release(context.Background()); err != nil {
						e.Error(err)
					}
				}
			})
		}
		done.Wait()
	})
}

// I8: if the Observer panics while several locks are asked for, the caller gets the panic, and nothing is left
// behind.
func TestAPanicOfTheObserverWhileManyAreTakenIsTheCallers(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		var events atomic.Int32
		c := e.client(redislock.WithObserver(redislock.ObserverFunc(func(ev redislock.Event) {
			if ev.Kind == redislock.EventGranted && events.Add(1) == 20 {
				panic("the observer")
			}
		})))
		names := manyNames(100)
		var p any
		func() {
			defer func() { p = recover() }()
			_, _ = c.AcquireAll(context.Background(), names)
		}()
		if p != "the observer" {
			e.Errorf("the caller sees %v", p)
		}
		time.Sleep(time.Second)
		for _, name := range names {
			e.untouched(name)
		}
	})
}
