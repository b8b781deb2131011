package redislock_test

import (
	"context"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
)

// exampleRedis starts a server in memory for one example, and connects to it. stop ends both.
func exampleRedis() (rdb *redis.Client, stop func()) {
	server, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	rdb = redis.NewClient(&redis.Options{Addr: server.Addr(), Protocol: 2, DisableIdentity: true})
	return rdb, func() {
		_ = rdb.Close()
		server.Close()
	}
}

// exampleClients makes two Clients on one server, as two instances of an application have them, which have run for a
// moment: they are subscribed to their wake channels. stop closes both and panics if a lock was not released.
func exampleClients(opts ...redislock.ClientOption) (client, other *redislock.Client, stop func()) {
	ctx := context.Background()
	rdb, stopServer := exampleRedis()
	var clients []*redislock.Client
	for _, name := range []string{"api-1", "api-2"} {
		client, err := redislock.New(rdb, append(opts[:len(opts):len(opts)], redislock.WithName(name))...)
		if err != nil {
			panic(err)
		}
		lock, err := client.Acquire(ctx, "warm-up")
		if err != nil {
			panic(err)
		}
		_ = lock.Release(ctx)
		clients = append(clients, client)
	}
	for len(rdb.PubSubChannels(ctx, "*").Val()) < len(clients)+1 { // one of their own, and one for all
		time.Sleep(time.Millisecond)
	}
	return clients[0], clients[1], func() {
		defer stopServer()
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		for _, client := range clients {
			if err := client.Close(ctx); err != nil {
				panic(err)
			}
		}
	}
}
