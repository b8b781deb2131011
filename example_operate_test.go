package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
)

// exampleRedis starts a server in memory for one example, and connects to it. stop ends both.
func exampleRedis() (rdb *redis.Client, stop func()) {
	server, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	rdb = redis.NewClient(&redis.Options{Addr: server.Addr(), Protocol: 2, DisableIdentity: true})
	return rdb, func() {
		_ = rdb.Close()
		server.Close()
	}
}

// exampleClients makes two Clients on one server, as two instances of an application have them. Both are subscribed
// to their wake channels. stop closes both, and panics if a lock was not released.
func exampleClients(opts ...redislock.ClientOption) (client, other *redislock.Client, stop func()) {
	ctx := context.Background()
	rdb, stopServer := exampleRedis()
	var clients []*redislock.Client
	for _, name := range []string{"api-1", "api-2"} {
		client, err := redislock.New(rdb, append(opts[:len(opts):len(opts)], redislock.WithName(name))...)
		if err != nil {
			panic(err)
		}
		lock, err := client.Acquire(ctx, "warm-up")
		if err != nil {
			panic(err)
		}
		_ = lock.Release(ctx)
		clients = append(clients, client)
	}
	for len(rdb.PubSubChannels(ctx, "*").Val()) < len(clients)+1 { // one of their own, and one for all
		time.Sleep(time.Millisecond)
	}
	return clients[0], clients[1], func() {
		defer stopServer()
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		for _, client := range clients {
			if err := client.Close(ctx); err != nil {
				panic(err)
			}
		}
	}
}

// Which locks are held for too long?
func ExampleClient_List() {
	ctx := context.Background()
	rdb, stop := exampleRedis()
	defer stop()
	client, err := redislock.New(rdb)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)
	lock, err := client.Acquire(ctx, "invoice/42", redislock.WithMetadata("the monthly run"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(ctx)

	for info, err := range client.List(ctx, "invoice/*") {
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, hold := range info.Holds {
			long := info.Now.Sub(hold.Since) > time.Hour
			fmt.Println(info.Name, "is held for", hold.Owner.Metadata, "and too long:", long)
		}
	}
	// Output: invoice/42 is held for the monthly run and too long: false
}

func ExampleClient_Watch() {
	ctx := context.Background()
	rdb, stop := exampleRedis()
	defer stop()
	client, err := redislock.New(rdb)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)
	lock, err := client.Acquire(ctx, "deploy")
	if err != nil {
		fmt.Println(err)
		return
	}

	for info, err := range client.Watch(ctx, "deploy") { // ends with ctx, or when it is left
		if err != nil {
			fmt.Println(err)
			continue // it goes on when Redis is back
		}
		fmt.Println("held by", info.Holders)
		if info.Idle() {
			break
		}
		_ = lock.Release(ctx) // somewhere else, some time later
	}
	// Output:
	// held by 1
	// held by 0
}

// A long job stops at a suitable point because somebody asks for its lock. Nothing is taken from it.
func ExampleClient_Ask() {
	ctx := context.Background()
	rdb, stop := exampleRedis()
	defer stop()
	client, err := redislock.New(rdb)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)
	lock, err := client.Acquire(ctx, "reindex")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(ctx)

	for {
		select {
		case request := <-lock.Asked():
			fmt.Println("stopped:", request.Why)
			return
		case <-lock.Context().Done():
			return
		case <-time.After(10 * time.Millisecond): // a batch of the work
		}
		// An operator asks, from another process. A holder that is not subscribed yet does not get the request, so the
		// operator asks again.
		if told, err := client.Ask(ctx, "reindex", "a release is due"); told != 1 || err != nil {
			fmt.Println(told, err)
		}
	}
	// Output:
	// stopped: a release is due
}

func ExampleWithObserver() {
	ctx := context.Background()
	rdb, stop := exampleRedis()
	defer stop()

	client, err := redislock.New(rdb, redislock.WithObserver(redislock.ObserverFunc(func(e redislock.Event) {
		fmt.Println(e.Kind, e.Name) // e.Wait, e.Held, e.Fence and e.Err say more
	})))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)

	err = client.Do(ctx, "invoice/42", func(context.Context) error { return nil })
	fmt.Println(err)
	// Output:
	// asked invoice/42
	// granted invoice/42
	// released invoice/42
	// <nil>
}

// On a server without replicas the acquire fails, and nothing is left behind.
func ExampleWithReplicas() {
	ctx := context.Background()
	rdb, stopServer := exampleRedis()
	defer stopServer()
	client, err := redislock.New(rdb, redislock.WithDefaults(redislock.WithReplicas(1, 50*time.Millisecond)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)

	err = client.Do(ctx, "invoice/42", func(context.Context) error {
		fmt.Println("this does not run")
		return nil
	})
	fmt.Println(errors.Is(err, redislock.ErrNotReplicated))
	fmt.Println(err)
	// Output:
	// true
	// redislock: acquire "invoice/42": not replicated: 0 of 1 have it after 50ms
}

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

// Work under locks is finished, and no new lock is taken.
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

// A service refuses a request at once if too many wait already.
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
