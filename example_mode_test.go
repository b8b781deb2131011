package redislock_test

import (
	"context"
	"errors"
	"fmt"

	"example.com/redislock"
)

func ExampleWithMode() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	reader, err := client.Acquire(ctx, "price-list", redislock.WithMode(redislock.Read))
	if err != nil {
		fmt.Println(err)
		return
	}
	second, err := other.TryAcquire(ctx, "price-list", redislock.WithMode(redislock.Read))
	fmt.Println("another reader:", err)
	_, err = other.TryAcquire(ctx, "price-list", redislock.WithMode(redislock.Write))
	fmt.Println("a writer:", errors.Is(err, redislock.ErrHeld))

	_ = second.Release(ctx)
	_ = reader.Release(ctx)
	// Output:
	// another reader: <nil>
	// a writer: true
}

func ExampleSemaphore() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	api := redislock.WithMode(redislock.Semaphore(10)) // at most ten calls at a time, wherever they come from
	call, err := client.Acquire(ctx, "partner-api", api)
	if err != nil {
		fmt.Println(err)
		return
	}
	batch, err := other.Acquire(ctx, "partner-api", api, redislock.WithWeight(9))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.TryAcquire(ctx, "partner-api", api)
	fmt.Println("all ten in use:", errors.Is(err, redislock.ErrHeld))
	_, err = client.Acquire(ctx, "partner-api", api, redislock.WithWeight(11))
	fmt.Println(err)

	_ = batch.Release(ctx)
	_ = call.Release(ctx)
	// Output:
	// all ten in use: true
	// redislock: acquire "partner-api": invalid: WithWeight(11): more than the mode semaphore(10) can ever have, 10
}

// The intent locks of databases: who works on a table's rows holds the table in an intent mode, so that who wants the
// whole table does not have to look at each row.
func ExampleNewMode() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	beside := redislock.CompatibleWith
	modes := []redislock.Mode{
		redislock.NewMode("IS", beside("IS", "IX", "S", "SIX")), // will read some rows
		redislock.NewMode("IX", beside("IS", "IX")),             // will write some rows
		redislock.NewMode("S", beside("IS", "S")),               // reads the table
		redislock.NewMode("SIX", beside("IS")),                  // reads the table, will write some rows
		redislock.NewMode("X"),                                  // writes the table
	}
	for _, held := range modes {
		lock, err := client.Acquire(ctx, "orders", redislock.WithMode(held))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%-3s", held)
		for _, asked := range modes {
			second, err := other.TryAcquire(ctx, "orders", redislock.WithMode(asked))
			if err == nil {
				fmt.Printf(" %s", asked)
				_ = second.Release(ctx)
			}
		}
		fmt.Println()
		_ = lock.Release(ctx)
	}
	// Output:
	// IS  IS IX S SIX
	// IX  IS IX
	// S   IS S
	// SIX IS
	// X
}

func ExampleAtMost() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	// Two builds at a time, and no build beside a release.
	build := redislock.WithMode(redislock.NewMode("build", redislock.AtMost(1, "build")))
	release := redislock.WithMode(redislock.NewMode("release"))

	first, err := client.Acquire(ctx, "main-branch", build)
	if err != nil {
		fmt.Println(err)
		return
	}
	second, err := other.TryAcquire(ctx, "main-branch", build)
	fmt.Println("a second build:", err)
	_, err = other.TryAcquire(ctx, "main-branch", build)
	fmt.Println("a third:", errors.Is(err, redislock.ErrHeld))
	_, err = other.TryAcquire(ctx, "main-branch", release)
	fmt.Println("a release:", errors.Is(err, redislock.ErrHeld))

	_ = second.Release(ctx)
	_ = first.Release(ctx)
	// Output:
	// a second build: <nil>
	// a third: true
	// a release: true
}

func ExampleLock_Upgrade() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	lock, err := client.Acquire(ctx, "price-list", redislock.WithMode(redislock.Read))
	if err != nil {
		fmt.Println(err)
		return
	}
	// The list turned out to be old: write it, unless another reader is about to do the same.
	if err := lock.Upgrade(ctx); err != nil {
		fmt.Println(err) // ErrConflict: release, and begin again
		return
	}
	_, err = other.TryAcquire(ctx, "price-list", redislock.WithMode(redislock.Read))
	fmt.Println("readers wait:", errors.Is(err, redislock.ErrHeld))

	// From now on others may read it too. Nobody wrote in between.
	if err := lock.Downgrade(ctx); err != nil {
		fmt.Println(err)
		return
	}
	reader, err := other.TryAcquire(ctx, "price-list", redislock.WithMode(redislock.Read))
	fmt.Println("another reader:", err)

	_ = reader.Release(ctx)
	_ = lock.Release(ctx)
	// Output:
	// readers wait: true
	// another reader: <nil>
}
