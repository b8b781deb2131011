package sloglock_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	sloglock "example.com/redislock/adapters/slog"
)

// exampleRedis is a connection to a server in memory. stop ends both.
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

func Example() {
	ctx := context.Background()
	rdb, stop := exampleRedis()
	defer stop()

	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level: slog.LevelInfo,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case slog.TimeKey, "fence", "held": // these differ from run to run
				return slog.Attr{}
			}
			return a
		},
	}))
	observer, err := sloglock.New(logger, sloglock.WithLevel(redislock.EventReleased, slog.LevelInfo))
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := redislock.New(rdb, redislock.WithObserver(observer))
	if err != nil {
		fmt.Println(err)
		return
	}

	err = client.Do(ctx, "invoice/42", func(context.Context) error { return nil })
	fmt.Println(err)

	lock, err := client.Acquire(ctx, "invoice/43")
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := client.Break(ctx, "invoice/43", "it hangs"); err != nil {
		fmt.Println(err)
	}
	<-lock.Context().Done()
	client.Close(ctx) // waits until all is logged
	// Output:
	// level=INFO msg="lock released" lock=invoice/42
	// <nil>
	// level=WARN msg="lock stolen" lock=invoice/43 reason=stolen error="lock stolen: lock lost: broken: it hangs"
}
