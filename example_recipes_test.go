package redislock_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
)

// The code of docs/recipes.md.

// rates serves the rate of the day. However many ask, in however many processes, the bank is asked once a minute.
func rates(client *redislock.Client, askTheBank func(context.Context) (float64, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		rate, err := redislock.Share(r.Context(), client, "rate/EUR", time.Minute, askTheBank,
			redislock.WithStale(time.Hour),        // serve an old rate at once instead of waiting
			redislock.WithErrorTTL(5*time.Second), // while the bank is down, ask it every 5 s
			redislock.WithLease(10*time.Second),   // if the process that asks dies, another asks after 10 s
			redislock.WithWait(2*time.Second))     // how long a request may wait if there is no rate yet
		if err != nil {
			http.Error(w, "no rate at the moment", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, "%.2f", rate)
	}
}

func Example_cacheStampede() {
	client, other, stop := exampleClients()
	defer stop()

	askTheBank := func(context.Context) (float64, error) {
		fmt.Println("asking the bank")
		return 1.08, nil
	}
	var all sync.WaitGroup
	bodies := make([]string, 100)
	for i := range bodies {
		all.Go(func() {
			instance := []*redislock.Client{client, other}[i%2]
			answer := httptest.NewRecorder()
			rates(instance, askTheBank)(answer, httptest.NewRequest("GET", "/rate", nil))
			bodies[i] = answer.Body.String()
		})
	}
	all.Wait()
	fmt.Println(bodies[0], bodies[99])
	// Output:
	// asking the bank
	// 1.08 1.08
}

// dispatch sends what is due, every second, as long as this instance leads. It stands for election until ctx ends.
func dispatch(ctx context.Context, client *redislock.Client, send func(ctx context.Context, fence int64) error) error {
	return client.Elect(ctx, "dispatcher", func(ctx context.Context) error {
		lock, _ := redislock.FromContext(ctx)
		every := time.NewTicker(time.Second)
		defer every.Stop()
		for {
			if err := send(ctx, lock.Fence()); err != nil && ctx.Err() == nil {
				return err // an error ends the campaign too, as this instance cannot do the work
			}
			select {
			case <-every.C:
			case <-ctx.Done(): // ctx has ended, or the lead is lost and another may have it soon
				return ctx.Err()
			}
		}
	}, redislock.WithLease(15*time.Second))
}

func Example_leaderWithFailover() {
	client, other, stop := exampleClients()
	defer stop()

	var all sync.WaitGroup
	first, firstEnds := context.WithCancel(context.Background())
	second, secondEnds := context.WithCancel(context.Background())
	led := make(chan int64, 1)
	all.Go(func() {
		_ = dispatch(first, client, func(_ context.Context, fence int64) error {
			fmt.Println("api-1 leads")
			led <- fence
			return nil
		})
	})
	fence := <-led
	all.Go(func() {
		_ = dispatch(second, other, func(_ context.Context, later int64) error {
			fmt.Println("api-2 leads, with a greater fence:", later > fence)
			secondEnds()
			return nil
		})
	})
	firstEnds() // a rollout: api-1 resigns, api-2 need not wait for a lease to end
	all.Wait()
	// Output:
	// api-1 leads
	// api-2 leads, with a greater fence: true
}

// follow reports who leads the dispatch, now and at each change, until ctx ends.
func follow(ctx context.Context, client *redislock.Client, tell func(who string)) {
	for leader, err := range client.Election("dispatcher").Watch(ctx) {
		switch {
		case err != nil:
			tell("unknown: " + err.Error()) // Redis cannot be reached; the watch goes on
		case leader.Elected():
			tell(leader.Owner.Client)
		default:
			tell("nobody")
		}
	}
}

func Example_followTheLeader() {
	client, other, stop := exampleClients()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	term, resign := context.WithCancel(ctx)
	begun, told := make(chan struct{}, 1), 0
	follow(ctx, other, func(who string) {
		fmt.Println(who)
		switch told++; told {
		case 1:
			go dispatch(term, client, func(context.Context, int64) error {
				begun <- struct{}{}
				return nil
			})
		case 2:
			<-begun
			resign()
		default:
			cancel()
		}
	})
	// Output:
	// nobody
	// api-1
	// nobody
}

// serve is the main loop of an instance in a container: it campaigns until it is told to stop.
func serve(ctx context.Context, rdb redis.UniversalClient, send func(ctx context.Context, fence int64) error) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	client, err := redislock.New(rdb)
	if err != nil {
		return err
	}
	defer func() { // Elect has resigned by then; the rest takes milliseconds, unless Redis is away
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = client.Close(ctx)
	}()
	return dispatch(ctx, client, send) // nil if it was told to stop
}

func Example_deployment() {
	rdb, stopServer := exampleRedis()
	defer stopServer()
	ctx, cancel := context.WithCancel(context.Background())
	fmt.Println(serve(ctx, rdb, func(context.Context, int64) error {
		fmt.Println("sending")
		cancel() // as SIGTERM does
		return nil
	}))
	// Output:
	// sending
	// <nil>
}

// start runs before an instance serves.
func start(ctx context.Context, client *redislock.Client, release string, migrate func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	return client.Once(ctx, "migrations/"+release, migrate, redislock.WithMetadata("migrations of "+release))
}

func Example_migrationsAtStartUp() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	var all sync.WaitGroup
	for _, instance := range []*redislock.Client{client, other} {
		all.Go(func() {
			err := start(ctx, instance, "v42", func(context.Context) error {
				fmt.Println("migrating")
				return nil
			})
			if err != nil {
				fmt.Println(err)
			}
		})
	}
	all.Wait()
	fmt.Println("both serve")
	// Output:
	// migrating
	// both serve
}
