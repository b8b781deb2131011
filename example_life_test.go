package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock"
)

func ExampleClient_Check() {
	ctx := context.Background()
	rdb, stop := exampleRedis()
	defer stop()
	client, err := redislock.New(rdb)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)

	if err := client.Check(ctx); err != nil {
		fmt.Println("not ready:", err) // names what is missing, such as a right
		return
	}
	fmt.Println("ready")
	// Output: ready
}

// What runs is finished, and nothing new begins.
func ExampleClient_Drain() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()
	began, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_ = client.Do(ctx, "invoice/42", func(context.Context) error {
			close(began)
			time.Sleep(50 * time.Millisecond) // the work
			fmt.Println("the invoice is paid")
			return nil
		})
	}()
	<-began

	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	err := client.Drain(ctx) // waits for those that hold a lock
	fmt.Println("drained:", err)
	_, err = client.Acquire(ctx, "invoice/43")
	fmt.Println("taken on:", !errors.Is(err, redislock.ErrDraining))
	<-done
	// Output:
	// the invoice is paid
	// drained: <nil>
	// taken on: false
}

func ExampleClient_Held() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()
	lock, err := client.Acquire(ctx, "report", redislock.WithMetadata("the monthly run"))
	if err != nil {
		fmt.Println(err)
		return
	}
	waited := make(chan error)
	go func() {
		waited <- other.Do(ctx, "report", func(context.Context) error { return nil })
	}()
	for len(other.Waiting()) == 0 {
		time.Sleep(time.Millisecond)
	}

	for _, held := range client.Held() {
		fmt.Println(held.Name, "is held for", held.Metadata, "and renewed in time:", time.Until(held.Deadline) > 0)
	}
	for _, waiter := range other.Waiting() {
		fmt.Println(waiter.Name, "is waited for; it is held by", waiter.Holder.Client)
	}
	_ = lock.Release(ctx)
	fmt.Println(<-waited)
	// Output:
	// report is held for the monthly run and renewed in time: true
	// report is waited for; it is held by api-1
	// <nil>
}

// A service says no at once where too many wait already.
func ExampleWithMaxQueue() {
	ctx := context.Background()
	client, other, stop := exampleClients(redislock.WithDefaults(redislock.WithMaxQueue(1)))
	defer stop()
	lock, err := client.Acquire(ctx, "printer")
	if err != nil {
		fmt.Println(err)
		return
	}
	first := make(chan error)
	go func() {
		first <- other.Do(ctx, "printer", func(context.Context) error { return nil })
	}()
	for len(other.Waiting()) == 0 {
		time.Sleep(time.Millisecond)
	}

	_, err = client.Acquire(ctx, "printer")
	fmt.Println("come back later:", errors.Is(err, redislock.ErrQueueFull))
	_ = lock.Release(ctx)
	fmt.Println("the one that waited:", <-first)
	// Output:
	// come back later: true
	// the one that waited: <nil>
}
