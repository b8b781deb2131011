package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
)

func ExampleCronGuard_Run() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	tick := time.Now().Truncate(time.Hour) // the scheduled time, not the time at which a clock fired
	for _, node := range []*redislock.Client{client, other} {
		outcome, err := node.Cron("report").Run(ctx, tick, func(ctx context.Context) error {
			fmt.Println("writing the report")
			return nil // ctx ends if the lock is lost
		})
		fmt.Println(outcome, err)
	}
	// Output:
	// writing the report
	// ran <nil>
	// elsewhere <nil>
}

func ExampleClient_CronStatus() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	tick := time.Now().Truncate(time.Hour)
	_, err := client.Cron("report").Run(ctx, tick, func(context.Context) error {
		return errors.New("no paper")
	})
	fmt.Println(err)

	status, err := other.CronStatus(ctx, "report")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(status.Job, status.Outcome, "on", status.Node.Client+":", status.Err)
	fmt.Println(status.Tick.Equal(tick), status.End.After(status.Start))
	// Output:
	// redislock: cron "report": no paper
	// report failed on api-1: no paper
	// true true
}

func ExampleCronGuard_Announce() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	job := client.Cron("report", redislock.WithSchedule(func(after time.Time) time.Time {
		return after.UTC().Truncate(24 * time.Hour).Add(27 * time.Hour) // at three in the morning of the next day
	}))
	if err := job.Announce(ctx); err != nil {
		fmt.Println(err)
	}
	status, err := other.CronStatus(ctx, "report")
	fmt.Println(status.Outcome, status.Next.After(status.Tick), err)
	// Output: pending true <nil>
}

// A tick that falls due while an earlier one is still running is left out, unless set.
func ExampleWithOverlap() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	tick := time.Now().Add(-time.Minute).Truncate(time.Minute)
	outcome, err := client.Cron("import").Run(ctx, tick, func(context.Context) error {
		// The work takes more than a minute.
		next, err := other.Cron("import").Run(ctx, tick.Add(time.Minute), func(context.Context) error { return nil })
		fmt.Println("the next one:", next, err)
		return err
	})
	fmt.Println("this one:", outcome, err)
	// Output:
	// the next one: skipped <nil>
	// this one: ran <nil>
}

func ExampleWithOverlap_replace() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	tick := time.Now().Truncate(time.Minute)
	begun, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		outcome, err := client.Cron("import").Run(ctx, tick, func(ctx context.Context) error {
			close(begun)
			<-ctx.Done() // hangs
			return ctx.Err()
		})
		fmt.Println("this one:", outcome, errors.Is(err, redislock.ErrStolen))
	}()
	<-begun
	replace := other.Cron("import", redislock.WithOverlap(redislock.OverlapReplace))
	outcome, err := replace.Run(ctx, tick.Add(time.Minute), func(context.Context) error {
		<-ended
		return nil
	})
	fmt.Println("the next one:", outcome, err)
	// Output:
	// this one: failed true
	// the next one: ran <nil>
}

func ExampleWithAtLeast() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	poll := func(context.Context) error { return nil } // is over at once
	tick := time.Now().Truncate(time.Minute)
	fmt.Println(client.Cron("poll", redislock.WithAtLeast(time.Minute)).Run(ctx, tick, poll))
	fmt.Println(other.Cron("poll").Run(ctx, tick.Add(time.Second), poll)) // too soon after the first
	// Output:
	// ran <nil>
	// skipped <nil>
}

// The distance is from the end of a run to the next, however long the run took.
func ExampleWithPause() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	crawl := func(context.Context) error { return nil }
	tick := time.Now().Add(-time.Minute).Truncate(time.Minute)
	pause := redislock.WithPause(10 * time.Minute)
	fmt.Println(client.Cron("crawl", pause).Run(ctx, tick, crawl))
	fmt.Println(other.Cron("crawl", pause).Run(ctx, tick.Add(time.Minute), crawl)) // too soon after the end of the first
	// Output:
	// ran <nil>
	// skipped <nil>
}

// Of the jobs of a group so many run at a time in the whole fleet. The others wait for a place.
func ExampleWithGroup() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	tick := time.Now().Truncate(time.Minute)
	proceed, daily := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(daily)
		_, _ = client.Cron("daily", redislock.WithGroup("reports", 1)).Run(ctx, tick, func(context.Context) error {
			fmt.Println("the daily report")
			proceed <- struct{}{}
			<-proceed
			return nil
		})
	}()
	<-proceed
	leaveOut := redislock.WithGroup("reports", 1, redislock.WithWait(0))
	fmt.Println(other.Cron("hourly", leaveOut).Run(ctx, tick, func(context.Context) error { return nil }))

	close(proceed)
	outcome, err := other.Cron("weekly", redislock.WithGroup("reports", 1)).Run(ctx, tick, func(context.Context) error {
		fmt.Println("the weekly report, after the daily one")
		return nil
	})
	<-daily
	fmt.Println(outcome, err)
	// Output:
	// the daily report
	// skipped <nil>
	// the weekly report, after the daily one
	// ran <nil>
}

func ExampleWithHistory() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	tick := time.Now().Add(-time.Hour).Truncate(time.Hour)
	report := client.Cron("report", redislock.WithHistory(10))
	_, _ = report.Run(ctx, tick, func(context.Context) error { return errors.New("no disk") })
	_, _ = report.Run(ctx, tick.Add(time.Minute), func(context.Context) error { return nil })
	status, err := client.CronStatus(ctx, "report")
	fmt.Println(status.Outcome, err)
	for _, run := range status.Earlier {
		fmt.Println("before:", run.Outcome, run.Err)
	}
	// Output:
	// ran <nil>
	// before: failed no disk
}

func ExampleWithAtMost() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	tick := time.Now().Truncate(time.Minute)
	outcome, err := client.Cron("import", redislock.WithAtMost(50*time.Millisecond)).Run(ctx, tick, func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
	fmt.Println(outcome, errors.Is(err, context.DeadlineExceeded))
	// Output:
	// failed true
}

// A node that is told to stop, or dies, leaves its tick to one that stands by.
func ExampleWithRetry() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	tick := time.Now().Truncate(time.Minute)
	standBy := redislock.WithRetry(time.Minute)

	node, shutDown := context.WithCancel(ctx)
	outcome, err := client.Cron("import", standBy).Run(node, tick, func(ctx context.Context) error {
		shutDown()
		return ctx.Err()
	})
	fmt.Println(outcome, errors.Is(err, context.Canceled))
	fmt.Println(other.Cron("import", standBy).Run(ctx, tick, func(context.Context) error {
		fmt.Println("beginning it anew")
		return nil
	}))
	// Output:
	// failed true
	// beginning it anew
	// ran <nil>
}

func ExampleClient_Elect() {
	client, _, stop := exampleClients()
	defer stop()
	ctx, shutDown := context.WithCancel(context.Background())

	err := client.Elect(ctx, "scheduler", func(ctx context.Context) error {
		fmt.Println("leading")
		shutDown()
		<-ctx.Done() // the leadership is lost, or this process is to end
		return ctx.Err()
	})
	fmt.Println(err) // a campaign that was told to end has none
	// Output:
	// leading
	// <nil>
}

// When the leader loses its lock the next candidate leads, with a greater fence.
func ExampleClient_Elect_failover() {
	client, other, stop := exampleClients()
	defer stop()
	ctx, shutDown := context.WithCancel(context.Background())

	var all sync.WaitGroup
	first := make(chan int64, 1)
	all.Go(func() {
		_ = client.Elect(ctx, "scheduler", func(ctx context.Context) error {
			lock, _ := redislock.FromContext(ctx)
			fmt.Println("api-1 leads")
			first <- lock.Fence()
			<-ctx.Done()
			return ctx.Err()
		})
	})
	fence := <-first
	all.Go(func() {
		_ = other.Elect(ctx, "scheduler", func(ctx context.Context) error {
			lock, _ := redislock.FromContext(ctx)
			fmt.Println("api-2 leads, with a greater fence:", lock.Fence() > fence)
			shutDown()
			return ctx.Err()
		})
	})
	for { // until api-2 is a candidate
		info, err := client.Inspect(ctx, "elect:scheduler")
		if err != nil || info.Waiting == 1 {
			break
		}
	}
	if _, err := other.Break(context.Background(), "elect:scheduler", "api-1 hangs"); err != nil {
		fmt.Println(err)
	}
	all.Wait()
	// Output:
	// api-1 leads
	// api-2 leads, with a greater fence: true
}

func ExampleElection_Leader() {
	client, other, stop := exampleClients()
	defer stop()
	ctx, shutDown := context.WithCancel(context.Background())

	election := other.Election("scheduler") // to ask needs no candidacy
	_ = client.Elect(ctx, "scheduler", func(ctx context.Context) error {
		leader, err := election.Leader(ctx)
		fmt.Println(leader.Owner.Client, "leads:", leader.Elected(), err)
		shutDown()
		return ctx.Err()
	})
	leader, err := election.Leader(context.Background())
	fmt.Println("afterwards:", leader.Elected(), err)
	// Output:
	// api-1 leads: true <nil>
	// afterwards: false <nil>
}

func ExampleElection_Position() {
	client, other, stop := exampleClients()
	defer stop()
	ctx, shutDown := context.WithCancel(context.Background())

	var all sync.WaitGroup
	leads := make(chan struct{})
	lead := func(ctx context.Context) error {
		close(leads)
		<-ctx.Done()
		return ctx.Err()
	}
	all.Go(func() { _ = client.Elect(ctx, "scheduler", lead) })
	<-leads
	election := other.Election("scheduler")
	all.Go(func() { _ = election.Campaign(ctx, lead) })
	for {
		position, standing, err := election.Position(ctx)
		if standing || err != nil {
			fmt.Println(position, "of the candidates: the next to lead", err)
			break
		}
	}
	shutDown()
	all.Wait()
	// Output:
	// 1 of the candidates: the next to lead <nil>
}

func ExampleElection_Watch() {
	client, other, stop := exampleClients()
	defer stop()
	ctx, shutDown := context.WithCancel(context.Background())
	defer shutDown()
	watch, endWatch := context.WithCancel(context.Background())
	defer endWatch()

	var candidate sync.WaitGroup
	leading := make(chan struct{})
	for leader, err := range other.Election("scheduler").Watch(watch) {
		switch {
		case err != nil:
			fmt.Println(err) // Redis cannot be reached; the watch goes on
		case leader.Elected():
			fmt.Println(leader.Owner.Client, "leads")
			<-leading
			shutDown()
		case ctx.Err() == nil:
			fmt.Println("nobody leads")
			candidate.Go(func() {
				_ = client.Elect(ctx, "scheduler", func(ctx context.Context) error {
					close(leading)
					<-ctx.Done()
					return ctx.Err()
				})
			})
		default:
			fmt.Println("nobody leads any more")
			endWatch()
		}
	}
	candidate.Wait()
	// Output:
	// nobody leads
	// api-1 leads
	// nobody leads any more
}

func ExampleClient_Once() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	for _, instance := range []*redislock.Client{client, other} {
		err := instance.Once(ctx, "search-index/7", func(ctx context.Context) error {
			fmt.Println("building the index")
			return nil // ctx ends if the lock is lost
		})
		fmt.Println("ready:", err) // all other callers have waited for the first
	}
	// Output:
	// building the index
	// ready: <nil>
	// ready: <nil>
}

// A failure is returned to the caller whose function failed. The next caller tries.
func ExampleClient_Once_failure() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	err := client.Once(ctx, "search-index/7", func(context.Context) error {
		return errors.New("disk full")
	})
	fmt.Println(err)
	err = other.Once(ctx, "search-index/7", func(context.Context) error {
		fmt.Println("building the index")
		return nil
	})
	fmt.Println(err)
	// Output:
	// redislock: once "search-index/7": disk full
	// building the index
	// <nil>
}

func ExampleClient_OnceReset() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	build := func(context.Context) error {
		fmt.Println("building the index")
		return nil
	}
	fmt.Println(client.Once(ctx, "search-index/7", build))
	fmt.Println(other.OnceDone(ctx, "search-index/7"))

	fmt.Println(other.OnceReset(ctx, "search-index/7")) // the index was deleted: let it be built again
	fmt.Println(other.OnceDone(ctx, "search-index/7"))
	fmt.Println(other.Once(ctx, "search-index/7", build))
	// Output:
	// building the index
	// <nil>
	// true <nil>
	// <nil>
	// false <nil>
	// building the index
	// <nil>
}

// Once per day is a success that is forgotten after a day; once per deploy is a name with the version in it.
func ExampleWithForget() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	for _, instance := range []*redislock.Client{client, other} {
		err := instance.Once(ctx, "load-rates", func(context.Context) error {
			fmt.Println("loading today's rates")
			return nil
		}, redislock.WithForget(24*time.Hour))
		fmt.Println(err)
	}
	// Output:
	// loading today's rates
	// <nil>
	// <nil>
}

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

// An error is shared too, by default for a second, so that a source that is down is not asked by all callers.
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

// An expired value is served while one caller of the fleet fetches the next one.
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

// outOfStock is an error that other processes should get with its fields, not only as a text.
type outOfStock struct{ Item string }

func (e *outOfStock) Error() string { return e.Item + " is out of stock" }

// stockErrors encodes and decodes it for other processes.
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

func ExampleClient_First() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	for _, instance := range []*redislock.Client{client, other} {
		first, err := instance.First(ctx, "mail/42", 24*time.Hour)
		fmt.Println(first, err)
	}
	// Output:
	// true <nil>
	// false <nil>
}

func ExampleClient_FirstOf() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	fmt.Println(client.First(ctx, "mail/2", 24*time.Hour))
	fmt.Println(client.FirstOf(ctx, []string{"mail/1", "mail/2", "mail/3"}, 24*time.Hour))
	// Output:
	// true <nil>
	// [true false true] <nil>
}

func ExampleClient_Forget() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	fmt.Println(client.First(ctx, "mail/42", 24*time.Hour))
	fmt.Println(client.Forget(ctx, "mail/42")) // it could not be sent: let the next one try
	fmt.Println(client.First(ctx, "mail/42", 24*time.Hour))
	// Output:
	// true <nil>
	// <nil>
	// true <nil>
}

func ExampleClient_AcquireWeak() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	weak, err := client.AcquireWeak(ctx, "thumbnail/7", redislock.WithLease(time.Minute))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = other.AcquireWeak(ctx, "thumbnail/7", redislock.WithWait(0))
	fmt.Println(errors.Is(err, redislock.ErrHeld))
	fmt.Println(weak.Release(ctx))
	// Output:
	// true
	// <nil>
}

func ExampleWithFailOpen() {
	ctx := context.Background()
	nowhere := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	defer nowhere.Close()
	client, err := redislock.New(nowhere)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)

	first, err := client.First(ctx, "mail/42", 24*time.Hour, redislock.WithFailOpen())
	fmt.Println(first, err) // rather twice than not at all

	_, err = client.Acquire(ctx, "invoice/42", redislock.WithFailOpen())
	fmt.Println(errors.Is(err, redislock.ErrInvalid)) // never for a strong lock
	// Output:
	// true <nil>
	// true
}
