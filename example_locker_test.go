package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"example.com/redislock"
)

// gate is code from elsewhere, which takes any sync.Locker.
type gate struct {
	mu     sync.Locker
	passed *int
}

func (g gate) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	*g.passed++
}

func ExampleClient_Locker() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	var passed int // in an application: what its instances share
	var all sync.WaitGroup
	for _, instance := range []*redislock.Client{client, other} {
		g := gate{instance.Locker(ctx, "gate"), &passed}
		for range 5 {
			all.Go(g.pass)
		}
	}
	all.Wait()
	fmt.Println(passed)
	// Output:
	// 10
}

// Lock has no other way to fail than to panic, with the error of the acquire.
func ExampleClient_Locker_panic() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	lock, err := other.Acquire(ctx, "gate")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(ctx)

	defer func() {
		err, _ := recover().(error)
		fmt.Println(errors.Is(err, redislock.ErrHeld))
	}()
	client.Locker(ctx, "gate", redislock.WithWait(50*time.Millisecond)).Lock()
	// Output:
	// true
}
