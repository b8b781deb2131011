package redislock_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// All subscriptions end at once, under a queue of several Clients: who lives and checks keeps its place, and its turn.
func TestI5NobodyLosesItsPlaceWhenAllSubscriptionsAreMadeAnew(t *testing.T) {
	t.Parallel()
	const clients, each = 4, 10
	x := newScene(t, servertest.Start(t))
	holder := x.acquire(x.look)
	order := make(chan int, clients*each)
	var instances []*redislock.Client
	for range clients {
		instances = append(instances, x.beside())
	}
	for i := range each {
		for j := range clients {
			number := i*clients + j
			w := x.waiting(instances[j])
			x.queued(number + 1)
			go func() {
				<-w.done
				order <- number
				if w.err != nil || w.lock.Release(context.Background()) != nil {
					t.Errorf("number %d: %v", number, w.err)
				}
			}()
		}
	}
	if err := x.raw.ClientKillByFilter(t.Context(), "type", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	x.release(holder)
	var got []int
	for range clients * each {
		select {
		case number := <-order:
			got = append(got, number)
		case <-time.After(patience):
			t.Fatalf("after %v nobody", got)
		}
	}
	if !slices.IsSorted(got) {
		t.Errorf("served in the order %v", got)
	}
}
