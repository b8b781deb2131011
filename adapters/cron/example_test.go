package cronlock_test

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/robfig/cron/v3"

	"example.com/redislock"
	cronlock "example.com/redislock/adapters/cron"
)

// Three nodes schedule the same job. Each tick is run by one of them.
func ExampleAddFunc() {
	clients, stop := exampleClients(3)
	defer stop()
	ctx := context.Background()

	told := make(chan cronlock.Run, 100)
	for _, client := range clients {
		c := cron.New(cron.WithSeconds(), cron.WithLocation(time.UTC))
		_, err := cronlock.AddFunc(c, "* * * * * *", client, "report", func(ctx context.Context) error {
			return writeReport(ctx) // ctx ends if the lock is lost
		}, cronlock.WithContext(ctx), cronlock.WithHandler(func(r cronlock.Run) { told <- r }))
		if err != nil {
			fmt.Println(err)
			return
		}
		c.Start()
		defer func() { <-c.Stop().Done() }()
	}

	ticks := map[time.Time][]redislock.Outcome{}
	for r := range told {
		ticks[r.Tick] = append(ticks[r.Tick], r.Outcome)
		if outcomes := ticks[r.Tick]; len(outcomes) == len(clients) { // all three came to it
			counts := map[redislock.Outcome]int{}
			for _, outcome := range outcomes {
				counts[outcome]++
			}
			fmt.Println("ran on", counts[redislock.OutcomeRan], "node, elsewhere for", counts[redislock.OutcomeElsewhere])
			return
		}
	}
	// Output:
	// ran on 1 node, elsewhere for 2
}

// A JobWrapper, for a job that exists already.
func ExampleGuard_Wrapper() {
	clients, stop := exampleClients(2)
	defer stop()

	schedule, err := cron.ParseStandard("@every 12h")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, client := range clients {
		guard := cronlock.New(client, "clean-up", schedule, cronlock.WithHandler(func(r cronlock.Run) { fmt.Println(r.Outcome) }))
		c := cron.New(cron.WithChain(guard.Wrapper(), cron.Recover(cron.DefaultLogger)))
		id := c.Schedule(schedule, cleanUp{})
		c.Entry(id).WrappedJob.Run() // as c does at each tick
	}
	// Output:
	// cleaning up
	// ran
	// elsewhere
}

func ExampleTick() {
	schedule, err := cron.ParseStandard("CRON_TZ=Europe/Berlin 30 3 * * 1")
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	fmt.Println(cronlock.Tick(schedule, now)) // last Monday, at half past three in Berlin
	// Output:
	// 2026-11-16 02:30:00 +0000 UTC
}

func writeReport(context.Context) error { return nil }

type cleanUp struct{}

func (cleanUp) Run() { fmt.Println("cleaning up") }

// exampleClients makes Clients on a server in memory, as several nodes have them.
func exampleClients(n int) (clients []*redislock.Client, stop func()) {
	server, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), DisableIdentity: true})
	for range n {
		client, err := redislock.New(rdb)
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
