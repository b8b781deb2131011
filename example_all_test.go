package redislock_test

import (
	"context"
	"errors"
	"fmt"

	"example.com/redislock"
)

func ExampleClient_AcquireAll() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	locks, err := client.AcquireAll(ctx, []string{"account/9", "account/7"}) // in any order
	if err != nil {
		fmt.Println(err)
		return
	}
	defer locks.Release(ctx)

	fmt.Println("holding", locks.Names())
	fmt.Println("fenced:", locks.Fence("account/7") > 0, locks.Fence("account/9") > 0)

	_, err = other.AcquireAll(ctx, []string{"account/8", "account/9"}, redislock.WithWait(0))
	fmt.Println("all or none:", errors.Is(err, redislock.ErrHeld))
	lock, err := other.TryAcquire(ctx, "account/8")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(ctx)
	fmt.Println("account 8 was given back")
	// Output:
	// holding [account/7 account/9]
	// fenced: true true
	// all or none: true
	// account 8 was given back
}

func ExampleClient_DoAll() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	err := client.DoAll(ctx, []string{"account/7", "account/9"}, func(ctx context.Context) error {
		fmt.Println("moving money, and nobody else touches either account")
		return nil // ctx ends if any of the locks is lost
	})
	fmt.Println(err)
	// Output:
	// moving money, and nobody else touches either account
	// <nil>
}

func ExampleLocks_Context() {
	ctx := context.Background()
	client, operator, stop := exampleClients()
	defer stop()

	locks, err := client.AcquireAll(ctx, []string{"account/7", "account/9"})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := operator.Break(ctx, "account/9", "frozen by the bank"); err != nil {
		fmt.Println(err)
	}

	<-locks.Context().Done() // when any of them is lost
	fmt.Println(context.Cause(locks.Context()))
	fmt.Println("too late:", errors.Is(locks.Release(ctx), redislock.ErrNotHeld)) // gives account 7 back
	// Output:
	// "account/9": lock stolen: lock lost: broken: frozen by the bank
	// too late: true
}
