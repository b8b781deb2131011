package redislock_test

import (
	"context"
	"errors"
	"fmt"

	"example.com/redislock"
)

// The fence gets to where the data is written without being handed down.
func ExampleFromContext() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	var a account // refuses a writer who was overtaken
	deposit := func(ctx context.Context, coins int) error {
		lock, ok := redislock.FromContext(ctx)
		if !ok {
			return errors.New("not under a lock")
		}
		return a.set(a.balance+coins, lock.Fence())
	}

	err := client.Do(ctx, "account/7", func(ctx context.Context) error {
		return deposit(ctx, 100)
	})
	fmt.Println(err, a.balance)
	fmt.Println(deposit(ctx, 100))
	// Output:
	// <nil> 100
	// not under a lock
}
