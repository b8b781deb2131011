package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock"
	"example.com/redislock/fence"
)

// Redis has lost its data, and its clock is an hour behind what the resource has seen.
func ExampleWithFenceFloor() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()
	var account fence.Memory // or the row of a database
	_ = account.Accept(ctx, "account/7", time.Now().Add(time.Hour).UnixMicro())

	lock, err := client.Acquire(ctx, "account/7")
	if err != nil {
		fmt.Println(err)
		return
	}
	err = account.Accept(ctx, lock.Name(), lock.Fence())
	_ = lock.Release(ctx)
	stale, refused := errors.AsType[*fence.StaleError](err)
	fmt.Println("refused:", refused)

	// What the resource has seen is the floor of the next grant, and all after it.
	lock, err = client.Acquire(ctx, "account/7", redislock.WithFenceFloor(stale.Seen))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("accepted:", account.Accept(ctx, lock.Name(), lock.Fence()) == nil)
	_ = lock.Release(ctx)
	// Output:
	// refused: true
	// accepted: true
}
