package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock"
)

// If another instance holds the lock, that is an outcome and no error.
func ExampleClient_TryDo() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	report := func(context.Context) error {
		fmt.Println("writing the report")
		return nil
	}
	err := client.Do(ctx, "report", func(context.Context) error {
		ran, err := other.TryDo(ctx, "report", report)
		fmt.Println("beside it:", ran, err)
		return nil
	})
	fmt.Println(err)
	ran, err := other.TryDo(ctx, "report", report)
	fmt.Println("after it:", ran, err)
	// Output:
	// beside it: false <nil>
	// <nil>
	// writing the report
	// after it: true <nil>
}

func ExampleDoValue() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	number, err := redislock.DoValue(ctx, client, "invoice-numbers", func(context.Context) (int, error) {
		return 42, nil // in an application: read the last number, and write the next
	})
	fmt.Println(number, err)
	// Output:
	// 42 <nil>
}

func ExampleWrapValue() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	nextNumber := redislock.WrapValue(client, "invoice-numbers", func(context.Context) (int, error) {
		return 42, nil
	}, redislock.WithWait(time.Second))

	fmt.Println(nextNumber(ctx))
	// Output:
	// 42 <nil>
}

func ExampleClient_DoWeak() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	err := client.DoWeak(ctx, "thumbnail/7", func(ctx context.Context) error {
		fmt.Println("making the thumbnail")
		busy := other.DoWeak(ctx, "thumbnail/7", func(context.Context) error { return nil }, redislock.WithWait(0))
		fmt.Println("beside it:", errors.Is(busy, redislock.ErrHeld))
		return nil // ctx ends with the lease
	}, redislock.WithLease(time.Minute))
	fmt.Println(err)
	// Output:
	// making the thumbnail
	// beside it: true
	// <nil>
}

func ExampleClient_WrapWeak() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	thumbnail := client.WrapWeak("thumbnail/7", func(context.Context) error {
		fmt.Println("making the thumbnail")
		return nil
	}, redislock.WithLease(time.Minute), redislock.WithWait(0))

	fmt.Println(thumbnail(ctx))
	// Output:
	// making the thumbnail
	// <nil>
}

func ExampleWeakLock_With() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	weak, err := client.AcquireWeak(ctx, "thumbnail/7", redislock.WithLease(100*time.Millisecond))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer weak.Release(ctx)

	ctx = weak.With(ctx) // ends with the lease, which is not renewed
	<-ctx.Done()
	fmt.Println(errors.Is(context.Cause(ctx), redislock.ErrLost))
	// Output:
	// true
}

func ExampleStripes_DoKey() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	files := client.Stripes("files", 1024)
	err := files.DoKey(ctx, "photos/cat.jpg", func(context.Context) error {
		fmt.Println("writing photos/cat.jpg")
		return nil
	})
	fmt.Println(err)
	// Output:
	// writing photos/cat.jpg
	// <nil>
}

func ExampleStripes_TryAcquire() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	lock, err := client.Stripes("shards", 16).TryAcquire(ctx, 3)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(ctx)

	_, err = other.Stripes("shards", 16).TryAcquire(ctx, 3)
	fmt.Println(lock.Name(), errors.Is(err, redislock.ErrHeld))
	// Output:
	// shards#3 true
}

// Two processes take two locks in different orders. The one that waits last gives up, and the other gets on.
func ExampleWithDeadlockCheck() {
	ctx := context.Background()
	client, other, stop := exampleClients(redislock.WithDefaults(redislock.WithDeadlockCheck(100 * time.Millisecond)))
	defer stop()
	began, older := make(chan struct{}), make(chan error)
	go func() {
		older <- client.Do(ctx, "orders", func(ctx context.Context) error {
			<-began
			return client.Do(ctx, "stock", func(context.Context) error { return nil })
		})
	}()

	err := other.Do(ctx, "stock", func(ctx context.Context) error {
		close(began)
		for len(client.Waiting()) == 0 {
			time.Sleep(time.Millisecond)
		}
		return other.Do(ctx, "orders", func(context.Context) error { return nil })
	})
	deadlock, ok := errors.AsType[*redislock.DeadlockError](err)
	fmt.Println("a deadlock:", ok && errors.Is(err, redislock.ErrDeadlock))
	for _, edge := range deadlock.Cycle {
		fmt.Println(edge.Place.Owner.Client, "holds", edge.Lock, "and waits for", edge.For)
	}
	fmt.Println("the other one:", <-older)
	// Unordered output:
	// a deadlock: true
	// api-1 holds orders and waits for stock
	// api-2 holds stock and waits for orders
	// the other one: <nil>
}

// A directory is moved while nobody reads or writes anything in it. Other directories go on.
func ExampleClient_AcquirePath() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()
	move, err := client.AcquirePath(ctx, "home/anna")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer move.Release(ctx)

	_, err = other.AcquirePath(ctx, "home/anna/letters/7", redislock.WithMode(redislock.Read), redislock.WithWait(0))
	fmt.Println("a letter of Anna is read:", err == nil)
	write, err := other.AcquirePath(ctx, "home/ben/letters/1", redislock.WithWait(0))
	fmt.Println("a letter of Ben is written:", err == nil)
	_ = write.Release(ctx)
	// Output:
	// a letter of Anna is read: false
	// a letter of Ben is written: true
}
