package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"example.com/redislock"
	"example.com/redislock/redislocktest"
)

type invoice struct{ number string }

// pay is the work that must not run twice at a time.
func pay(_ context.Context, in invoice) error {
	fmt.Println("paid", in.number)
	return nil
}

func ExampleClient_Do() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	err := client.Do(ctx, "invoice/42", func(ctx context.Context) error {
		return pay(ctx, invoice{"42"}) // ctx ends with the caller's, or if the lock is lost
	})
	fmt.Println(err)
	// Output:
	// paid 42
	// <nil>
}

// A loss is in the error even if the function did not notice it.
func ExampleClient_Do_lost() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	err := client.Do(ctx, "invoice/42", func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	}, redislock.WithMaxHold(100*time.Millisecond))
	fmt.Println(errors.Is(err, redislock.ErrLost))
	// Output:
	// true
}

func ExampleClient_Wrap() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	cleanUp := client.Wrap("clean-up", func(ctx context.Context) error {
		fmt.Println("cleaning up")
		return nil
	}, redislock.WithWait(0)) // another instance does it now: ErrHeld

	fmt.Println(cleanUp(ctx))
	// Output:
	// cleaning up
	// <nil>
}

func ExampleWrapBy() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	payOnce := redislock.WrapBy(client, func(in invoice) string { return "invoice/" + in.number }, pay)

	fmt.Println(payOnce(ctx, invoice{"42"}))
	fmt.Println(payOnce(ctx, invoice{"43"}))
	// Output:
	// paid 42
	// <nil>
	// paid 43
	// <nil>
}

// How a test of code that uses locks looks: a server in memory, and leases that pass in fake time.
func TestTheSecondInstanceTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		server := redislocktest.New(t)
		other := server.NewClient() // another instance of the application

		lock, err := server.Client.Acquire(ctx, "leader", redislock.WithoutRenewal(), redislock.WithLease(90*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		next, err := other.Acquire(ctx, "leader") // after 90 s, which pass at once
		if err != nil {
			t.Fatal(err)
		}
		if lock.Err() == nil || next.Fence() <= lock.Fence() {
			t.Error("two leaders")
		}
		if err := next.Release(ctx); err != nil {
			t.Error(err)
		}
	})
}
