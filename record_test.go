package redislock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"example.com/redislock"
)

// What a Client has for its own acquires must not make of an exclusive lock a shared one, nor of patience its opposite.
func TestWhatIsBuiltOnLocksIsExclusiveWhateverTheDefaultsAre(t *testing.T) {
	both(t, func(e *env) {
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		c := e.client(redislock.WithDefaults(redislock.WithMode(redislock.Semaphore(9)), redislock.WithWeight(2), redislock.WithWait(0)))
		exclusive := func(name string) {
			t.Helper()
			info, err := c.Inspect(ctx, name)
			if err != nil || info.Holders != 1 || info.Holds[0].Mode != redislock.Exclusive || info.Holds[0].Weight != 1 {
				t.Errorf("%+v, %v", info, err)
			}
		}
		if err := c.Once(ctx, "x", func(context.Context) error { exclusive("once:x"); return nil }); err != nil {
			t.Error(err)
		}
		if _, err := redislock.Share(ctx, c, "x", time.Minute, func(context.Context) (int, error) { exclusive("share:x"); return 1, nil }); err != nil {
			t.Error(err)
		}
		begun, end := make(chan struct{}), make(chan struct{})
		done := make(chan error, 2)
		go func() {
			tick := e.tick()
			g := c.Cron("x", redislock.WithOverlap(redislock.OverlapWait))
			go func() {
				<-begun
				outcome, err := g.Run(ctx, tick.Add(time.Second), idle)
				if outcome != redislock.OutcomeRan {
					err = errors.Join(err, errors.New(outcome.String()))
				}
				done <- err
			}()
			_, err := g.Run(ctx, tick, func(context.Context) error { exclusive("cron:x"); close(begun); <-end; return nil })
			done <- err
		}()
		<-begun
		e.queued(c, "cron:x", 1)
		close(end)
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		leader := e.acquire(e.client(), "elect:x")
		go func() {
			done <- c.Elect(ctx, "x", func(context.Context) error { exclusive("elect:x"); return errors.New("enough") })
		}()
		e.queued(c, "elect:x", 1) // the campaign waits
		e.release(leader)
		if err := <-done; errors.Is(err, redislock.ErrHeld) {
			t.Error(err)
		}
	})
}
