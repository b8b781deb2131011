package redislock_test

import (
	"context"
	"errors"
	"fmt"

	"example.com/redislock"
)

func ExampleClient_Stripes() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	files := client.Stripes("files", 1024) // 1,024 locks, however many files there are
	lock, err := files.AcquireKey(ctx, "photos/cat.jpg")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(ctx)

	fmt.Println("holding", lock.Name())
	_, err = other.Stripes("files", 1024).AcquireKey(ctx, "photos/cat.jpg", redislock.WithWait(0))
	fmt.Println(errors.Is(err, redislock.ErrHeld))
	// Output:
	// holding files#119
	// true
}

// Two keys may share a stripe. AcquireAll takes a shared one once.
func ExampleStripes_Name() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	files := client.Stripes("files", 4)
	var names []string
	for _, file := range []string{"photos/cat.jpg", "photos/dog.jpg", "photos/fox.jpg"} {
		names = append(names, files.Name(files.Index(file)))
	}
	fmt.Println(names)

	locks, err := client.AcquireAll(ctx, names)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer locks.Release(ctx)
	fmt.Println(locks.Names())
	// Output:
	// [files#3 files#1 files#3]
	// [files#1 files#3]
}

// Work that has numbers of its own needs no hash: any number will do.
func ExampleStripes_Acquire() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	shards := client.Stripes("shards", 16)
	lock, err := shards.Acquire(ctx, 35)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(ctx)
	fmt.Println("holding", lock.Name())
	// Output:
	// holding shards#3
}
