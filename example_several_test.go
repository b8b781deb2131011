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

// A directory is moved while nobody reads or writes anything in it. Other directories go on.
func ExampleClient_AcquirePath() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()
	move, err := client.AcquirePath(ctx, "home/anna")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer move.Release(ctx)

	_, err = other.AcquirePath(ctx, "home/anna/letters/7", redislock.WithMode(redislock.Read), redislock.WithWait(0))
	fmt.Println("a letter of Anna is read:", err == nil)
	write, err := other.AcquirePath(ctx, "home/ben/letters/1", redislock.WithWait(0))
	fmt.Println("a letter of Ben is written:", err == nil)
	_ = write.Release(ctx)
	// Output:
	// a letter of Anna is read: false
	// a letter of Ben is written: true
}
