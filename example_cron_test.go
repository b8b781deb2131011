package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock"
)

func ExampleCronGuard_Run() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	tick := time.Now().Truncate(time.Hour) // what the schedule says, not when a clock came to fire
	for _, node := range []*redislock.Client{client, other} {
		outcome, err := node.Cron("report").Run(ctx, tick, func(ctx context.Context) error {
			fmt.Println("writing the report")
			return nil // ctx ends if the lock is lost
		})
		fmt.Println(outcome, err)
	}
	// Output:
	// writing the report
	// ran <nil>
	// elsewhere <nil>
}

func ExampleClient_CronStatus() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	tick := time.Now().Truncate(time.Hour)
	_, err := client.Cron("report").Run(ctx, tick, func(context.Context) error {
		return errors.New("no paper")
	})
	fmt.Println(err)

	status, err := other.CronStatus(ctx, "report")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(status.Job, status.Outcome, "on", status.Node.Client+":", status.Err)
	fmt.Println(status.Tick.Equal(tick), status.End.After(status.Start))
	// Output:
	// redislock: cron "report": no paper
	// report failed on api-1: no paper
	// true true
}

// A tick that falls due while an earlier one is still running is left out, unless set.
func ExampleWithOverlap() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	tick := time.Now().Add(-time.Minute).Truncate(time.Minute)
	outcome, err := client.Cron("import").Run(ctx, tick, func(context.Context) error {
		// It takes more than a minute.
		next, err := other.Cron("import").Run(ctx, tick.Add(time.Minute), func(context.Context) error { return nil })
		fmt.Println("the next one:", next, err)
		return err
	})
	fmt.Println("this one:", outcome, err)
	// Output:
	// the next one: skipped <nil>
	// this one: ran <nil>
}

func ExampleWithOverlap_replace() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	tick := time.Now().Truncate(time.Minute)
	begun, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		outcome, err := client.Cron("import").Run(ctx, tick, func(ctx context.Context) error {
			close(begun)
			<-ctx.Done() // hangs
			return ctx.Err()
		})
		fmt.Println("this one:", outcome, errors.Is(err, redislock.ErrStolen))
	}()
	<-begun
	replace := other.Cron("import", redislock.WithOverlap(redislock.OverlapReplace))
	outcome, err := replace.Run(ctx, tick.Add(time.Minute), func(context.Context) error {
		<-ended
		return nil
	})
	fmt.Println("the next one:", outcome, err)
	// Output:
	// this one: failed true
	// the next one: ran <nil>
}

func ExampleWithAtLeast() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	poll := func(context.Context) error { return nil } // is over at once
	tick := time.Now().Truncate(time.Minute)
	fmt.Println(client.Cron("poll", redislock.WithAtLeast(time.Minute)).Run(ctx, tick, poll))
	fmt.Println(other.Cron("poll").Run(ctx, tick.Add(time.Second), poll)) // too soon after the first
	// Output:
	// ran <nil>
	// skipped <nil>
}

func ExampleWithAtMost() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	tick := time.Now().Truncate(time.Minute)
	outcome, err := client.Cron("import", redislock.WithAtMost(50*time.Millisecond)).Run(ctx, tick, func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
	fmt.Println(outcome, errors.Is(err, context.DeadlineExceeded))
	// Output:
	// failed true
}

// A node that is told to stop, or dies, leaves its tick to one that stands by.
func ExampleWithRetry() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	tick := time.Now().Truncate(time.Minute)
	standBy := redislock.WithRetry(time.Minute)

	node, shutDown := context.WithCancel(ctx)
	outcome, err := client.Cron("import", standBy).Run(node, tick, func(ctx context.Context) error {
		shutDown()
		return ctx.Err()
	})
	fmt.Println(outcome, errors.Is(err, context.Canceled))
	fmt.Println(other.Cron("import", standBy).Run(ctx, tick, func(context.Context) error {
		fmt.Println("beginning it anew")
		return nil
	}))
	// Output:
	// failed true
	// beginning it anew
	// ran <nil>
}
