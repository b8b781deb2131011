package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock"
)

func ExampleLock_ReleaseAfter() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	lock, err := client.Acquire(ctx, "newsletter", redislock.WithMetadata("sent"))
	if err != nil {
		fmt.Println(err)
		return
	}
	err = lock.ReleaseAfter(ctx, time.Hour) // not a second one within the hour, though this process may end now
	fmt.Println(err, errors.Is(lock.Err(), redislock.ErrReleased))

	_, err = other.TryAcquire(ctx, "newsletter")
	if held, ok := errors.AsType[*redislock.HeldError](err); ok {
		fmt.Println("held on by", held.Holder.Client+":", held.Holder.Metadata)
	}
	// Output:
	// <nil> true
	// held on by api-1: sent
}
