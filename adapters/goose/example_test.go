package gooselock_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing/fstest"

	"github.com/alicebob/miniredis/v2"
	"github.com/pressly/goose/v3"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	gooselock "example.com/redislock/adapters/goose"
)

var migrations = fstest.MapFS{ // in an application: an embed.FS
	"00001_goods.sql":  {Data: []byte("-- +goose Up\nCREATE TABLE goods (name TEXT);")},
	"00002_orders.sql": {Data: []byte("-- +goose Up\nCREATE TABLE orders (number INTEGER);")},
}

// Five instances of a shop start at the same time, and each migrates the database first.
func Example() {
	ctx := context.Background()
	addr, database, stop := exampleServers()
	defer stop()

	var applied atomic.Int64
	start := func() error {
		rdb := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true})
		defer rdb.Close()
		client, err := redislock.New(rdb)
		if err != nil {
			return err
		}
		defer client.Close(ctx)
		db, err := sql.Open("sqlite", database)
		if err != nil {
			return err
		}
		defer db.Close()

		provider, err := goose.NewProvider(goose.DialectSQLite3, db, migrations,
			goose.WithLocker(gooselock.New(client, "migrations/shop")))
		if err != nil {
			return err
		}
		results, err := provider.Up(ctx)
		applied.Add(int64(len(results)))
		return err
	}

	var instances sync.WaitGroup
	for range 5 {
		instances.Go(func() {
			if err := start(); err != nil {
				fmt.Println(err)
			}
		})
	}
	instances.Wait()
	fmt.Println("migrations applied:", applied.Load())
	// Output:
	// migrations applied: 2
}

// A migration whose lock was lost is rolled back before another instance can have the lock.
func ExampleEndOnLoss() {
	ctx := context.Background()
	addr, database, stop := exampleServers()
	defer stop()
	rdb := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true})
	defer rdb.Close()
	client, err := redislock.New(rdb)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)
	db, err := sql.Open("sqlite", database)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()

	fill := goose.NewGoMigration(3, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO goods VALUES ('apple')"); err != nil {
			return err
		}
		// An operator breaks the lock because the migration takes too long.
		if _, err := client.Break(context.WithoutCancel(ctx), "migrations/shop", "it is noon"); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	}}, nil)
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, migrations, goose.WithGoMigrations(fill),
		goose.WithLocker(gooselock.New(client, "migrations/shop")))
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx, cancel := gooselock.EndOnLoss(ctx)
	defer cancel()
	_, err = provider.Up(ctx)
	fmt.Println("lost:", errors.Is(err, redislock.ErrLost))
	fmt.Println(context.Cause(ctx))

	var goods int
	_ = db.QueryRow("SELECT COUNT(*) FROM goods").Scan(&goods)
	fmt.Println("goods:", goods)
	// Output:
	// lost: true
	// lock stolen: lock lost: broken: it is noon
	// goods: 0
}

// exampleServers starts a Redis in memory, and names a database file.
func exampleServers() (addr, database string, stop func()) {
	server, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	dir, err := os.MkdirTemp("", "migrations")
	if err != nil {
		panic(err)
	}
	return server.Addr(), "file:" + filepath.Join(dir, "shop.db") + "?_pragma=busy_timeout(10000)", func() {
		server.Close()
		_ = os.RemoveAll(dir)
	}
}
