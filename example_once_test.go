package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock"
)

func ExampleClient_Once() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	for _, instance := range []*redislock.Client{client, other} {
		err := instance.Once(ctx, "search-index/7", func(ctx context.Context) error {
			fmt.Println("building the index")
			return nil // ctx ends if the lock is lost
		})
		fmt.Println("ready:", err) // all others have waited for it
	}
	// Output:
	// building the index
	// ready: <nil>
	// ready: <nil>
}

// A failure is its own caller's; the next one tries.
func ExampleClient_Once_failure() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	err := client.Once(ctx, "search-index/7", func(context.Context) error {
		return errors.New("disk full")
	})
	fmt.Println(err)
	err = other.Once(ctx, "search-index/7", func(context.Context) error {
		fmt.Println("building the index")
		return nil
	})
	fmt.Println(err)
	// Output:
	// redislock: once "search-index/7": disk full
	// building the index
	// <nil>
}

func ExampleClient_OnceReset() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	build := func(context.Context) error {
		fmt.Println("building the index")
		return nil
	}
	fmt.Println(client.Once(ctx, "search-index/7", build))
	fmt.Println(other.OnceDone(ctx, "search-index/7"))

	fmt.Println(other.OnceReset(ctx, "search-index/7")) // the index was deleted: let it be built again
	fmt.Println(other.OnceDone(ctx, "search-index/7"))
	fmt.Println(other.Once(ctx, "search-index/7", build))
	// Output:
	// building the index
	// <nil>
	// true <nil>
	// <nil>
	// false <nil>
	// building the index
	// <nil>
}

// Once per day is a success that is forgotten after a day; once per deploy is a name with the version in it.
func ExampleWithForget() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	for _, instance := range []*redislock.Client{client, other} {
		err := instance.Once(ctx, "load-rates", func(context.Context) error {
			fmt.Println("loading today's rates")
			return nil
		}, redislock.WithForget(24*time.Hour))
		fmt.Println(err)
	}
	// Output:
	// loading today's rates
	// <nil>
	// <nil>
}
