package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

func TestCloseNamesTheLocksThatAreStillHeld(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c, err := redislock.New(e.connect())
		if err != nil {
			t.Fatal(err)
		}
		released := e.acquire(c, "released")
		oldest := e.acquire(c, "invoice/42")
		since := time.Now()
		time.Sleep(3 * time.Second)
		var others []*redislock.Lock
		for i := range 12 {
			others = append(others, e.acquire(c, fmt.Sprintf("other/%02d", i)))
		}
		e.release(released)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err = c.Close(ctx)
		want := `"invoice/42" held since ` + since.UTC().Format("2006-01-02T15:04:05.000Z") + `, "other/00" held since`
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), want) || !strings.HasSuffix(err.Error(), " and 3 more") {
			t.Errorf("Close said %v, want ErrDeadlineExceeded and %s…", err, want)
		}
		if strings.Contains(err.Error(), `"released"`) {
			t.Errorf("Close named a lock that was released: %v", err)
		}
		e.release(oldest)
		for _, l := range others {
			e.release(l)
		}
		if err := c.Close(context.Background()); err != nil {
			t.Errorf("a second Close, when all are released: %v", err)
		}
	})
}

func TestACloseThatCannotEndGivesUpAfterTwoMinutes(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c, err := redislock.New(e.connect())
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		err = c.Do(context.Background(), "x", func(context.Context) error { return c.Close(context.Background()) })
		if took := time.Since(begun); took != 2*time.Minute || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `"x" held since`) {
			t.Errorf("it took %v: %v", took, err)
		}
	})
}

func TestCloseUnderTheContextOfALockIsADeadlock(t *testing.T) {
	ctx := context.Background()
	for name, within := range map[string]func(c *redislock.Client, body func(context.Context) error) error{
		"a body": func(c *redislock.Client, body func(context.Context) error) error {
			return c.Do(ctx, "x", body)
		},
		"a lock of several": func(c *redislock.Client, body func(context.Context) error) error {
			return c.DoAll(ctx, []string{"x", "y"}, body)
		},
		"another lock inside": func(c *redislock.Client, body func(context.Context) error) error {
			return c.DoAll(ctx, []string{"x", "y"}, func(ctx context.Context) error { return c.Do(ctx, "z", body) })
		},
		"a fetch": func(c *redislock.Client, body func(context.Context) error) error {
			_, err := redislock.Share(ctx, c, "x", time.Second, func(ctx context.Context) (int, error) { return 0, body(ctx) })
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			embedded(t, 0, func(e *env, _ *fakenet.Network) {
				c, err := redislock.New(e.connect())
				if err != nil {
					t.Fatal(err)
				}
				other := e.client()
				begun := time.Now()
				err = within(c, func(ctx context.Context) error {
					other := other.Close(ctx) // which has no lock
					if err := c.Close(context.WithoutCancel(ctx)); !errors.Is(err, redislock.ErrDeadlock) {
						t.Errorf("Close said %v", err)
					}
					return other
				})
				if err != nil && !errors.Is(err, redislock.ErrClosed) && !errors.Is(err, redislock.ErrLost) {
					t.Error(err)
				}
				if took := time.Since(begun); took > 0 {
					t.Errorf("it took %v", took)
				}
				if _, err := c.Acquire(ctx, "later"); !errors.Is(err, redislock.ErrClosed) {
					t.Errorf("the Client is not closed: %v", err)
				}
				if err := c.Close(ctx); err != nil {
					t.Errorf("a second Close, when all are released: %v", err)
				}
			})
		})
	}
}

func TestAnObserverMayCallClose(t *testing.T) {
	for name, operation := range everything {
		t.Run(name, func(t *testing.T) {
			embedded(t, 0, func(e *env, _ *fakenet.Network) {
				for at, more := int32(1), true; more; at++ {
					var calls atomic.Int32
					var c *redislock.Client
					c, err := redislock.New(e.connect(), redislock.WithObserver(redislock.ObserverFunc(func(event redislock.Event) {
						if calls.Add(1) != at {
							return
						}
						begun := time.Now()
						err := c.Close(context.Background())
						switch took := time.Since(begun); {
						case took == 2*time.Minute && errors.Is(err, context.DeadlineExceeded) && strings.Contains(err.Error(), "not released"):
						case took != time.Second || err == nil || !strings.Contains(err.Error(), "Observer has not returned"):
							t.Errorf("at %v Close took %v: %v", event.Kind, took, err)
						}
					})))
					if err != nil {
						t.Fatal(err)
					}
					_ = operation(context.Background(), e, c)
					more = calls.Load() >= at
					time.Sleep(3 * time.Minute) // it may still be closing
					if err := c.Close(context.Background()); err != nil {
						t.Errorf("after call %d: %v", at, err)
					}
				}
			})
		})
	}
}
