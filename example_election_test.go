package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"example.com/redislock"
)

func ExampleClient_Elect() {
	client, _, stop := exampleClients()
	defer stop()
	ctx, shutDown := context.WithCancel(context.Background())

	err := client.Elect(ctx, "scheduler", func(ctx context.Context) error {
		fmt.Println("leading")
		shutDown()
		<-ctx.Done() // the leadership is lost, or this process is to end
		return ctx.Err()
	})
	fmt.Println(errors.Is(err, context.Canceled))
	// Output:
	// leading
	// true
}

// When the leader loses its lock the next candidate leads, with a greater fence.
func ExampleClient_Elect_failover() {
	client, other, stop := exampleClients()
	defer stop()
	ctx, shutDown := context.WithCancel(context.Background())

	var all sync.WaitGroup
	first := make(chan int64, 1)
	all.Go(func() {
		_ = client.Elect(ctx, "scheduler", func(ctx context.Context) error {
			lock, _ := redislock.FromContext(ctx)
			fmt.Println("api-1 leads")
			first <- lock.Fence()
			<-ctx.Done()
			return ctx.Err()
		})
	})
	fence := <-first
	all.Go(func() {
		_ = other.Elect(ctx, "scheduler", func(ctx context.Context) error {
			lock, _ := redislock.FromContext(ctx)
			fmt.Println("api-2 leads, with a greater fence:", lock.Fence() > fence)
			shutDown()
			return ctx.Err()
		})
	})
	for { // until api-2 stands for election
		info, err := client.Inspect(ctx, "elect:scheduler")
		if err != nil || info.Waiting == 1 {
			break
		}
	}
	if _, err := other.Break(context.Background(), "elect:scheduler", "api-1 hangs"); err != nil {
		fmt.Println(err)
	}
	all.Wait()
	// Output:
	// api-1 leads
	// api-2 leads, with a greater fence: true
}

func ExampleElection_Leader() {
	client, other, stop := exampleClients()
	defer stop()
	ctx, shutDown := context.WithCancel(context.Background())

	election := other.Election("scheduler") // to ask needs no candidacy
	_ = client.Elect(ctx, "scheduler", func(ctx context.Context) error {
		leader, err := election.Leader(ctx)
		fmt.Println(leader.Owner.Client, "leads:", leader.Elected(), err)
		shutDown()
		return ctx.Err()
	})
	leader, err := election.Leader(context.Background())
	fmt.Println("afterwards:", leader.Elected(), err)
	// Output:
	// api-1 leads: true <nil>
	// afterwards: false <nil>
}

func ExampleElection_Watch() {
	client, other, stop := exampleClients()
	defer stop()
	ctx, shutDown := context.WithCancel(context.Background())
	defer shutDown()
	watch, endWatch := context.WithCancel(context.Background())
	defer endWatch()

	var candidate sync.WaitGroup
	leading := make(chan struct{})
	for leader, err := range other.Election("scheduler").Watch(watch) {
		switch {
		case err != nil:
			fmt.Println(err) // Redis cannot be reached; it goes on
		case leader.Elected():
			fmt.Println(leader.Owner.Client, "leads")
			<-leading
			shutDown()
		case ctx.Err() == nil:
			fmt.Println("nobody leads")
			candidate.Go(func() {
				_ = client.Elect(ctx, "scheduler", func(ctx context.Context) error {
					close(leading)
					<-ctx.Done()
					return ctx.Err()
				})
			})
		default:
			fmt.Println("nobody leads any more")
			endWatch()
		}
	}
	candidate.Wait()
	// Output:
	// nobody leads
	// api-1 leads
	// nobody leads any more
}
