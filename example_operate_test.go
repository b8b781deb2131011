package redislock_test

import (
	"context"
	"fmt"
	"time"

	"example.com/redislock"
)

// What is held for longer than it should be?
func ExampleClient_List() {
	ctx := context.Background()
	rdb, stop := exampleRedis()
	defer stop()
	client, err := redislock.New(rdb)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)
	lock, err := client.Acquire(ctx, "invoice/42", redislock.WithMetadata("the monthly run"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(ctx)

	for info, err := range client.List(ctx, "invoice/*") {
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, hold := range info.Holds {
			long := info.Now.Sub(hold.Since) > time.Hour
			fmt.Println(info.Name, "is held for", hold.Owner.Metadata, "and too long:", long)
		}
	}
	// Output: invoice/42 is held for the monthly run and too long: false
}

func ExampleClient_Watch() {
	ctx := context.Background()
	rdb, stop := exampleRedis()
	defer stop()
	client, err := redislock.New(rdb)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)
	lock, err := client.Acquire(ctx, "deploy")
	if err != nil {
		fmt.Println(err)
		return
	}

	for info, err := range client.Watch(ctx, "deploy") { // ends with ctx, or when it is left
		if err != nil {
			fmt.Println(err)
			continue // it goes on when Redis is back
		}
		fmt.Println("held by", info.Holders)
		if info.Idle() {
			break
		}
		_ = lock.Release(ctx) // somewhere else, some time later
	}
	// Output:
	// held by 1
	// held by 0
}

// A long job gives way where it can, because somebody asks for it. Nothing is taken.
func ExampleClient_Ask() {
	ctx := context.Background()
	rdb, stop := exampleRedis()
	defer stop()
	client, err := redislock.New(rdb)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)
	lock, err := client.Acquire(ctx, "reindex")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(ctx)

	for {
		select {
		case request := <-lock.Asked():
			fmt.Println("stopped:", request.Why)
			return
		case <-lock.Context().Done():
			return
		case <-time.After(10 * time.Millisecond): // a batch of the work
		}
		// An operator asks, from another process. A holder that is not subscribed yet does not hear of it, so he asks again.
		if told, err := client.Ask(ctx, "reindex", "a release is due"); told != 1 || err != nil {
			fmt.Println(told, err)
		}
	}
	// Output:
	// stopped: a release is due
}
