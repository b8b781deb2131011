package redislock_test

import (
	"context"
	"fmt"

	"example.com/redislock"
)

func ExampleWithObserver() {
	ctx := context.Background()
	rdb, stop := exampleRedis()
	defer stop()

	client, err := redislock.New(rdb, redislock.WithObserver(redislock.ObserverFunc(func(e redislock.Event) {
		fmt.Println(e.Kind, e.Name) // e.Wait, e.Held, e.Fence and e.Err say more
	})))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)

	err = client.Do(ctx, "invoice/42", func(context.Context) error { return nil })
	fmt.Println(err)
	// Output:
	// asked invoice/42
	// granted invoice/42
	// released invoice/42
	// <nil>
}
