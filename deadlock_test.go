package redislock_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// A caller that waits for itself would wait for ever, and nobody would notice. So the Observer is told after a second, and the
// error says so.
func TestACallerThatWaitsForItselfIsToldOf(t *testing.T) {
	for name, ask := range map[string]func(ctx context.Context, c *redislock.Client) error{
		"Do under the outer context": func(ctx context.Context, c *redislock.Client) error {
			return c.Do(ctx, "x", func(context.Context) error {
				return c.Do(ctx, "x", func(context.Context) error { return nil })
			})
		},
		"Do in a turn": func(ctx context.Context, c *redislock.Client) error {
			turn := redislock.WithTurn(redislock.MaxTurn)
			return c.Do(ctx, "x", func(context.Context) error {
				return c.Do(ctx, "x", func(context.Context) error { return nil }, turn)
			}, turn)
		},
		"Acquire in a DoAll": func(ctx context.Context, c *redislock.Client) error {
			return c.DoAll(ctx, []string{"x", "y"}, func(context.Context) error {
				_, err := c.Acquire(ctx, "x")
				return err
			})
		},
		"Locked of a Lockable": func(ctx context.Context, c *redislock.Client) error {
			var l redislock.Lockable
			return errors.Join(l.Init(c, "x"), l.Locked(ctx, func(context.Context) error {
				return l.Locked(ctx, func(context.Context) error { return nil })
			}))
		},
		"Acquire of a Lockable": func(ctx context.Context, c *redislock.Client) error {
			var l redislock.Lockable
			if err := l.Init(c, "x"); err != nil {
				return err
			}
			under, err := l.Acquire(ctx)
			if err != nil {
				return err
			}
			_, err = l.Acquire(ctx)
			return errors.Join(err, l.Release(under))
		},
	} {
		t.Run(name, func(t *testing.T) {
			embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
				var mu sync.Mutex
				var told []redislock.Event
				c := e.client(redislock.WithObserver(redislock.ObserverFunc(func(event redislock.Event) {
					if event.Kind == redislock.EventSelfWait {
						mu.Lock()
						defer mu.Unlock()
						told = append(told, event)
					}
				})))
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				err := ask(ctx, c)
				if held, ok := errors.AsType[*redislock.HeldError](err); !ok || !strings.Contains(held.Error(), "waited for itself") {
					e.Errorf("the error is %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				if len(told) != 1 {
					e.Fatalf("told %d times: %v", len(told), told)
				}
				if w := told[0]; w.Name != "x" || w.Wait < time.Second || w.Wait > 1100*time.Millisecond || !errors.Is(w.Err, redislock.ErrDeadlock) || w.Holder.PID == 0 {
					e.Errorf("told %+v", w)
				}
			})
		})
	}
}

// Goroutines of one process that take a lock in turns wait for each other and not for themselves, also inside the body of another
// lock.
func TestGoroutinesThatTakeTurnsDoNotWaitForThemselves(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		observer := redislock.ObserverFunc(func(event redislock.Event) {
			if event.Kind == redislock.EventSelfWait {
				e.Errorf("%+v", event)
			}
		})
		c, other := e.client(redislock.WithObserver(observer), redislock.WithName("a")), e.client(redislock.WithName("ab"))
		ctx := context.Background()
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				if err := c.Do(ctx, "x", func(context.Context) error {
					time.Sleep(2 * time.Second)
					return nil
				}); err != nil {
					e.Error(err)
				}
			})
		}
		all.Wait()
		// A body that asks for the lock of another process.
		lock := e.acquire(other, "y")
		if err := c.Do(ctx, "x", func(context.Context) error {
			_, err := c.Acquire(ctx, "y", redislock.WithWait(3*time.Second))
			return err
		}); !errors.Is(err, redislock.ErrHeld) || strings.Contains(err.Error(), "waited for itself") {
			e.Error(err)
		}
		e.release(lock)
	})
}
