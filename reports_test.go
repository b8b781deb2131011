package redislock_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// An Observer that hangs in an event of the Client's own goroutine gets a bounded number of events afterwards, losses among them,
// and how many there were beside them.
func TestEventsForAnObserverThatHangsAreBoundedAndCounted(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		const held = 30
		var mu sync.Mutex
		told, dropped := map[redislock.EventKind]int{}, 0
		hangs := make(chan struct{})
		c := e.client(redislock.WithObserver(redislock.ObserverFunc(func(event redislock.Event) {
			mu.Lock()
			told[event.Kind]++
			dropped += event.Dropped
			first := event.Kind == redislock.EventRenewed && told[event.Kind] == 1
			mu.Unlock()
			if first {
				<-hangs
			}
		})))
		var locks []*redislock.Lock
		for i := range held {
			locks = append(locks, e.acquire(c, fmt.Sprint(i), redislock.WithLease(300*time.Millisecond)))
		}
		time.Sleep(10 * time.Second) // some 100 renewals each, more than are kept
		e.raw.FlushAll(context.Background())
		for _, l := range locks {
			<-l.Context().Done()
		}
		mu.Lock()
		if told[redislock.EventRenewed] != 1 || told[redislock.EventLost] > 0 {
			t.Errorf("told while it hung: %v", told)
		}
		mu.Unlock()
		close(hangs)
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		if told[redislock.EventLost] != held || told[redislock.EventRenewed] > 2100 || told[redislock.EventDropped] == 0 {
			t.Errorf("told when it went on: %v", told)
		}
		if all := told[redislock.EventRenewed] + dropped; all < 9*held*10 || all > 11*held*10 {
			t.Errorf("%d renewals told and dropped, of about %d", all, held*100)
		}
	})
}

// On the Client's own goroutine nobody could recover from the panic of an Observer.
func TestAnObserverThatDoesNotReturnOnTheClientsGoroutineIsToldSo(t *testing.T) {
	for how, way := range ways {
		t.Run(how, func(t *testing.T) {
			embedded(t, 0, func(e *env, _ *fakenet.Network) {
				var events recorder
				var always atomic.Bool
				c := e.client(redislock.WithObserver(redislock.ObserverFunc(func(event redislock.Event) {
					if event.Kind == redislock.EventRenewed || always.Load() {
						way()
					}
					events.Observe(event)
				})))
				l := e.acquire(c, "x", redislock.WithLease(time.Second))
				time.Sleep(3 * time.Second)
				if err := l.Err(); err != nil {
					t.Error(err)
				}
				if n := events.count(redislock.EventDropped); n < 5 {
					t.Errorf("told of %d", n)
				}
				for _, event := range events.events {
					if event.Kind == redislock.EventDropped && (event.Dropped != 1 || event.Err == nil || how == "panic" && !strings.Contains(event.Err.Error(), "of a callback")) {
						t.Errorf("told %+v", event)
					}
				}
				always.Store(true)
				time.Sleep(3 * time.Second)
				if err := l.Err(); err != nil {
					t.Error(err)
				}
				always.Store(false)
				e.release(l)
			})
		})
	}
}
