package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
)

func ExampleClient_First() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	for _, instance := range []*redislock.Client{client, other} {
		first, err := instance.First(ctx, "mail/42", 24*time.Hour)
		fmt.Println(first, err)
	}
	// Output:
	// true <nil>
	// false <nil>
}

func ExampleClient_FirstOf() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	fmt.Println(client.First(ctx, "mail/2", 24*time.Hour))
	fmt.Println(client.FirstOf(ctx, []string{"mail/1", "mail/2", "mail/3"}, 24*time.Hour))
	// Output:
	// true <nil>
	// [true false true] <nil>
}

func ExampleClient_Forget() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	fmt.Println(client.First(ctx, "mail/42", 24*time.Hour))
	fmt.Println(client.Forget(ctx, "mail/42")) // it could not be sent: let the next one try
	fmt.Println(client.First(ctx, "mail/42", 24*time.Hour))
	// Output:
	// true <nil>
	// <nil>
	// true <nil>
}

func ExampleClient_AcquireWeak() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	weak, err := client.AcquireWeak(ctx, "thumbnail/7", redislock.WithLease(time.Minute))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = other.AcquireWeak(ctx, "thumbnail/7", redislock.WithWait(0))
	fmt.Println(errors.Is(err, redislock.ErrHeld))
	fmt.Println(weak.Release(ctx))
	// Output:
	// true
	// <nil>
}

func ExampleWithFailOpen() {
	ctx := context.Background()
	nowhere := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	defer nowhere.Close()
	client, err := redislock.New(nowhere)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)

	first, err := client.First(ctx, "mail/42", 24*time.Hour, redislock.WithFailOpen())
	fmt.Println(first, err) // rather twice than not at all

	_, err = client.Acquire(ctx, "invoice/42", redislock.WithFailOpen())
	fmt.Println(errors.Is(err, redislock.ErrInvalid)) // never for a strong lock
	// Output:
	// true <nil>
	// true
}
