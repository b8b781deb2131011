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

func ExampleShare() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	for _, instance := range []*redislock.Client{client, other} {
		rate, err := redislock.Share(ctx, instance, "rate/EUR", time.Minute, func(context.Context) (float64, error) {
			fmt.Println("asking the bank")
			return 1.08, nil
		})
		fmt.Println(rate, err)
	}
	// Output:
	// asking the bank
	// 1.08 <nil>
	// 1.08 <nil>
}

// An error is shared too, for a second unless set: a source that is down is not asked by all at once.
func ExampleSharedError() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	errDown := errors.New("the bank is down")
	for _, instance := range []*redislock.Client{client, other} {
		_, err := redislock.Share(ctx, instance, "rate/EUR", time.Minute, func(context.Context) (float64, error) {
			return 0, errDown
		}, redislock.WithErrorTTL(10*time.Second))
		if shared, ok := errors.AsType[*redislock.SharedError](err); ok {
			fmt.Println("told by", shared.Owner.Client+":", shared.Text)
		} else {
			fmt.Println("asked:", errors.Is(err, errDown))
		}
	}
	// Output:
	// asked: true
	// told by api-1: the bank is down
}

// A value that is over is served while one caller of the fleet fetches the next one.
func ExampleWithStale() {
	ctx := context.Background()
	client, pass, stop := exampleTime()
	defer stop()

	version := 0
	page := func() string {
		text, err := redislock.Share(ctx, client, "page/home", time.Minute, func(context.Context) (string, error) {
			version++
			return fmt.Sprint("version ", version), nil
		}, redislock.WithStale(time.Hour))
		if err != nil {
			fmt.Println(err)
		}
		return text
	}

	fmt.Println(page())
	pass(2 * time.Minute)
	text := page()
	fmt.Println(text, "while it is refreshed")
	for text == "version 1" { // until the refresh is through
		text = page()
	}
	fmt.Println(text)
	// Output:
	// version 1
	// version 1 while it is refreshed
	// version 2
}

func ExampleClient_ShareReset() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	cents := 100
	price := func(c *redislock.Client) (int, error) {
		return redislock.Share(ctx, c, "price/7", time.Hour, func(context.Context) (int, error) { return cents, nil })
	}
	fmt.Println(price(client))
	cents = 90
	fmt.Println(price(other))
	if err := client.ShareReset(ctx, "price/7"); err != nil {
		fmt.Println(err)
	}
	fmt.Println(price(other))
	// Output:
	// 100 <nil>
	// 100 <nil>
	// 90 <nil>
}

// exampleTime makes a Client on a server in memory, whose keys grow older by pass.
func exampleTime() (client *redislock.Client, pass func(time.Duration), stop func()) {
	server, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), Protocol: 2, DisableIdentity: true})
	client, err = redislock.New(rdb)
	if err != nil {
		panic(err)
	}
	return client, server.FastForward, func() {
		_ = client.Close(context.Background())
		_ = rdb.Close()
		server.Close()
	}
}

// outOfStock is an error of which other processes are to know more than the text.
type outOfStock struct{ Item string }

func (e *outOfStock) Error() string { return e.Item + " is out of stock" }

// stockErrors carries it from one process to another.
type stockErrors struct{}

func (stockErrors) MarshalError(err error) []byte {
	if e, ok := errors.AsType[*outOfStock](err); ok {
		return []byte(e.Item)
	}
	return nil
}

func (stockErrors) UnmarshalError(data []byte) error { return &outOfStock{Item: string(data)} }

func ExampleWithErrorCodec() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	for _, instance := range []*redislock.Client{client, other} {
		_, err := redislock.Share(ctx, instance, "stock/7", time.Minute, func(context.Context) (int, error) {
			return 0, &outOfStock{Item: "bicycle"}
		}, redislock.WithErrorCodec(stockErrors{}))
		if e, ok := errors.AsType[*outOfStock](err); ok {
			fmt.Println("no more:", e.Item)
		}
	}
	// Output:
	// no more: bicycle
	// no more: bicycle
}

// A refresh whose source does not answer ends after this time; the old value is served meanwhile.
func ExampleWithRefreshTimeout() {
	ctx := context.Background()
	client, pass, stop := exampleTime()
	defer stop()

	ended := make(chan error)
	page := func(ctx context.Context) (string, error) {
		<-ctx.Done() // a source that does not answer
		ended <- ctx.Err()
		return "", ctx.Err()
	}
	first := func(context.Context) (string, error) { return "version 1", nil }
	for _, fetch := range []func(context.Context) (string, error){first, page} {
		text, err := redislock.Share(ctx, client, "page/home", time.Minute, fetch,
			redislock.WithStale(time.Hour), redislock.WithRefreshTimeout(50*time.Millisecond))
		fmt.Println(text, err)
		pass(2 * time.Minute)
	}
	fmt.Println("the refresh:", <-ended)
	// Output:
	// version 1 <nil>
	// version 1 <nil>
	// the refresh: context deadline exceeded
}
