package fence_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/fence"
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

// exampleLocks are two grants of one lock, the first of which was lost to a pause.
func exampleLocks(rdb *redis.Client) (paused, next *redislock.Lock, stop func()) {
	ctx := context.Background()
	client, err := redislock.New(rdb)
	if err != nil {
		panic(err)
	}
	if paused, err = client.Acquire(ctx, "account/7"); err != nil {
		panic(err)
	}
	if _, err = client.Break(ctx, "account/7", "it does not answer"); err != nil {
		panic(err)
	}
	if next, err = client.Acquire(ctx, "account/7"); err != nil {
		panic(err)
	}
	return paused, next, func() {
		_ = paused.Release(ctx) // an error: the lock is lost
		_ = next.Release(ctx)
		_ = client.Close(ctx)
	}
}

// A resource in this process: the check and the write are one.
func ExampleMemory_Do() {
	ctx := context.Background()
	rdb, stopServer := exampleRedis()
	defer stopServer()
	paused, next, stop := exampleLocks(rdb)
	defer stop()

	var (
		fences  fence.Memory
		balance = 0
	)
	book := func(lock *redislock.Lock, amount int) error {
		return fences.Do(ctx, lock.Name(), lock.Fence(), func() error {
			balance += amount
			return nil
		})
	}
	fmt.Println("next:", book(next, 100))
	err := book(paused, -30)
	fmt.Println("paused:", errors.Is(err, fence.ErrStale))
	fmt.Println("balance:", balance)
	// Output:
	// next: <nil>
	// paused: true
	// balance: 100
}

// A value in Redis: the check and the write are one script.
func ExampleRedis_Set() {
	ctx := context.Background()
	rdb, stopServer := exampleRedis()
	defer stopServer()
	paused, next, stop := exampleLocks(rdb)
	defer stop()

	fences, err := fence.NewRedis(rdb)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("next:", fences.Set(ctx, "account/7", []byte("100"), next.Fence()))
	err = fences.Set(ctx, "account/7", []byte("70"), paused.Fence())
	fmt.Println("paused:", errors.Is(err, fence.ErrStale))

	value, seen, err := fences.Get(ctx, "account/7")
	fmt.Printf("balance: %s, written by the next holder: %v %v\n", value, seen == next.Fence(), err)
	// Output:
	// next: <nil>
	// paused: true
	// balance: 100, written by the next holder: true <nil>
}

func ExampleStaleError() {
	var fences fence.Memory
	fences.Accept(context.Background(), "account/7", 9)
	err := fences.Accept(context.Background(), "account/7", 5)
	if stale, ok := errors.AsType[*fence.StaleError](err); ok {
		fmt.Println(stale.Fence, "is late:", stale.Seen, "has been here")
	}
	fmt.Println(err)
	// Output:
	// 5 is late: 9 has been here
	// redislock: stale fence 5 of "account/7": 9 was seen
}

// A server that refuses late writers, and a client that sends the fence of the lock under which it calls.
func ExampleMiddleware() {
	rdb, stopServer := exampleRedis()
	defer stopServer()
	paused, next, stop := exampleLocks(rdb)
	defer stop()

	var fences fence.Memory
	account := func(r *http.Request) string { return "account/" + r.PathValue("account") } // the name of its lock
	mux := http.NewServeMux()
	mux.Handle("PUT /accounts/{account}", fence.Middleware(&fences, account)(http.HandlerFunc(
		func(http.ResponseWriter, *http.Request) { fmt.Println("writing") })))
	server := httptest.NewServer(mux)
	defer server.Close()

	client := &http.Client{Transport: &fence.Transport{}}
	put := func(ctx context.Context) {
		req, _ := http.NewRequestWithContext(ctx, http.MethodPut, server.URL+"/accounts/7", nil)
		resp, err := client.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer resp.Body.Close()
		fmt.Println(resp.Status, errors.Is(fence.CheckResponse(resp), fence.ErrStale))
	}
	put(next.Context())
	put(context.WithoutCancel(paused.Context())) // the paused holder has not looked at its context
	put(context.Background())                    // without a lock there is no fence
	// Output:
	// writing
	// 200 OK false
	// 409 Conflict true
	// 428 Precondition Required false
}

// The check belongs where the write is. The middleware in front only requires a fence.
func ExampleRequire() {
	var accounts fence.Memory // for data in memory it serves like a transaction
	balance := 0
	server := httptest.NewServer(fence.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, _ := fence.FromContext(r.Context())
		err := accounts.Do(r.Context(), "account/7", f, func() error {
			balance++
			return nil
		})
		if fence.Refuse(w, err) {
			return
		}
		fmt.Fprint(w, "balance: ", balance)
	})))
	defer server.Close()

	client := &http.Client{Transport: &fence.Transport{}}
	for _, f := range []int64{9, 5, 9} {
		ctx := fence.NewContext(context.Background(), f) // or the context of a lock
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, nil)
		resp, err := client.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Println(f, resp.Status)
	}
	fmt.Println("balance:", balance)
	// Output:
	// 9 200 OK
	// 5 409 Conflict
	// 9 200 OK
	// balance: 2
}

// A command under "redislock run" has the fence in its environment.
func ExampleNewContext() {
	ctx := fence.NewContext(context.Background(), 1_795_219_200_000_000) // from REDISLOCK_FENCE, or from a message
	f, ok := fence.FromContext(ctx)
	fmt.Println(f, ok)
	// Output:
	// 1795219200000000 true
}
