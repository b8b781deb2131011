package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock"
)

// A server that has no replicas does not get the lock counted, and nothing is left behind.
func ExampleWithReplicas() {
	ctx := context.Background()
	rdb, stopServer := exampleRedis()
	defer stopServer()
	client, err := redislock.New(rdb, redislock.WithDefaults(redislock.WithReplicas(1, 50*time.Millisecond)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)

	err = client.Do(ctx, "invoice/42", func(context.Context) error {
		fmt.Println("this does not run")
		return nil
	})
	fmt.Println(errors.Is(err, redislock.ErrNotReplicated))
	fmt.Println(err)
	// Output:
	// true
	// redislock: acquire "invoice/42": not replicated: 0 of 1 have it after 50ms
}
