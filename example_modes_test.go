package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"example.com/redislock"
)

func ExampleWithMode() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	reader, err := client.Acquire(ctx, "price-list", redislock.WithMode(redislock.Read))
	if err != nil {
		fmt.Println(err)
		return
	}
	second, err := other.TryAcquire(ctx, "price-list", redislock.WithMode(redislock.Read))
	fmt.Println("another reader:", err)
	_, err = other.TryAcquire(ctx, "price-list", redislock.WithMode(redislock.Write))
	fmt.Println("a writer:", errors.Is(err, redislock.ErrHeld))

	_ = second.Release(ctx)
	_ = reader.Release(ctx)
	// Output:
	// another reader: <nil>
	// a writer: true
}

func ExampleSemaphore() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	api := redislock.WithMode(redislock.Semaphore(10)) // at most ten calls at a time, wherever they come from
	call, err := client.Acquire(ctx, "partner-api", api)
	if err != nil {
		fmt.Println(err)
		return
	}
	batch, err := other.Acquire(ctx, "partner-api", api, redislock.WithWeight(9))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.TryAcquire(ctx, "partner-api", api)
	fmt.Println("all ten in use:", errors.Is(err, redislock.ErrHeld))
	_, err = client.Acquire(ctx, "partner-api", api, redislock.WithWeight(11))
	fmt.Println(err)

	_ = batch.Release(ctx)
	_ = call.Release(ctx)
	// Output:
	// all ten in use: true
	// redislock: acquire "partner-api": invalid: WithWeight(11): more than the mode semaphore(10) can ever have, 10
}

// The size of a semaphore is changed while the program runs. The callers give the largest size that it may ever have.
func ExampleClient_SetLimit() {
	ctx := context.Background()
	client, operator, stop := exampleClients()
	defer stop()

	api := redislock.WithMode(redislock.Semaphore(100))
	if err := operator.SetLimit(ctx, "partner-api", 24*time.Hour, redislock.AtMost(1, "semaphore")); err != nil {
		fmt.Println(err)
		return
	}
	call, err := client.Acquire(ctx, "partner-api", api)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer call.Release(ctx)
	_, err = client.TryAcquire(ctx, "partner-api", api)
	fmt.Println("one at a time:", errors.Is(err, redislock.ErrHeld))

	if err := operator.SetLimit(ctx, "partner-api", 24*time.Hour, redislock.AtMost(2, "semaphore")); err != nil {
		fmt.Println(err)
		return
	}
	limit, err := client.Limit(ctx, "partner-api")
	fmt.Println(limit.Rules, err)
	second, err := client.TryAcquire(ctx, "partner-api", api)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer second.Release(ctx)
	fmt.Println("two at a time")
	// Output:
	// one at a time: true
	// [AtMost(2, "semaphore")] <nil>
	// two at a time
}

// The intent locks of databases: a worker on rows of a table holds the table in an intent mode, so that a caller that
// wants the whole table need not look at each row.
func ExampleNewMode() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	beside := redislock.CompatibleWith
	modes := []redislock.Mode{
		redislock.NewMode("IS", beside("IS", "IX", "S", "SIX")), // will read some rows
		redislock.NewMode("IX", beside("IS", "IX")),             // will write some rows
		redislock.NewMode("S", beside("IS", "S")),               // reads the table
		redislock.NewMode("SIX", beside("IS")),                  // reads the table, will write some rows
		redislock.NewMode("X"),                                  // writes the table
	}
	for _, held := range modes {
		lock, err := client.Acquire(ctx, "orders", redislock.WithMode(held))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%-3s", held)
		for _, asked := range modes {
			second, err := other.TryAcquire(ctx, "orders", redislock.WithMode(asked))
			if err == nil {
				fmt.Printf(" %s", asked)
				_ = second.Release(ctx)
			}
		}
		fmt.Println()
		_ = lock.Release(ctx)
	}
	// Output:
	// IS  IS IX S SIX
	// IX  IS IX
	// S   IS S
	// SIX IS
	// X
}

func ExampleAtMost() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	// Two builds at a time, and no build beside a release.
	build := redislock.WithMode(redislock.NewMode("build", redislock.AtMost(1, "build")))
	release := redislock.WithMode(redislock.NewMode("release"))

	first, err := client.Acquire(ctx, "main-branch", build)
	if err != nil {
		fmt.Println(err)
		return
	}
	second, err := other.TryAcquire(ctx, "main-branch", build)
	fmt.Println("a second build:", err)
	_, err = other.TryAcquire(ctx, "main-branch", build)
	fmt.Println("a third:", errors.Is(err, redislock.ErrHeld))
	_, err = other.TryAcquire(ctx, "main-branch", release)
	fmt.Println("a release:", errors.Is(err, redislock.ErrHeld))

	_ = second.Release(ctx)
	_ = first.Release(ctx)
	// Output:
	// a second build: <nil>
	// a third: true
	// a release: true
}

// At most three builds run at a time, of any size. A limit of several modes together must be a rule of each of them.
func ExampleAtMost_sum() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	others := redislock.AtMost(2, "small", "large")
	small := redislock.WithMode(redislock.NewMode("small", others))
	large := redislock.WithMode(redislock.NewMode("large", others, redislock.AtMost(0, "large"))) // and one large one at the most

	for _, build := range []redislock.Option{small, large, small} {
		lock, err := client.Acquire(ctx, "builders", build)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer lock.Release(ctx)
	}
	_, err := other.TryAcquire(ctx, "builders", small)
	fmt.Println("a fourth:", errors.Is(err, redislock.ErrHeld))
	// Output:
	// a fourth: true
}

// A backup begins when no request is served. Requests do not wait for a backup.
func ExampleAtGrant() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	request := redislock.WithMode(redislock.NewMode("request", redislock.CompatibleWith("request", "backup")))
	backup := redislock.WithMode(redislock.NewMode("backup", redislock.AtGrant(redislock.AtMost(0, "request"))))

	first, err := client.Acquire(ctx, "database", request)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = other.TryAcquire(ctx, "database", backup)
	fmt.Println("the backup waits:", errors.Is(err, redislock.ErrHeld))
	_ = first.Release(ctx)

	running, err := other.TryAcquire(ctx, "database", backup)
	fmt.Println("now it runs:", err)
	second, err := client.TryAcquire(ctx, "database", request)
	fmt.Println("and a request beside it:", err)

	_ = second.Release(ctx)
	_ = running.Release(ctx)
	// Output:
	// the backup waits: true
	// now it runs: <nil>
	// and a request beside it: <nil>
}

// A report may run beside readers that allow it. Readers without such a rule exclude it, and a writer is alone, as always.
func ExampleMode_Beside() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	report := redislock.WithMode(redislock.NewMode("report", redislock.CompatibleWith("read")))
	patient := redislock.WithMode(redislock.Read.Beside(redislock.CompatibleWith("report")))

	reader, err := client.Acquire(ctx, "price-list", patient)
	if err != nil {
		fmt.Println(err)
		return
	}
	running, err := other.TryAcquire(ctx, "price-list", report)
	fmt.Println("a report beside it:", err)
	_, err = other.TryAcquire(ctx, "price-list", redislock.WithMode(redislock.Read))
	fmt.Println("a plain reader waits for the report:", errors.Is(err, redislock.ErrHeld))
	_ = running.Release(ctx)

	second, err := other.TryAcquire(ctx, "price-list", redislock.WithMode(redislock.Read))
	fmt.Println("and stands beside the reader:", err)

	_ = second.Release(ctx)
	_ = reader.Release(ctx)
	// Output:
	// a report beside it: <nil>
	// a plain reader waits for the report: true
	// and stands beside the reader: <nil>
}

func ExampleLock_Upgrade() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	lock, err := client.Acquire(ctx, "price-list", redislock.WithMode(redislock.Read))
	if err != nil {
		fmt.Println(err)
		return
	}
	// The list turned out to be old: write it, unless another reader is about to do the same.
	if err := lock.Upgrade(ctx); err != nil {
		fmt.Println(err) // ErrConflict: release, and begin again
		return
	}
	_, err = other.TryAcquire(ctx, "price-list", redislock.WithMode(redislock.Read))
	fmt.Println("readers wait:", errors.Is(err, redislock.ErrHeld))

	// From now on others may read it too. Nobody wrote in between.
	if err := lock.Downgrade(ctx); err != nil {
		fmt.Println(err)
		return
	}
	reader, err := other.TryAcquire(ctx, "price-list", redislock.WithMode(redislock.Read))
	fmt.Println("another reader:", err)

	_ = reader.Release(ctx)
	_ = lock.Release(ctx)
	// Output:
	// readers wait: true
	// another reader: <nil>
}

func ExampleClient_AcquireAll() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	locks, err := client.AcquireAll(ctx, []string{"account/9", "account/7"}) // in any order
	if err != nil {
		fmt.Println(err)
		return
	}
	defer locks.Release(ctx)

	fmt.Println("holding", locks.Names())
	fmt.Println("fenced:", locks.Fence("account/7") > 0, locks.Fence("account/9") > 0)

	_, err = other.AcquireAll(ctx, []string{"account/8", "account/9"}, redislock.WithWait(0))
	fmt.Println("all or none:", errors.Is(err, redislock.ErrHeld))
	lock, err := other.TryAcquire(ctx, "account/8")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(ctx)
	fmt.Println("account 8 was given back")
	// Output:
	// holding [account/7 account/9]
	// fenced: true true
	// all or none: true
	// account 8 was given back
}

func ExampleClient_DoAll() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	err := client.DoAll(ctx, []string{"account/7", "account/9"}, func(ctx context.Context) error {
		fmt.Println("moving money, and nobody else touches either account")
		return nil // ctx ends if any of the locks is lost
	})
	fmt.Println(err)
	// Output:
	// moving money, and nobody else touches either account
	// <nil>
}

func ExampleLocks_Context() {
	ctx := context.Background()
	client, operator, stop := exampleClients()
	defer stop()

	locks, err := client.AcquireAll(ctx, []string{"account/7", "account/9"})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := operator.Break(ctx, "account/9", "frozen by the bank"); err != nil {
		fmt.Println(err)
	}

	<-locks.Context().Done() // when any of them is lost
	fmt.Println(context.Cause(locks.Context()))
	fmt.Println("too late:", errors.Is(locks.Release(ctx), redislock.ErrNotHeld)) // gives account 7 back
	// Output:
	// "account/9": lock stolen: lock lost: broken: frozen by the bank
	// too late: true
}

// purse is an account of which one method runs at a time, whichever instance of the application calls it.
type purse struct {
	redislock.Lockable
	owner string
	coins int // in an application: what is in its database
}

func newPurse(client *redislock.Client, owner string, coins int) (*purse, error) {
	p := &purse{owner: owner, coins: coins}
	return p, p.Init(client, "purse/"+owner)
}

func (p *purse) deposit(ctx context.Context, coins int) error {
	return p.Locked(ctx, func(context.Context) error {
		p.coins += coins
		return nil
	})
}

func (p *purse) withdraw(ctx context.Context, coins int) error {
	return p.Locked(ctx, func(context.Context) error {
		if p.coins < coins {
			return fmt.Errorf("%s has %d coins, not %d", p.owner, p.coins, coins)
		}
		p.coins -= coins
		return nil
	})
}

// transfer calls the other two, which re-enter the locks that it has. It takes them in the order of the names: two
// opposite transfers that each had one would wait for each other.
func (p *purse) transfer(ctx context.Context, to *purse, coins int) error {
	first, second := p, to
	if second.owner < first.owner {
		first, second = second, first
	}
	return first.Locked(ctx, func(ctx context.Context) error {
		return second.Locked(ctx, func(ctx context.Context) error {
			if err := p.withdraw(ctx, coins); err != nil {
				return err
			}
			return to.deposit(ctx, coins)
		})
	})
}

func ExampleLockable() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	ada, err := newPurse(client, "ada", 50)
	if err != nil {
		fmt.Println(err)
		return
	}
	bob, err := newPurse(client, "bob", 50)
	if err != nil {
		fmt.Println(err)
		return
	}

	var all sync.WaitGroup
	for range 5 {
		all.Go(func() { _ = ada.transfer(ctx, bob, 3) })
		all.Go(func() { _ = bob.transfer(ctx, ada, 2) })
	}
	all.Wait()
	fmt.Println("ada", ada.coins, "bob", bob.coins)
	fmt.Println(ada.transfer(ctx, bob, 100))
	// Output:
	// ada 45 bob 55
	// ada has 45 coins, not 100
}

// For a section that is not a function: the context carries the hold.
func ExampleLockable_Acquire() {
	client, _, stop := exampleClients()
	defer stop()
	request := context.Background()

	ada, err := newPurse(client, "ada", 50)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, err := ada.Acquire(request, redislock.WithWait(time.Second))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(ada.deposit(ctx, 5)) // under ctx it re-enters

	_, err = ada.Acquire(request, redislock.WithWait(0)) // under another context somebody else has it
	fmt.Println(errors.Is(err, redislock.ErrHeld))

	fmt.Println(ada.Release(ctx))
	fmt.Println(errors.Is(ada.Release(ctx), redislock.ErrNotHeld)) // once too often
	// Output:
	// <nil>
	// true
	// <nil>
	// true
}

// gate is code from elsewhere, which takes any sync.Locker.
type gate struct {
	mu     sync.Locker
	passed *int
}

func (g gate) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	*g.passed++
}

func ExampleClient_Locker() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	var passed int // in an application: what its instances share
	var all sync.WaitGroup
	for _, instance := range []*redislock.Client{client, other} {
		g := gate{instance.Locker(ctx, "gate"), &passed}
		for range 5 {
			all.Go(g.pass)
		}
	}
	all.Wait()
	fmt.Println(passed)
	// Output:
	// 10
}

// Lock of a sync.Locker returns no error, so it panics with the error of the acquire.
func ExampleClient_Locker_panic() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	lock, err := other.Acquire(ctx, "gate")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(ctx)

	defer func() {
		err, _ := recover().(error)
		fmt.Println(errors.Is(err, redislock.ErrHeld))
	}()
	client.Locker(ctx, "gate", redislock.WithWait(50*time.Millisecond)).Lock()
	// Output:
	// true
}

func ExampleClient_Stripes() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	files := client.Stripes("files", 1024) // 1,024 locks, however many files there are
	lock, err := files.AcquireKey(ctx, "photos/cat.jpg")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(ctx)

	fmt.Println("holding", lock.Name())
	_, err = other.Stripes("files", 1024).AcquireKey(ctx, "photos/cat.jpg", redislock.WithWait(0))
	fmt.Println(errors.Is(err, redislock.ErrHeld))
	// Output:
	// holding files#119
	// true
}

// Two keys may share a stripe. AcquireAll takes a shared one once.
func ExampleStripes_Name() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	files := client.Stripes("files", 4)
	var names []string
	for _, file := range []string{"photos/cat.jpg", "photos/dog.jpg", "photos/fox.jpg"} {
		names = append(names, files.Name(files.Index(file)))
	}
	fmt.Println(names)

	locks, err := client.AcquireAll(ctx, names)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer locks.Release(ctx)
	fmt.Println(locks.Names())
	// Output:
	// [files#3 files#1 files#3]
	// [files#1 files#3]
}

// Work that has numbers of its own needs no hash: any number will do.
func ExampleStripes_Acquire() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	shards := client.Stripes("shards", 16)
	lock, err := shards.Acquire(ctx, 35)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(ctx)
	fmt.Println("holding", lock.Name())
	// Output:
	// holding shards#3
}

func ExampleWithStealAfter() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	stuck, err := client.Acquire(ctx, "report")
	if err != nil {
		fmt.Println(err)
		return
	}
	lock, err := other.Acquire(ctx, "report", redislock.WithStealAfter(100*time.Millisecond))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(ctx)

	fmt.Println(context.Cause(stuck.Context()))
	fmt.Println("is a loss, too:", errors.Is(stuck.Err(), redislock.ErrLost))
	fmt.Println("too late:", errors.Is(stuck.Release(ctx), redislock.ErrNotHeld))
	// Output:
	// lock stolen: lock lost: older than another caller tolerates
	// is a loss, too: true
	// too late: true
}

func ExampleClient_Break() {
	ctx := context.Background()
	client, operator, stop := exampleClients()
	defer stop()

	lock, err := client.Acquire(ctx, "report")
	if err != nil {
		fmt.Println(err)
		return
	}
	fence, err := operator.Break(ctx, "report", "wrong input file")
	fmt.Println(fence == lock.Fence(), err)

	<-lock.Context().Done()
	fmt.Println(context.Cause(lock.Context()))
	// Output:
	// true <nil>
	// lock stolen: lock lost: broken: wrong input file
}

func ExampleLock_Handoff() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	// The web server takes the order in hand and leaves the work to a queue.
	lock, err := client.Acquire(ctx, "order/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	ticket, err := lock.Handoff() // travels with the message; good for one lease
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("the web server:", context.Cause(lock.Context()))

	// A worker goes on with it. Nobody else had the lock in between.
	work, err := other.Resume(ctx, ticket)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("the worker has", work.Name(), work.Err())
	fmt.Println("what the web server still writes is late:", work.Fence() > lock.Fence())

	_, err = other.Resume(ctx, ticket)
	fmt.Println("a second time:", errors.Is(err, redislock.ErrNotHeld))
	_ = work.Release(ctx)
	// Output:
	// the web server: lock released: handed off
	// the worker has order/42 <nil>
	// what the web server still writes is late: true
	// a second time: true
}
