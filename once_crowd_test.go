package redislock_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// One of the callers of a process is in the queue for all of them.
func TestManyWaitersOfOnceSendWhatOneSends(t *testing.T) {
	embedded(t, 10*time.Millisecond, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		runner := e.client()
		rdb := e.connect()
		sent := &counter{}
		rdb.AddHook(sent)
		c := e.over(rdb)
		for _, failing := range []bool{false, true} {
			name := map[bool]string{false: "succeeds", true: "fails"}[failing]
			begun := make(chan struct{})
			var all sync.WaitGroup
			var runs atomic.Int32
			all.Go(func() {
				_ = runner.Once(ctx, name, func(context.Context) error {
					close(begun)
					time.Sleep(time.Second)
					if failing {
						return errors.New("it fails")
					}
					return nil
				})
			})
			<-begun
			before := sent.commands.Load()
			for range 200 {
				all.Go(func() {
					if err := c.Once(ctx, name, func(context.Context) error { runs.Add(1); return nil }); err != nil {
						e.Error(err)
					}
				})
			}
			all.Wait()
			if n := sent.commands.Load() - before; n > 20 {
				e.Errorf("the other %s, and 200 waiters sent %d commands", name, n)
			}
			if want := map[bool]int32{true: 1}[failing]; runs.Load() != want {
				e.Errorf("the other %s: %d runs", name, runs.Load())
			}
		}
	})
}

// After a failure one runs it, and the others wait for that one, all together.
func TestAfterAFailureOfOnceAllGoOnTogether(t *testing.T) {
	t.Parallel()
	const trip = 10 * time.Millisecond
	for name, processes := range map[string]int{"in one process": 1, "in many": 50} {
		t.Run(name, func(t *testing.T) {
			embedded(t, trip/2, func(e *env, _ *fakenet.Network) {
				ctx := context.Background()
				runner := e.client()
				clients := make([]*redislock.Client, processes)
				for i := range clients {
					clients[i] = e.client()
				}
				e.warm(append(clients, runner)...)
				begun := make(chan struct{})
				var failed time.Time
				var all sync.WaitGroup
				var runs atomic.Int32
				all.Go(func() {
					_ = runner.Once(ctx, "init", func(context.Context) error {
						close(begun)
						time.Sleep(time.Second)
						failed = time.Now()
						return errors.New("it fails")
					})
				})
				<-begun
				for i := range 100 {
					all.Go(func() {
						if err := clients[i%processes].Once(ctx, "init", func(context.Context) error { runs.Add(1); return nil }); err != nil {
							e.Error(err)
						}
					})
				}
				all.Wait()
				if took := time.Since(failed); runs.Load() != 1 || took > 30*trip {
					e.Errorf("%d runs, and the last one went on %v after the failure", runs.Load(), took)
				}
				e.untouched("once:init")
			})
		})
	}
}

// A failure or a panic goes only to its own caller. The other callers of the process go on.
func TestACallerOfOnceThatFailsLeavesItToTheNextOfItsProcess(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		var runs atomic.Int32
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				oh := errors.New("oh")
				var mine int32
				defer func() {
					if p := recover(); (p != nil) != (mine == 2) {
						e.Errorf("run %d: recovered %v", mine, p)
					}
				}()
				err := c.Once(context.Background(), "init", func(context.Context) error {
					switch mine = runs.Add(1); mine {
					case 1, 3:
						return oh
					case 2:
						panic("oh")
					}
					return nil
				})
				if errors.Is(err, oh) != (mine == 1 || mine == 3) {
					e.Errorf("run %d: %v", mine, err)
				}
			})
		}
		all.Wait()
		if runs.Load() != 4 {
			e.Errorf("%d runs", runs.Load())
		}
		e.untouched("once:init")
	})
}

// A caller that waits for another caller of its process waits as long as it wants, and not for a closed Client.
func TestEachCallerOfOnceWaitsAsLongAsItWants(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		run := func(ctx context.Context, opts ...redislock.OnceOption) (time.Duration, error) {
			begun := time.Now()
			err := c.Once(ctx, "init", func(ctx context.Context) error {
				select {
				case <-time.After(time.Minute):
				case <-ctx.Done():
					time.Sleep(time.Second)
				}
				return errors.New("it fails")
			}, opts...)
			return time.Since(begun), err
		}
		var all sync.WaitGroup
		all.Go(func() { _, _ = run(context.Background()) })
		time.Sleep(time.Second)
		if took, err := run(context.Background(), redislock.WithWait(0)); !errors.Is(err, redislock.ErrHeld) || took > 0 {
			e.Errorf("without waiting: %v after %v", err, took)
		}
		if took, err := run(context.Background(), redislock.WithWait(time.Second)); !errors.Is(err, redislock.ErrHeld) || took != time.Second || errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("waiting a little: %v after %v", err, took)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if took, err := run(ctx); !errors.Is(err, redislock.ErrHeld) || !errors.Is(err, context.DeadlineExceeded) || took != time.Second {
			e.Errorf("a context: %v after %v", err, took)
		}
		all.Go(func() {
			if took, err := run(context.Background()); !errors.Is(err, redislock.ErrClosed) || took != time.Second {
				e.Errorf("a Client that is closed: %v after %v", err, took)
			}
		})
		time.Sleep(time.Second)
		if err := c.Close(context.Background()); err != nil {
			e.Error(err)
		}
		all.Wait()
	})
}

// A process remembers what it has done itself, even if it was not subscribed before.
func TestTheFirstSuccessOfOnceIsRememberedByItsProcess(t *testing.T) {
	embedded(t, 10*time.Millisecond, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		rdb := e.connect()
		sent := &counter{}
		rdb.AddHook(sent)
		c, other := e.over(rdb), e.client()
		runs := 0
		run := func() {
			e.Helper()
			if err := c.Once(ctx, "init", func(context.Context) error { runs++; return nil }); err != nil {
				e.Fatal(err)
			}
		}
		run()
		time.Sleep(time.Second) // it is subscribed
		before := sent.trips.Load()
		for range 10 {
			run()
		}
		if n := sent.trips.Load() - before; n != 0 || runs != 1 {
			e.Errorf("%d requests, %d runs", n, runs)
		}
		if err := other.OnceReset(ctx, "init"); err != nil {
			e.Fatal(err)
		}
		time.Sleep(time.Second)
		if run(); runs != 2 {
			e.Errorf("after a reset: %d runs", runs)
		}
	})
}

// What may have been missed is looked up when the subscription is new, and not when it is asked for.
func TestAProcessKnowsWhatItKnewAfterANewSubscription(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, n *fakenet.Network) {
		line := &fakenet.Network{Dial: n.Dial, Delay: n.Delay}
		rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", Protocol: 2, DisableIdentity: true, Dialer: line.Dialer})
		e.Cleanup(func() { _ = rdb.Close() })
		sent := &counter{}
		rdb.AddHook(sent)
		c := e.over(rdb)
		runs := 0
		run := func() {
			if err := c.Once(context.Background(), "init", func(context.Context) error { runs++; return nil }); err != nil {
				e.Fatal(err)
			}
		}
		run()
		time.Sleep(time.Second)
		line.Cut()
		time.Sleep(time.Minute)
		line.Mend()
		time.Sleep(time.Minute)
		before := sent.trips.Load()
		if run(); sent.trips.Load() != before || runs != 1 {
			e.Errorf("%d requests, %d runs", sent.trips.Load()-before, runs)
		}
	})
}

// Before the subscription stands a process may miss a reset, and looks.
func TestAResetBeforeTheFirstSubscriptionIsNoticed(t *testing.T) {
	embedded(t, 10*time.Millisecond, func(e *env, n *fakenet.Network) {
		ctx := context.Background()
		other := e.client()
		c := e.client()
		runs := 0
		run := func(context.Context) error { runs++; return nil }
		if err := c.Once(ctx, "init", run); err != nil {
			e.Fatal(err)
		}
		if err := other.OnceReset(ctx, "init"); err != nil {
			e.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := c.Once(ctx, "init", run); err != nil || runs != 2 {
			e.Errorf("%v, %d runs", err, runs)
		}
	})
}

func TestAKnownOnceWaitsForNothingInAnOutage(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, n *fakenet.Network) {
		ctx := context.Background()
		line := &fakenet.Network{Dial: n.Dial, Delay: n.Delay}
		c := e.clientOn(line)
		runs := 0
		run := func(context.Context) error { runs++; return nil }
		if err := c.Once(ctx, "init", run); err != nil {
			e.Fatal(err)
		}
		time.Sleep(time.Second)
		line.Cut()
		for range 60 {
			begun := time.Now()
			if err := c.Once(ctx, "init", run); err != nil || time.Since(begun) > 0 || runs != 1 {
				e.Errorf("%v after %v, %d runs", err, time.Since(begun), runs)
			}
			time.Sleep(time.Second)
		}
		if err := e.client().OnceReset(ctx, "init"); err != nil { // it cannot hear of it
			e.Fatal(err)
		}
		line.Mend()
		time.Sleep(time.Minute)
		if err := c.Once(ctx, "init", run); err != nil || runs != 2 {
			e.Errorf("after the outage, in which it was reset: %v, %d runs", err, runs)
		}
	})
}

// If one caller learns of an outage, all callers of the process do, and not one after the other.
func TestAllWhoWaitForOnceLearnOfAnOutageTogether(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, n *fakenet.Network) {
		ctx := context.Background()
		line := &fakenet.Network{Dial: n.Dial, Delay: n.Delay}
		c := e.clientOn(line)
		e.warm(c)
		line.Cut()
		begun := time.Now()
		first := c.Once(ctx, "init", idle)
		one := time.Since(begun)
		begun = time.Now()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if err := c.Once(ctx, "init", idle); err == nil || errors.Is(err, redislock.ErrHeld) {
					e.Errorf("%v", err)
				}
			})
		}
		all.Wait()
		if took := time.Since(begun); first == nil || took > 2*one {
			e.Errorf("one learns of it after %v (%v), and 50 after %v", one, first, took)
		}
		line.Mend()
		time.Sleep(time.Minute)
	})
}

// The error of fn is returned unchanged, however long the caller was willing to wait for its turn.
func TestTheErrorOfOnceIsTheFunctionsOwnAfterTheWaitIsOver(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		c := e.client()
		boom := errors.New("boom")
		held := &redislock.HeldError{}
		for name, failure := range map[string]error{"its own": boom, "with another's": errors.Join(boom, held)} {
			err := c.Once(ctx, name, func(context.Context) error {
				time.Sleep(150 * time.Millisecond)
				return failure
			}, redislock.WithWait(100*time.Millisecond))
			if !errors.Is(err, boom) || errors.Is(err, context.DeadlineExceeded) {
				e.Errorf("%s: %v", name, err)
			}
		}
	})
}

// A lease that is too short for its caller says nothing about the others.
func TestALeaseThatIsTooShortIsItsCallersOwn(t *testing.T) {
	embedded(t, 200*time.Millisecond, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		c := e.client()
		var ran atomic.Int32
		run := func(context.Context) error { ran.Add(1); return nil }
		var all sync.WaitGroup
		all.Go(func() { _ = c.Once(ctx, "n", run, redislock.WithLease(redislock.MinLease)) })
		time.Sleep(10 * time.Millisecond)
		for range 2 {
			all.Go(func() {
				if err := c.Once(ctx, "n", run); err != nil {
					e.Error(err)
				}
			})
		}
		all.Wait()
		if ran.Load() != 1 {
			e.Errorf("it ran %d times", ran.Load())
		}
	})
}

func TestWhoWaitsForOnceLearnsThatTheRedisClientIsClosed(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		rdb := e.connect()
		c := e.over(rdb)
		begun, end := make(chan struct{}), make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() {
			_ = c.Once(ctx, "n", func(context.Context) error {
				close(begun)
				<-end
				return nil
			})
		})
		<-begun
		all.Go(func() {
			if err := c.Once(ctx, "n", func(context.Context) error { return nil }); !errors.Is(err, redis.ErrClosed) || errors.Is(err, redislock.ErrClosed) {
				e.Errorf("who waits: %v", err)
			}
			close(end)
		})
		time.Sleep(10 * time.Millisecond)
		_ = rdb.(*redis.Client).Close()
		_, _ = c.Acquire(ctx, "other") // the Client learns of it by what it sends
		all.Wait()
	})
}
