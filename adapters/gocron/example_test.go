package gocronlock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/go-co-op/gocron/v2"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	gocronlock "example.com/redislock/adapters/gocron"
)

// Three instances schedule the same job, twice a day and when they start. In each half of a day one of them runs it,
// however much their clocks differ.
func ExampleWithTick() {
	clients, stop := exampleClients("api-1", "api-2", "api-3")
	defer stop()

	var told sync.WaitGroup
	told.Add(len(clients))
	var elsewhere atomic.Int64
	for _, client := range clients {
		locker := gocronlock.NewLocker(client, gocronlock.WithTick(gocronlock.Every(12*time.Hour)))
		scheduler, err := gocron.NewScheduler(gocron.WithDistributedLocker(locker))
		if err != nil {
			fmt.Println(err)
			return
		}
		defer scheduler.Shutdown()
		_, err = scheduler.NewJob(
			gocron.DurationJob(12*time.Hour),
			gocron.NewTask(locker.Task(func(ctx context.Context) error { // ctx ends if the lock is lost
				defer told.Done()
				fmt.Println("reporting")
				return nil
			})),
			gocron.WithName("report"),
			gocron.WithStartAt(gocron.WithStartImmediately()),
			gocron.WithEventListeners(gocron.AfterLockError(func(_ uuid.UUID, _ string, err error) {
				defer told.Done()
				if errors.Is(err, redislock.ErrHeld) { // any other error is a fault
					elsewhere.Add(1)
				}
			})),
		)
		if err != nil {
			fmt.Println(err)
			return
		}
		if err := locker.Announce(context.Background(), "report"); err != nil { // so that it is listed before its first run
			fmt.Println(err)
		}
		scheduler.Start()
	}
	told.Wait()
	fmt.Println("left to another:", elsewhere.Load())
	// Output:
	// reporting
	// left to another: 2
}

// The ticks of a job that runs at certain times are those of its crontab.
func ExampleCrontab() {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		fmt.Println(err)
		return
	}
	tick, err := gocronlock.Crontab("30 3 * * *", false, berlin) // as for gocron.CronJob and gocron.WithLocation
	if err != nil {
		fmt.Println(err)
		return
	}
	slow := time.Date(2026, 11, 21, 2, 30, 0, 20_000, time.UTC)
	fast := slow.Add(4 * time.Second)
	fmt.Println(tick("report", slow).Equal(tick("report", fast)), tick("report", fast).UTC())
	// Output:
	// true 2026-11-21 02:30:00 +0000 UTC
}

// Without ticks a job keeps its lock for five seconds, or as long as it is told to.
func ExampleNewLocker() {
	clients, stop := exampleClients("api-1", "api-2")
	defer stop()
	ctx := context.Background()
	for _, client := range clients {
		locker := gocronlock.NewLocker(client, gocronlock.WithAtLeast(10*time.Second))
		lock, err := locker.Lock(ctx, "report") // as gocron does when the job fires
		if err != nil {
			fmt.Println("elsewhere")
			continue
		}
		fmt.Println("reporting")
		_ = lock.Unlock(ctx)
	}
	// Output:
	// reporting
	// elsewhere
}

// Of two instances one runs all jobs. When it goes, the other does.
func ExampleNewElector() {
	clients, stop := exampleClients("api-1", "api-2")
	defer stop()
	ctx := context.Background()

	ran := make(chan string)
	start := func(client *redislock.Client, name string) (*gocronlock.Elector, gocron.Scheduler) {
		elector := gocronlock.NewElector(client, "scheduler")
		scheduler, err := gocron.NewScheduler(gocron.WithDistributedElector(elector))
		if err != nil {
			panic(err)
		}
		_, err = scheduler.NewJob(
			gocron.DurationJob(50*time.Millisecond),
			gocron.NewTask(elector.Task(func(ctx context.Context) error { // ctx ends when another may lead
				select {
				case ran <- name:
				case <-ctx.Done():
				}
				return nil
			})),
		)
		if err != nil {
			panic(err)
		}
		scheduler.Start()
		return elector, scheduler
	}

	first, firstScheduler := start(clients[0], "api-1")
	fmt.Println("run by", <-ran)
	second, secondScheduler := start(clients[1], "api-2")
	fmt.Println("run by", <-ran)

	_ = firstScheduler.Shutdown() // first
	_ = first.Close(ctx)
	fmt.Println("run by", <-ran)

	_ = secondScheduler.Shutdown()
	_ = second.Close(ctx)
	// Output:
	// run by api-1
	// run by api-1
	// run by api-2
}

// exampleClients makes Clients on a server in memory, as several instances have them.
func exampleClients(names ...string) (clients []*redislock.Client, stop func()) {
	server, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), DisableIdentity: true})
	for _, name := range names {
		client, err := redislock.New(rdb, redislock.WithName(name))
		if err != nil {
			panic(err)
		}
		clients = append(clients, client)
	}
	return clients, func() {
		for _, client := range clients {
			_ = client.Close(context.Background())
		}
		_ = rdb.Close()
		server.Close()
	}
}
