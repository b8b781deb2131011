package redislock_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// WithWait is a bound, and so is a context: where Redis is silent, cleaning up goes on behind the caller.
func TestWithWaitIsABoundWhereRedisIsSilent(t *testing.T) {
	ctx := context.Background()
	const nearly = 10 * time.Millisecond // for a place that Redis has confirmed and may give up at once
	for what, wait := range map[string]func(c *redislock.Client) error{
		"WithWait": func(c *redislock.Client) error { return second(c.Acquire(ctx, "x", redislock.WithWait(time.Second))) },
		"a context": func(c *redislock.Client) error {
			bounded, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			return second(c.Acquire(bounded, "x"))
		},
	} {
		for _, queued := range []bool{false, true} {
			embedded(t, 0, func(e *env, _ *fakenet.Network) {
				n := &fakenet.Network{Dial: e.mini.Dial}
				c, other := e.clientOn(n), e.client()
				e.release(e.acquire(c, "warm"))
				l := e.acquire(other, "x")
				if queued {
					time.AfterFunc(500*time.Millisecond, n.Cut)
				} else {
					n.Cut()
				}
				begun := time.Now()
				err := wait(c)
				if took := time.Since(begun); err == nil || took < time.Second || took > time.Second+nearly || !queued && took != time.Second {
					t.Errorf("%s, queued: %v: %v after %v", what, queued, err, took)
				}
				n.Mend()
				time.Sleep(20 * time.Second)
				e.release(l)
				e.untouched("x")
			})
		}
	}
}

// A wait that ends in an outage says what is wrong with Redis, beside the end of its context.
func TestAWaitThatEndsInAnOutageSaysWhy(t *testing.T) {
	ctx := context.Background()
	down := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	bounded := func(d time.Duration, do func(context.Context) error) func() error {
		return func() error {
			ctx, cancel := context.WithTimeout(ctx, d)
			defer cancel()
			return do(ctx)
		}
	}
	for what, do := range map[string]struct {
		ended bool // the context is the caller's
		do    func(c *redislock.Client) func() error
	}{
		"Acquire": {true, func(c *redislock.Client) func() error {
			return bounded(3*time.Second, func(ctx context.Context) error { return second(c.Acquire(ctx, "free")) })
		}},
		"Acquire, queued": {true, func(c *redislock.Client) func() error {
			return bounded(6*time.Second, func(ctx context.Context) error { return second(c.Acquire(ctx, "held")) })
		}},
		"WithWait, queued": {false, func(c *redislock.Client) func() error {
			return func() error { return second(c.Acquire(ctx, "held", redislock.WithWait(6*time.Second))) }
		}},
		"WithWait": {false, func(c *redislock.Client) func() error {
			return func() error { return second(c.Acquire(ctx, "free", redislock.WithWait(3*time.Second))) }
		}},
		"Inspect": {true, func(c *redislock.Client) func() error {
			return bounded(3*time.Second, func(ctx context.Context) error { return second(c.Inspect(ctx, "free")) })
		}},
		"First": {true, func(c *redislock.Client) func() error {
			return bounded(3*time.Second, func(ctx context.Context) error { return second(c.First(ctx, "free", time.Minute)) })
		}},
		"AcquireWeak": {false, func(c *redislock.Client) func() error {
			return func() error { return second(c.AcquireWeak(ctx, "free", redislock.WithWait(3*time.Second))) }
		}},
		"Once": {false, func(c *redislock.Client) func() error {
			return func() error {
				return c.Once(ctx, "free", func(context.Context) error { return nil }, redislock.WithWait(3*time.Second))
			}
		}},
	} {
		t.Run(what, func(t *testing.T) {
			embedded(t, 0, func(e *env, _ *fakenet.Network) {
				var out atomic.Bool
				c, other := e.tapped(&tap{before: func(string) error {
					if out.Load() {
						time.Sleep(1200 * time.Millisecond) // as long as go-redis dials
						return down
					}
					return nil
				}}), e.client()
				e.release(e.acquire(c, "warm"))
				l := e.acquire(other, "held")
				time.AfterFunc(500*time.Millisecond, func() { out.Store(true) })
				if !strings.Contains(what, "queued") {
					time.Sleep(time.Second)
				}
				err := do.do(c)()
				if !strings.Contains(err.Error(), "connection refused") || !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("%v: that the connection is refused is not told", err)
				}
				if do.ended && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v is not the end of its context", err)
				}
				if strings.Contains(what, "queued") && !errors.Is(err, redislock.ErrHeld) {
					t.Errorf("%v is not ErrHeld", err)
				}
				if strings.Contains(err.Error(), "\n") || strings.Count(err.Error(), "connection refused") > 1 {
					t.Errorf("%q says it twice", err)
				}
				out.Store(false)
				time.Sleep(10 * time.Second)
				e.release(l)
				e.untouched("free")
			})
		})
	}
}

// A server whose clock has not been set says so: its keys are not damaged, and nothing is written that would live for years.
func TestAServerWhoseClockIsNotSetSaysThatItIsTheClock(t *testing.T) {
	ctx := context.Background()
	for _, at := range []time.Time{time.Unix(0, 0), time.Unix(90_000_000, 0)} {
		embedded(t, 0, func(e *env, _ *fakenet.Network) {
			c := e.client()
			e.mini.SetTime(at)
			for what, err := range map[string]error{
				"Acquire": second(c.Acquire(ctx, "x")), "with a mode": second(c.Acquire(ctx, "x", redislock.WithMode(redislock.Read))),
				"Inspect": second(c.Inspect(ctx, "x")), "Break": second(c.Break(ctx, "x", "why")),
			} {
				if err == nil || errors.Is(err, redislock.ErrDamaged) || !strings.Contains(err.Error(), "the server's clock says") {
					t.Errorf("%v: %s: %v", at.UTC(), what, err)
				}
			}
			if keys := e.mini.Keys(); len(keys) > 0 {
				t.Errorf("%v: written: %q", at.UTC(), keys)
			}
			e.mini.SetTime(time.Now())
			e.release(e.acquire(c, "x"))
		})
	}
	for _, at := range []time.Time{time.Unix(100_000_000, 0), time.Unix(999_999_999, 0), time.Unix(9_000_000_000, 0)} {
		embedded(t, 0, func(e *env, _ *fakenet.Network) {
			c := e.client()
			e.mini.SetTime(at)
			e.release(e.acquire(c, "x"))
			e.mini.SetTime(time.Time{})
		})
	}
}
