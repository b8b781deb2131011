package redislock_test

import (
	"context"
	"errors"
	"fmt"

	"example.com/redislock"
)

func ExampleLock_Context_reentry() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	ship := func(ctx context.Context) error {
		return client.Do(ctx, "order/42", func(ctx context.Context) error {
			fmt.Println("shipping")
			return nil
		})
	}
	// ship takes the lock that its caller has: the context says so, and nothing is sent for it.
	err := client.Do(ctx, "order/42", func(ctx context.Context) error {
		fmt.Println("paid")
		return ship(ctx)
	})
	fmt.Println(err)
	// Output:
	// paid
	// shipping
	// <nil>
}

func ExampleErrOrder() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	outer, err := client.Acquire(ctx, "order/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	inner, err := client.Acquire(outer.Context(), "order/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("one grant:", inner.Fence() == outer.Fence())
	fmt.Println(errors.Is(outer.Release(ctx), redislock.ErrOrder)) // and it is still held
	fmt.Println(inner.Release(ctx))
	fmt.Println(errors.Is(inner.Release(ctx), redislock.ErrNotHeld)) // once too often
	fmt.Println(outer.Release(ctx))
	// Output:
	// one grant: true
	// true
	// <nil>
	// true
	// <nil>
}
