package local_test

import (
	"context"
	"fmt"
	"time"

	"example.com/redislock/local"
)

func Example() {
	ctx := context.Background()
	server, err := local.New() // instead of redislock.New(redis.NewClient(…))
	if err != nil {
		fmt.Println(err)
		return
	}
	client := server.Client

	err = client.Do(ctx, "invoice/42", func(context.Context) error {
		fmt.Println("paying invoice 42; no other goroutine does")
		return nil
	})
	fmt.Println(err)

	closing, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	fmt.Println(server.Close(closing))
	// Output:
	// paying invoice 42; no other goroutine does
	// <nil>
	// <nil>
}
