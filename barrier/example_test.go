package barrier_test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"example.com/redislock"
	"example.com/redislock/barrier"
	"example.com/redislock/local"
)

// exampleClient represents the Client of each process. Here it is one Client, over a server in this process.
func exampleClient() (*redislock.Client, func()) {
	server, err := local.New()
	if err != nil {
		panic(err)
	}
	return server.Client, func() { _ = server.Close(context.Background()) }
}

func ExampleLatch() {
	ctx := context.Background()
	client, stop := exampleClient()
	defer stop()

	for _, part := range []string{"part-1", "part-2", "part-2"} { // each in another process; a part is counted once
		if err := barrier.NewLatch(client, "import/2026-11-30", 2).CountDown(ctx, part); err != nil {
			fmt.Println(err)
		}
	}
	err := barrier.NewLatch(client, "import/2026-11-30", 2).Wait(ctx)
	fmt.Println("all parts are there", err)
	// Output:
	// all parts are there <nil>
}

func ExampleBarrier() {
	ctx := context.Background()
	client, stop := exampleClient()
	defer stop()

	var all sync.WaitGroup
	for range 3 { // processes
		all.Go(func() {
			party, err := barrier.New(client, "cut-over/42", 3).Enter(ctx)
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Println("all are in")
			// work under party.Context()
			if err := party.Leave(ctx); err != nil {
				fmt.Println(err)
			}
		})
	}
	all.Wait()
	fmt.Println("all are out")
	// Output:
	// all are in
	// all are in
	// all are in
	// all are out
}

// A party that leaves before all have come, or that dies, breaks the barrier for the others.
func ExampleBrokenError() {
	ctx := context.Background()
	client, stop := exampleClient()
	defer stop()

	entered, leaves := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(leaves)
		party, err := barrier.New(client, "cut-over/43", 2, redislock.WithMetadata("shard 7")).Enter(ctx)
		if err == nil {
			<-entered
			err = party.Quit(ctx)
		}
		if err != nil {
			fmt.Println(err)
		}
	}()
	party, err := barrier.New(client, "cut-over/43", 2).Enter(ctx)
	close(entered)
	if err == nil {
		err = party.Leave(ctx)
	}
	<-leaves
	if broken, is := errors.AsType[*barrier.BrokenError](err); is {
		fmt.Println("broken by", broken.Party.Metadata)
	}
	// Output:
	// broken by shard 7
}

// A consumer waits while there is nothing, and a producer gives a signal.
func ExampleCondition() {
	ctx := context.Background()
	client, stop := exampleClient()
	defer stop()

	var stock []string // guarded by the lock "stock"; in a fleet it is in a database
	notEmpty := barrier.NewCondition(client, "stock/not-empty")
	take := func() (string, error) {
		lock, err := client.Acquire(ctx, "stock")
		for err == nil && len(stock) == 0 {
			lock, err = notEmpty.Wait(ctx, lock) // others can have the lock meanwhile
		}
		if err != nil {
			return "", err
		}
		first := stock[0]
		stock = stock[1:]
		return first, lock.Release(ctx)
	}
	bring := func(what string) error {
		err := client.Do(ctx, "stock", func(context.Context) error {
			stock = append(stock, what)
			return nil
		})
		return errors.Join(err, notEmpty.Signal(ctx))
	}

	brought := make(chan error, 1)
	go func() { brought <- bring("a chair") }() // in another process
	what, err := take()
	fmt.Println(what, err, <-brought)
	// Output:
	// a chair <nil> <nil>
}
