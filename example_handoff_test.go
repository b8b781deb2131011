package redislock_test

import (
	"context"
	"errors"
	"fmt"

	"example.com/redislock"
)

func ExampleLock_Handoff() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	// The web server takes the order in hand and leaves the work to a queue.
	lock, err := client.Acquire(ctx, "order/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	ticket, err := lock.Handoff() // travels with the message; good for one lease
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("the web server:", context.Cause(lock.Context()))

	// A worker goes on with it. Nobody else had the lock in between.
	work, err := other.Resume(ctx, ticket)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("the worker has", work.Name(), work.Err())
	fmt.Println("what the web server still writes is late:", work.Fence() > lock.Fence())

	_, err = other.Resume(ctx, ticket)
	fmt.Println("a second time:", errors.Is(err, redislock.ErrNotHeld))
	_ = work.Release(ctx)
	// Output:
	// the web server: lock released: handed off
	// the worker has order/42 <nil>
	// what the web server still writes is late: true
	// a second time: true
}
