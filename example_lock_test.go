package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"example.com/redislock"
	"example.com/redislock/fence"
	"example.com/redislock/redislocktest"
)

func Example() {
	ctx := context.Background()
	rdb, stop := exampleRedis() // redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	defer stop()

	client, err := redislock.New(rdb)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)

	err = client.Do(ctx, "invoice/42", func(ctx context.Context) error {
		fmt.Println("paying invoice 42, and nobody else does")
		return nil // ctx ends if the lock is lost
	})
	fmt.Println(err)
	// Output:
	// paying invoice 42, and nobody else does
	// <nil>
}

func ExampleNew() {
	rdb, stop := exampleRedis()
	defer stop()

	client, err := redislock.New(rdb,
		redislock.WithPrefix("shop:locks"),                              // of every key and channel
		redislock.WithName("checkout"),                                  // shown to those who ask who holds a lock
		redislock.WithDefaults(redislock.WithLease(10*time.Second)),     // for every acquire
		redislock.WithRetention(24*time.Hour),                           // how long fences are remembered
		redislock.WithClockMargin(50*time.Millisecond),                  // how far the server's clock may be stepped forward
		redislock.WithObserver(redislock.ObserverFunc(observeCheckout)), // metrics, logs
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(context.Background())

	_, err = redislock.New(nil)
	fmt.Println(errors.Is(err, redislock.ErrInvalid))
	// Output:
	// true
}

func observeCheckout(redislock.Event) {}

func ExampleClient_Acquire() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	lock, err := client.Acquire(ctx, "invoice/42") // waits for its turn until ctx ends
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(ctx) // works if ctx has ended, too
	ctx = lock.With(ctx)    // ends if the lock is lost

	fmt.Println("holding", lock.Name(), ctx.Err())
	// Output:
	// holding invoice/42 <nil>
}

// Goroutines of one process have the lock one after the other without a request, and it stays with the process for a moment.
func ExampleWithTurn() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	last := int64(0)
	post := func(_ context.Context, amount int, fence int64) error {
		fmt.Println("posted", amount, "with a greater fence:", fence > last)
		last = fence
		return nil
	}

	// For up to 5 ms the goroutines of this process have the lock one after the other, without a request. When none of them wants
	// it, it stays with the process for 20 ms, unless another process comes to wait.
	inTurns := []redislock.Option{redislock.WithTurn(5 * time.Millisecond), redislock.WithLinger(20 * time.Millisecond)}
	for _, amount := range []int{5, 7, 30} {
		err := client.Do(ctx, "account/42", func(ctx context.Context) error {
			lock, _ := redislock.FromContext(ctx)
			return post(ctx, amount, lock.Fence()) // a greater fence each time
		}, inTurns...)
		if err != nil {
			fmt.Println(err)
		}
	}

	lock, err := other.Acquire(ctx, "account/42") // another process gets it at once
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(ctx)
	fmt.Println("another process has a greater fence:", lock.Fence() > last)
	// Output:
	// posted 5 with a greater fence: true
	// posted 7 with a greater fence: true
	// posted 30 with a greater fence: true
	// another process has a greater fence: true
}

// Readers of one process have the lock together, under one hold.
func ExampleWithTurn_readers() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	fence := int64(0)
	var serve func(ctx context.Context) error
	serve = func(ctx context.Context) error {
		lock, _ := redislock.FromContext(ctx)
		if fence == 0 {
			fence = lock.Fence()
			return client.Do(context.Background(), "settings", serve, redislock.WithMode(redislock.Read), redislock.WithTurn(time.Millisecond))
		}
		info, err := other.Inspect(ctx, "settings")
		fmt.Println("two readers, holds:", info.Holders, "the same fence:", lock.Fence() == fence)
		return err
	}

	// Of a thousand requests that read the settings at once, each process asks Redis for one.
	err := client.Do(ctx, "settings", serve, redislock.WithMode(redislock.Read), redislock.WithTurn(time.Millisecond))
	if err != nil {
		fmt.Println(err)
	}
	// Output: two readers, holds: 1 the same fence: true
}

// Those who wait get the lock in the order in which they came, whichever process they are in.
func ExampleClient_Acquire_order() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	lock, err := client.Acquire(ctx, "invoice/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		next, err := other.Acquire(ctx, "invoice/42")
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("the next one has it, with a higher fence:", next.Fence() > lock.Fence())
		next.Release(ctx)
	}()

	for { // until the other one is in the queue
		info, err := client.Inspect(ctx, "invoice/42")
		if err != nil || info.Waiting == 1 {
			break
		}
	}
	fmt.Println("releasing")
	lock.Release(ctx) // makes the first in the queue the owner
	<-done
	// Output:
	// releasing
	// the next one has it, with a higher fence: true
}

func ExampleClient_TryAcquire() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	lock, err := client.TryAcquire(ctx, "invoice/42", redislock.WithMetadata("nightly run"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(ctx)

	_, err = other.TryAcquire(ctx, "invoice/42")
	if held, ok := errors.AsType[*redislock.HeldError](err); ok {
		fmt.Println("held by", held.Holder.Client+":", held.Holder.Metadata)
	}
	fmt.Println(errors.Is(err, redislock.ErrHeld))
	// Output:
	// held by api-1: nightly run
	// true
}

func ExampleWithWait() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	lock, err := client.Acquire(ctx, "invoice/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(ctx)

	_, err = other.Acquire(ctx, "invoice/42", redislock.WithWait(50*time.Millisecond))
	fmt.Println("WithWait:", errors.Is(err, redislock.ErrHeld), errors.Is(err, context.DeadlineExceeded))

	ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = other.Acquire(ctx, "invoice/42")
	fmt.Println("context: ", errors.Is(err, redislock.ErrHeld), errors.Is(err, context.DeadlineExceeded))
	// Output:
	// WithWait: true false
	// context:  true true
}

// account is a resource that compares fences: it refuses a writer after a later holder has written.
type account struct {
	balance int
	fence   int64 // of the last write
}

func (a *account) set(balance int, fence int64) error {
	if fence < a.fence {
		return fmt.Errorf("refused: a later holder has written")
	}
	a.balance, a.fence = balance, fence
	return nil
}

func ExampleLock_Fence() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()
	var a account

	paused, err := client.Acquire(ctx, "account/7", redislock.WithoutRenewal(), redislock.WithLease(100*time.Millisecond))
	if err != nil {
		fmt.Println(err)
		return
	}
	next, err := other.Acquire(ctx, "account/7") // gets it when the lease has run out
	if err != nil {
		fmt.Println(err)
		return
	}
	defer next.Release(ctx)

	fmt.Println("next:", a.set(100, next.Fence()))
	fmt.Println("paused:", a.set(90, paused.Fence()))
	// Output:
	// next: <nil>
	// paused: refused: a later holder has written
}

func ExampleLock_Context() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	// Without renewal it is lost after its lease, as any lock is when Redis is out of reach for that long.
	lock, err := client.Acquire(ctx, "invoice/42", redislock.WithoutRenewal(), redislock.WithLease(100*time.Millisecond))
	if err != nil {
		fmt.Println(err)
		return
	}

	select {
	case <-lock.Context().Done():
		fmt.Println(context.Cause(lock.Context()))
	case <-time.After(time.Minute): // the work
	}
	fmt.Println(errors.Is(lock.Release(ctx), redislock.ErrNotHeld))
	// Output:
	// lock lost: its lease of 100ms ran out
	// true
}

func ExampleLock_With() {
	client, _, stop := exampleClients()
	defer stop()
	request, cancel := context.WithCancel(context.Background())
	defer cancel()

	lock, err := client.Acquire(request, "invoice/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(request)

	work := lock.With(request) // ends with the request or with the lock
	cancel()
	<-work.Done()
	fmt.Println(context.Cause(work))
	fmt.Println("the lock itself is held:", lock.Err() == nil)
	// Output:
	// context canceled
	// the lock itself is held: true
}

func ExampleLock_Err() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	lock, err := client.Acquire(ctx, "invoice/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(lock.Err())
	lock.Release(ctx)
	fmt.Println(errors.Is(lock.Err(), redislock.ErrReleased))
	// Output:
	// <nil>
	// true
}

func ExampleWithMaxHold() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	lock, err := client.Acquire(ctx, "invoice/42", redislock.WithMaxHold(100*time.Millisecond))
	if err != nil {
		fmt.Println(err)
		return
	}
	<-lock.Context().Done() // although it was renewed
	fmt.Println(lock.Err())
	// Output:
	// lock lost: held for its longest time of 100ms
}

func ExampleErrDeadlock() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	err := client.Do(ctx, "invoice/42", func(ctx context.Context) error {
		_, err := client.Acquire(ctx, "invoice/42", redislock.NonReentrant()) // would wait for itself
		return err
	})
	fmt.Println(errors.Is(err, redislock.ErrDeadlock))
	// Output:
	// true
}

func ExampleClient_Inspect() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	lock, err := client.Acquire(ctx, "invoice/42", redislock.WithMetadata("nightly run"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Release(ctx)

	info, err := other.Inspect(ctx, "invoice/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, hold := range info.Holds {
		fmt.Println(hold.Owner.Client, hold.Owner.Metadata, hold.Fence == lock.Fence())
	}
	fmt.Println(info.Waiting, "waiting")
	// Output:
	// api-1 nightly run true
	// 0 waiting
}

func ExampleClient_Close() {
	ctx := context.Background()
	rdb, stop := exampleRedis()
	defer stop()

	client, err := redislock.New(rdb)
	if err != nil {
		fmt.Println(err)
		return
	}
	lock, err := client.Acquire(ctx, "invoice/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() { // the work stops when its lock's context ends, and gives the lock back
		<-lock.Context().Done()
		lock.Release(ctx)
	}()

	bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	fmt.Println(client.Close(bounded)) // waits for that release
	_, err = client.TryAcquire(ctx, "invoice/42")
	fmt.Println(errors.Is(err, redislock.ErrClosed))
	// Output:
	// <nil>
	// true
}

func ExampleACL() {
	fmt.Println("ACL SETUSER locks on >password " + redislock.ACL(redislock.DefaultPrefix))
	// Output:
	// ACL SETUSER locks on >password -@all +evalsha +eval +time +hlen +hget +hmget +hgetall +hset +hdel +expire +expireat +publish +subscribe +unsubscribe +ping +set +get +del +pttl +getrange +pubsub|numsub +wait +pubsub|shardnumsub +spublish +ssubscribe +sunsubscribe +cluster|slots +command +asking +readonly +select +client|setname resetkeys ~redislock:{* ~redislock:w:{* ~redislock:d:{* ~redislock:r:{* resetchannels &redislock:n &redislock:n:{* &redislock:c:[^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:] &redislock:c:[^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:]:{*
}

type invoice struct{ number string }

// pay is the work that must not run twice at a time.
func pay(_ context.Context, in invoice) error {
	fmt.Println("paid", in.number)
	return nil
}

func ExampleClient_Do() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	err := client.Do(ctx, "invoice/42", func(ctx context.Context) error {
		return pay(ctx, invoice{"42"}) // ctx ends with the caller's, or if the lock is lost
	})
	fmt.Println(err)
	// Output:
	// paid 42
	// <nil>
}

// A loss is in the error even if the function did not notice it.
func ExampleClient_Do_lost() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	err := client.Do(ctx, "invoice/42", func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	}, redislock.WithMaxHold(100*time.Millisecond))
	fmt.Println(errors.Is(err, redislock.ErrLost))
	// Output:
	// true
}

func ExampleClient_Wrap() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	cleanUp := client.Wrap("clean-up", func(ctx context.Context) error {
		fmt.Println("cleaning up")
		return nil
	}, redislock.WithWait(0)) // another instance does it now: ErrHeld

	fmt.Println(cleanUp(ctx))
	// Output:
	// cleaning up
	// <nil>
}

func ExampleWrapBy() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	payOnce := redislock.WrapBy(client, func(in invoice) string { return "invoice/" + in.number }, pay)

	fmt.Println(payOnce(ctx, invoice{"42"}))
	fmt.Println(payOnce(ctx, invoice{"43"}))
	// Output:
	// paid 42
	// <nil>
	// paid 43
	// <nil>
}

// A test of code that uses locks: a server in memory, and leases that run out in fake time.
func TestTheSecondInstanceTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		server := redislocktest.New(t)
		other := server.NewClient() // another instance of the application

		lock, err := server.Client.Acquire(ctx, "leader", redislock.WithoutRenewal(), redislock.WithLease(90*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		next, err := other.Acquire(ctx, "leader") // after 90 s, which pass at once
		if err != nil {
			t.Fatal(err)
		}
		if lock.Err() == nil || next.Fence() <= lock.Fence() {
			t.Error("two leaders")
		}
		if err := next.Release(ctx); err != nil {
			t.Error(err)
		}
	})
}

// The code that writes the data finds the fence in its context.
func ExampleFromContext() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	var a account // refuses a writer who was overtaken
	deposit := func(ctx context.Context, coins int) error {
		lock, ok := redislock.FromContext(ctx)
		if !ok {
			return errors.New("not under a lock")
		}
		return a.set(a.balance+coins, lock.Fence())
	}

	err := client.Do(ctx, "account/7", func(ctx context.Context) error {
		return deposit(ctx, 100)
	})
	fmt.Println(err, a.balance)
	fmt.Println(deposit(ctx, 100))
	// Output:
	// <nil> 100
	// not under a lock
}

func ExampleLock_Context_reentry() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	ship := func(ctx context.Context) error {
		return client.Do(ctx, "order/42", func(ctx context.Context) error {
			fmt.Println("shipping")
			return nil
		})
	}
	// ship takes a lock that its caller holds. The context carries the hold, so nothing is sent.
	err := client.Do(ctx, "order/42", func(ctx context.Context) error {
		fmt.Println("paid")
		return ship(ctx)
	})
	fmt.Println(err)
	// Output:
	// paid
	// shipping
	// <nil>
}

func ExampleErrOrder() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()

	outer, err := client.Acquire(ctx, "order/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	inner, err := client.Acquire(outer.Context(), "order/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("one grant:", inner.Fence() == outer.Fence())
	fmt.Println(errors.Is(outer.Release(ctx), redislock.ErrOrder)) // and it is still held
	fmt.Println(inner.Release(ctx))
	fmt.Println(errors.Is(inner.Release(ctx), redislock.ErrNotHeld)) // once too often
	fmt.Println(outer.Release(ctx))
	// Output:
	// one grant: true
	// true
	// <nil>
	// true
	// <nil>
}

// Redis has lost its data, and its clock is an hour behind what the resource has seen.
func ExampleWithFenceFloor() {
	ctx := context.Background()
	client, _, stop := exampleClients()
	defer stop()
	var account fence.Memory // or the row of a database
	_ = account.Accept(ctx, "account/7", time.Now().Add(time.Hour).UnixMicro())

	lock, err := client.Acquire(ctx, "account/7")
	if err != nil {
		fmt.Println(err)
		return
	}
	err = account.Accept(ctx, lock.Name(), lock.Fence())
	_ = lock.Release(ctx)
	stale, refused := errors.AsType[*fence.StaleError](err)
	fmt.Println("refused:", refused)

	// What the resource has seen is the floor of the next grant, and all after it.
	lock, err = client.Acquire(ctx, "account/7", redislock.WithFenceFloor(stale.Seen))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("accepted:", account.Accept(ctx, lock.Name(), lock.Fence()) == nil)
	_ = lock.Release(ctx)
	// Output:
	// refused: true
	// accepted: true
}

func ExampleLock_ReleaseAfter() {
	ctx := context.Background()
	client, other, stop := exampleClients()
	defer stop()

	lock, err := client.Acquire(ctx, "newsletter", redislock.WithMetadata("sent"))
	if err != nil {
		fmt.Println(err)
		return
	}
	err = lock.ReleaseAfter(ctx, time.Hour) // no second mail within the hour, even if this process ends now
	fmt.Println(err, errors.Is(lock.Err(), redislock.ErrReleased))

	_, err = other.TryAcquire(ctx, "newsletter")
	if held, ok := errors.AsType[*redislock.HeldError](err); ok {
		fmt.Println("held on by", held.Holder.Client+":", held.Holder.Metadata)
	}
	// Output:
	// <nil> true
	// held on by api-1: sent
}
