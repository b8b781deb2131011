package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock"
)

// Two processes take two locks in different orders. The one that waits last gives up, and the other gets on.
func ExampleWithDeadlockCheck() {
	ctx := context.Background()
	client, other, stop := exampleClients(redislock.WithDefaults(redislock.WithDeadlockCheck(100 * time.Millisecond)))
	defer stop()
	began, older := make(chan struct{}), make(chan error)
	go func() {
		older <- client.Do(ctx, "orders", func(ctx context.Context) error {
			<-began
			return client.Do(ctx, "stock", func(context.Context) error { return nil })
		})
	}()

	err := other.Do(ctx, "stock", func(ctx context.Context) error {
		close(began)
		for len(client.Waiting()) == 0 {
			time.Sleep(time.Millisecond)
		}
		return other.Do(ctx, "orders", func(context.Context) error { return nil })
	})
	deadlock, ok := errors.AsType[*redislock.DeadlockError](err)
	fmt.Println("a deadlock:", ok && errors.Is(err, redislock.ErrDeadlock))
	for _, edge := range deadlock.Cycle {
		fmt.Println(edge.Place.Owner.Client, "holds", edge.Lock, "and waits for", edge.For)
	}
	fmt.Println("the other one:", <-older)
	// Unordered output:
	// a deadlock: true
	// api-1 holds orders and waits for stock
	// api-2 holds stock and waits for orders
	// the other one: <nil>
}
