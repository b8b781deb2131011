package riverlock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"example.com/redislock"
	riverlock "example.com/redislock/adapters/river"
)

type syncAccount struct {
	Account int `json:"account"`
}

func (syncAccount) Kind() string { return "sync_account" }

// syncWorker brings an account up to date with a partner, who wants no two calls about one account at a time.
type syncWorker struct {
	river.WorkerDefaults[syncAccount]
	locks *redislock.Client
}

func (w *syncWorker) Middleware(*rivertype.JobRow) []rivertype.WorkerMiddleware {
	return []rivertype.WorkerMiddleware{riverlock.Unique(w.locks, riverlock.By(func(args syncAccount) string {
		return fmt.Sprintf("account/%d", args.Account)
	}))}
}

func (w *syncWorker) Work(ctx context.Context, job *river.Job[syncAccount]) error {
	lock, _ := redislock.FromContext(ctx)
	fmt.Println("account", job.Args.Account, "under", lock.Name(), "with a fence:", lock.Fence() > 0)
	return nil // ctx ends if the lock is lost
}

// exampleClients makes two Clients on a server in memory. stop ends all.
func exampleClients() (client, other *redislock.Client, stop func()) {
	server, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), Protocol: 2, DisableIdentity: true})
	if client, err = redislock.New(rdb, redislock.WithName("api-1")); err != nil {
		panic(err)
	}
	if other, err = redislock.New(rdb, redislock.WithName("api-2")); err != nil {
		panic(err)
	}
	return client, other, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(client.Close(ctx), other.Close(ctx), rdb.Close()); err != nil {
			panic(err)
		}
		server.Close()
	}
}

// The main parts of a program. It needs PostgreSQL, so it is not run here.
func Example() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://localhost/app")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	locks, err := redislock.New(redis.NewClient(&redis.Options{Addr: "localhost:6379"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer locks.Close(ctx)

	workers := river.NewWorkers()
	river.AddWorker(workers, &syncWorker{locks: locks})
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 10}},
		Workers: workers,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := client.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer client.Stop(ctx) // before the Client of the locks is closed

	if _, err := client.Insert(ctx, syncAccount{7}, nil); err != nil {
		fmt.Println(err)
	}
}

func ExampleUnique() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	worker := &syncWorker{locks: client}
	job := &rivertype.JobRow{ID: 1, Kind: "sync_account", EncodedArgs: []byte(`{"account": 7}`)}
	work := func() error { // what River does with a job
		return worker.Middleware(job)[0].Work(ctx, job, func(ctx context.Context) error {
			return worker.Work(ctx, &river.Job[syncAccount]{JobRow: job, Args: syncAccount{7}})
		})
	}
	fmt.Println(work())

	lock, err := other.Acquire(ctx, "account/7") // another instance works on it
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(ctx)
	err = work()
	_, snoozed := errors.AsType[*river.JobSnoozeError](err)
	fmt.Println("busy:", errors.Is(err, riverlock.ErrBusy), "snoozed:", snoozed)
	// Output:
	// account 7 under account/7 with a fence: true
	// <nil>
	// busy: true snoozed: true
}

func ExampleOnce() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	once := riverlock.Once(client, 24*time.Hour, nil)
	job := &rivertype.JobRow{ID: 1, Kind: "send_invoice", CreatedAt: time.Now()}
	for range 3 { // River does this when a job is delivered
		fmt.Println(once.Work(ctx, job, func(context.Context) error {
			fmt.Println("sending the invoice")
			return nil
		}))
	}
	// Output:
	// sending the invoice
	// <nil>
	// <nil>
	// <nil>
}
