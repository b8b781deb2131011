package asynqlock_test

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	asynqlock "example.com/redislock/adapters/asynq"
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

// account names the lock by what the task is about, so that other code can take it too.
func account(t *asynq.Task) string { return "account/" + string(t.Payload()) }

func ExampleUnique() {
	rdb, stop := exampleRedis()
	defer stop()
	ctx := context.Background()
	client, err := redislock.New(rdb)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)

	charged := make(chan string)
	charge := func(ctx context.Context, t *asynq.Task) error {
		lock, _ := redislock.FromContext(ctx)
		charged <- fmt.Sprintf("%s under %s, with a fence: %v", t.Payload(), lock.Name(), lock.Fence() > 0)
		return nil // ctx ends if the lock is lost
	}

	mux := asynq.NewServeMux()
	mux.Use(asynqlock.Unique(client, account))
	mux.HandleFunc("account:charge", charge)
	server := asynq.NewServerFromRedisClient(rdb, asynq.Config{
		IsFailure:      asynqlock.IsFailure, // a task that was busy has not failed
		RetryDelayFunc: asynqlock.RetryDelay(5*time.Second, asynq.DefaultRetryDelayFunc),
		LogLevel:       asynq.ErrorLevel,
	})
	if err := server.Start(mux); err != nil {
		fmt.Println(err)
		return
	}
	defer server.Shutdown() // before the Client is closed

	if _, err := asynq.NewClientFromRedisClient(rdb).Enqueue(asynq.NewTask("account:charge", []byte("7"))); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-charged)
	// Output:
	// 7 under account/7, with a fence: true
}

func ExampleOnce() {
	rdb, stop := exampleRedis()
	defer stop()
	ctx := context.Background()
	client, err := redislock.New(rdb)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)

	invoice := func(t *asynq.Task) string { return "mail/" + string(t.Payload()) }
	mux := asynq.NewServeMux()
	mux.Use(asynqlock.Once(client, 24*time.Hour, invoice))
	mux.HandleFunc("mail:invoice", func(_ context.Context, t *asynq.Task) error {
		fmt.Println("mail about invoice", string(t.Payload()))
		return nil
	})
	for range 3 { // the server does this when a task is delivered
		fmt.Println(mux.ProcessTask(ctx, asynq.NewTask("mail:invoice", []byte("42"))))
	}
	// Output:
	// mail about invoice 42
	// <nil>
	// <nil>
	// <nil>
}
