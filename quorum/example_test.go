package quorum_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/fence"
	"example.com/redislock/quorum"
)

// Three masters, of which any two are enough. One of them dies, and the callers do not notice.
func Example() {
	ctx := context.Background()
	var servers []*miniredis.Miniredis // in production: three servers on three machines
	var clients []*redislock.Client
	for range 3 {
		server, err := miniredis.Run()
		if err != nil {
			fmt.Println(err)
			return
		}
		defer server.Close()
		rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1, DialerRetries: 1})
		defer rdb.Close()
		client, err := redislock.New(rdb)
		if err != nil {
			fmt.Println(err)
			return
		}
		servers, clients = append(servers, server), append(clients, client)
	}

	locker, err := quorum.New(clients, quorum.WithDurableNodes()) // an embedded server does not say how long it has been up
	if err != nil {
		fmt.Println(err)
		return
	}
	var first int64
	err = locker.Do(ctx, "invoice/42", func(ctx context.Context) error {
		first, _ = fence.FromContext(ctx)
		fmt.Println("paying invoice 42, and nobody else does")
		return nil // ctx ends if the majority is lost
	})
	fmt.Println(err)

	servers[0].Close()
	lock, err := locker.Acquire(ctx, "invoice/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("again, with a greater fence:", lock.Fence() > first)
	_, err = locker.TryAcquire(ctx, "invoice/42")
	fmt.Println("and somebody else is told that it is held:", errors.Is(err, redislock.ErrHeld))
	fmt.Println(lock.Release(ctx))
	// Output:
	// paying invoice 42, and nobody else does
	// <nil>
	// again, with a greater fence: true
	// and somebody else is told that it is held: true
	// <nil>
}
