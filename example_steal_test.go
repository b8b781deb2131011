package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock"
)

func ExampleWithStealAfter() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	stuck, err := client.Acquire(ctx, "report")
	if err != nil {
		fmt.Println(err)
		return
	}
	lock, err := other.Acquire(ctx, "report", redislock.WithStealAfter(100*time.Millisecond))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(ctx)

	fmt.Println(context.Cause(stuck.Context()))
	fmt.Println("is a loss, too:", errors.Is(stuck.Err(), redislock.ErrLost))
	fmt.Println("too late:", errors.Is(stuck.Release(ctx), redislock.ErrNotHeld))
	// Output:
	// lock stolen: lock lost: older than another caller tolerates
	// is a loss, too: true
	// too late: true
}

func ExampleClient_Break() {
	ctx := context.Background()
	client, operator, stop := exampleClients()
	defer stop()

	lock, err := client.Acquire(ctx, "report")
	if err != nil {
		fmt.Println(err)
		return
	}
	fence, err := operator.Break(ctx, "report", "wrong input file")
	fmt.Println(fence == lock.Fence(), err)

	<-lock.Context().Done()
	fmt.Println(context.Cause(lock.Context()))
	// Output:
	// true <nil>
	// lock stolen: lock lost: broken: wrong input file
}
