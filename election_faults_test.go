package redislock_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
	"example.com/redislock/internal/servertest"
)

// At most one leads, whatever mode is the default of the Client, and whatever it is asked for.
func TestNoModeGivesTwoLeaders(t *testing.T) {
	for _, mode := range []redislock.Mode{redislock.Read, redislock.Semaphore(3)} {
		embedded(t, 0, func(e *env, _ *fakenet.Network) {
			ctx, stop := context.WithCancel(context.Background())
			var leading atomic.Int32
			lead := func(ctx context.Context) error {
				if leading.Add(1) > 1 {
					t.Error("two leaders")
				}
				<-ctx.Done()
				leading.Add(-1)
				return nil
			}
			var all sync.WaitGroup
			all.Go(func() { _ = e.client(redislock.WithDefaults(redislock.WithMode(mode))).Elect(ctx, "x", lead) })
			all.Go(func() { _ = e.client().Elect(ctx, "x", lead, redislock.WithMode(mode)) })
			all.Go(func() { _ = e.client(redislock.WithDefaults(redislock.WithMode(mode))).Elect(ctx, "x", lead) })
			time.Sleep(time.Second)
			stop()
			all.Wait()
		})
	}
}

// A Client that is closed while it leads says so.
func TestACampaignSaysThatItsClientWasClosed(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		begun, over := make(chan struct{}), make(chan error, 1)
		go func() {
			over <- c.Elect(context.Background(), "x", func(ctx context.Context) error {
				close(begun)
				<-ctx.Done()
				return ctx.Err()
			})
		}()
		<-begun
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-over; !errors.Is(err, redislock.ErrClosed) {
			t.Errorf("the campaign ended with %v", err)
		}
	})
}

// A function that returns at once, with nobody else to lead, does not keep Redis busy.
func TestACampaignAloneDoesNotSpin(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	e := &env{T: t, connect: nil}
	c := e.over(s.Connect())
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	terms := 0
	_ = c.Elect(ctx, "x", func(context.Context) error { terms++; return nil })
	if terms > 200 {
		t.Errorf("%d terms in a second", terms)
	}
}

// A lock that lapsed before the server heard that it is to stay is not kept, and that is said.
func TestALockThatLapsedFirstDoesNotStay(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	l := x.acquire(x.behind(3), redislock.WithLease(300*time.Millisecond))
	var faults []*servertest.Fault
	for range 3 {
		faults = append(faults, x.proxy.HoldRequest(requests("keep", x.key())))
	}
	err := l.ReleaseAfter(context.Background(), time.Minute)
	kept := len(x.inspect().Holds) == 1
	if (err == nil) != kept {
		t.Errorf("ReleaseAfter says %v; kept: %v", err, kept)
	}
	for _, fault := range faults {
		fault.Deliver()
	}
}
