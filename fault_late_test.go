package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// A request may reach the server long after its sender gave up on the answer and sent it again over another
// connection. What such a late copy does must not outlive the handle that it was sent for.

// late is by how much: several attempts later, or in the middle of the release.
const late = 4 * readTimeout

// ten runs a test ten times at once, each on a lock of its own.
func ten(t *testing.T, s *servertest.Server, test func(t *testing.T, x *scene, protocol int)) {
	t.Helper()
	var names []string
	for i := range 10 {
		names = append(names, fmt.Sprint(i))
	}
	together(t, names, func(t *testing.T, i int) { test(t, newScene(t, s), 2+i%2) })
}

func TestI8LateCopyOfAnAcquireLeavesNoGhost(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	t.Run("400 ms late", func(t *testing.T) {
		ten(t, s, func(_ *testing.T, x *scene, protocol int) {
			c := x.behind(protocol)
			f := x.proxy.DelayRequest(requests("acquire", x.key()), late)
			x.release(x.acquire(c))
			x.within("the late copy is executed", f.Executed())
			x.untouched()
		})
	})
	t.Run("after the release", func(t *testing.T) {
		ten(t, s, func(_ *testing.T, x *scene, protocol int) {
			c := x.behind(protocol)
			f := x.proxy.HoldRequest(requests("acquire", x.key()))
			x.release(x.acquire(c))
			f.Deliver()
			x.within("the late copy is executed", f.Executed())
			x.untouched()
			x.release(x.acquire(x.look)) // and the lock is anybody's
		})
	})
	t.Run("after data was lost and it was to stay", func(t *testing.T) {
		ten(t, s, func(_ *testing.T, x *scene, protocol int) {
			c := x.behind(protocol)
			f := x.proxy.HoldRequest(requests("acquire", x.key()))
			l := x.acquire(c)
			x.raw.Del(context.Background(), x.key())
			if err := l.ReleaseAfter(context.Background(), time.Minute); err == nil {
				x.Error("it stays, although the server has lost it")
			}
			x.eventually("it is given up", func() bool { return x.raw.HExists(context.Background(), x.key(), "t").Val() })
			f.Deliver()
			x.within("the late copy is executed", f.Executed())
			x.untouched()
		})
	})
	t.Run("while it is held", func(t *testing.T) {
		ten(t, s, func(_ *testing.T, x *scene, protocol int) {
			c := x.behind(protocol)
			f := x.proxy.HoldRequest(requests("acquire", x.key()))
			l := x.acquire(c)
			f.Deliver()
			x.within("the late copy is executed", f.Executed())
			x.holds(l) // I2: the same grant
			x.release(l)
			x.untouched()
		})
	})
	t.Run("while another holds it", func(t *testing.T) {
		ten(t, s, func(_ *testing.T, x *scene, protocol int) {
			c := x.behind(protocol)
			f := x.proxy.HoldRequest(requests("acquire", x.key()))
			x.release(x.acquire(c))
			l := x.acquire(x.look)
			f.Deliver()
			x.within("the late copy is executed", f.Executed())
			x.holds(l)
			x.release(l)
			x.untouched()
		})
	})
}

func TestI8LateCopyOfAJoinLeavesNoGhost(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, when := range []string{"400 ms late", "after the release", "while it waits", "after it was cancelled"} {
		t.Run(when, func(t *testing.T) {
			ten(t, s, func(_ *testing.T, x *scene, protocol int) {
				c := x.behind(protocol)
				holder := x.acquire(x.look)
				var f *servertest.Fault
				if when == "400 ms late" {
					f = x.proxy.DelayRequest(joins(x.key()), late)
				} else {
					f = x.proxy.HoldRequest(joins(x.key()))
				}
				w := x.waiting(c)
				x.queued(1) // by its second copy, or the late one
				if when == "after it was cancelled" {
					w.cancel()
					x.within("a cancelled acquire returns", w.done)
					x.queued(0)
				}
				if when != "400 ms late" && when != "after the release" {
					f.Deliver()
					x.within("the late copy is executed", f.Executed())
				}
				switch when {
				case "while it waits":
					x.queued(1)
				case "after it was cancelled":
					if n := x.inspect().Waiting; n != 0 {
						x.Errorf("I8: %d places of a wait that was cancelled", n)
					}
				}
				x.release(holder)
				if when != "after it was cancelled" {
					x.release(x.got(w))
				}
				f.Deliver()
				x.within("the late copy is executed", f.Executed())
				x.untouched()
				x.release(x.acquire(x.look))
			})
		})
	}
}

// The caller's context ends while the only copy of its acquire is still on its way.
func TestI8AnAcquireGivenUpBeforeItArrivesLeavesNothing(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, c := range []struct {
		name  string
		held  bool          // by another
		after time.Duration // until the context ends; 0: at once
	}{
		{"at once", false, 0},
		{"after several copies", false, 3 * readTimeout / 2},
		{"at once, the lock held", true, 0},
		{"after several copies, the lock held", true, 3 * readTimeout / 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			ten(t, s, func(_ *testing.T, x *scene, protocol int) {
				client := x.behind(protocol)
				// Subscribed and past its preflight, so that the first request in question is the acquire.
				elsewhere := x.alias(" elsewhere")
				elsewhere.release(elsewhere.acquire(client))
				var holder *redislock.Lock
				if c.held {
					holder = x.acquire(x.look)
				}
				f := x.proxy.HoldRequest(requests("acquire", x.key()))
				if c.after > 0 { // the later copies are held back too
					for range 4 {
						x.proxy.DelayRequest(requests("acquire", x.key()), late)
					}
				}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				go func() {
					<-f.Caught()
					time.Sleep(c.after)
					cancel()
				}()
				l, err := client.Acquire(ctx, x.name)
				if !errors.Is(err, context.Canceled) || l != nil {
					x.Errorf("Acquire = %v, %v", l, err)
				}
				f.Deliver()
				x.within("the late copy is executed", f.Executed())
				if c.held {
					x.holds(holder)
					x.eventually("no place is left", func() bool { return x.inspect().Waiting == 0 })
					x.release(holder)
				}
				if err := client.Close(context.Background()); err != nil { // awaits what is still under way
					x.Error(err)
				}
				x.untouched()
			})
		})
	}
}

// The grant happened, its reply is lost, and then the caller does not want it any more.
func TestI8AnAcquireCancelledAfterALostReplyLeavesNothing(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, held := range []bool{false, true} {
		t.Run(fmt.Sprintf("held by another %v", held), func(t *testing.T) {
			ten(t, s, func(_ *testing.T, x *scene, protocol int) {
				c := x.behind(protocol)
				match := requests("acquire", x.key())
				if held {
					match = joins(x.key())
				}
				swallow := x.proxy.SwallowReply
				if protocol == 3 {
					swallow = x.proxy.SwallowReplyAndClose
				}
				var holder *redislock.Lock
				if held {
					holder = x.acquire(x.look)
				}
				f := swallow(match, 1)
				w := x.waiting(c)
				x.within("the reply is lost", f.Executed())
				w.cancel()
				x.within("a cancelled acquire returns", w.done)
				if w.lock != nil { // the resend was faster than the cancellation
					x.release(w.lock)
				} else if !errors.Is(w.err, context.Canceled) {
					x.Error(w.err)
				}
				if held {
					x.queued(0)
					x.holds(holder)
					x.release(holder)
				}
				x.untouched()
			})
		})
	}
}

// I1: a hold is dropped only by a request that names its token; the late copies name another's.
func TestI1LateCopiesOfOtherRequestsDoNotTouchTheNextHolder(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for what, held := range map[string]time.Duration{"release at once": 0, "release": 2 * redislock.Brief} {
		t.Run(what, func(t *testing.T) {
			ten(t, s, func(_ *testing.T, x *scene, protocol int) {
				c := x.behind(protocol)
				l := x.acquire(c)
				f := x.proxy.HoldRequest(releases(x.key()))
				time.Sleep(held)
				x.release(l)
				next := x.acquire(c)
				f.Deliver()
				x.within("the late copy is executed", f.Executed())
				x.holds(next)
				x.release(next)
				x.untouched()
			})
		})
	}
	t.Run("renewal", func(t *testing.T) {
		ten(t, s, func(_ *testing.T, x *scene, protocol int) {
			events := &tally{}
			c := x.behind(protocol, redislock.WithObserver(events))
			f := x.proxy.HoldRequest(requests("renew", x.key()))
			l := x.acquire(c, redislock.WithLease(3*time.Second))
			x.within("the renewal is on its way", f.Caught())
			x.eventually("another copy renewed it", func() bool { return events.count(redislock.EventRenewed) > 0 })
			x.release(l)
			next := x.acquire(c)
			f.Deliver()
			x.within("the late copy is executed", f.Executed())
			x.holds(next)
			x.release(next)
			x.untouched()
		})
	})
	t.Run("check", func(t *testing.T) {
		ten(t, s, func(_ *testing.T, x *scene, protocol int) {
			c := x.behind(protocol)
			l := x.acquire(x.look)
			f := x.proxy.HoldRequest(requests("check", x.key()))
			w := x.waiting(c)
			x.within("the check is on its way", f.Caught())
			x.release(l)
			x.release(x.got(w))
			next := x.acquire(x.look)
			f.Deliver()
			x.within("the late copy is executed", f.Executed())
			x.holds(next)
			if n := x.inspect().Waiting; n != 0 {
				x.Errorf("a check joined: %d wait", n)
			}
			x.release(next)
			x.untouched()
		})
	})
	t.Run("break", func(t *testing.T) {
		ten(t, s, func(_ *testing.T, x *scene, protocol int) {
			c := x.behind(protocol)
			l := x.acquire(x.look)
			f := x.proxy.HoldRequest(requests("break", x.key()))
			if fence, err := c.Break(context.Background(), x.name, "a test"); err != nil || fence != l.Fence() {
				x.Errorf("Break = %d, %v", fence, err)
			}
			x.lost(l, redislock.ErrStolen)
			next := x.acquire(x.look)
			f.Deliver()
			x.within("the late copy is executed", f.Executed())
			x.holds(next)
			x.release(next)
			x.untouched()
		})
	})
}

// A weak wait that ends while a try is on its way is over because the lock is held, as the try before it said.
func TestAWeakWaitThatEndsInTheMiddleOfATryIsHeld(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for name, call := range map[string]func(ctx context.Context, end func(), c *redislock.Client, name string) error{
		"by WithWait": func(ctx context.Context, _ func(), c *redislock.Client, name string) error {
			_, err := c.AcquireWeak(ctx, name, redislock.WithWait(500*time.Millisecond))
			return err
		},
		"by its context": func(ctx context.Context, end func(), c *redislock.Client, name string) error {
			time.AfterFunc(500*time.Millisecond, end)
			_, err := c.AcquireWeak(ctx, name)
			if !errors.Is(err, context.Canceled) {
				return fmt.Errorf("not the context's error: %w", err)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newScene(t, s)
			held, err := x.look.AcquireWeak(context.Background(), x.name)
			if err != nil {
				t.Fatal(err)
			}
			tries := 0
			f := x.proxy.HoldRequest(func(args []string) bool {
				if args[0] == "set" {
					tries++
				}
				return tries == 2
			})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if err := call(ctx, cancel, x.on(x.proxy.Connect()), x.name); !errors.Is(err, redislock.ErrHeld) {
				t.Errorf("%v, want ErrHeld", err)
			}
			x.within("the try was caught", f.Caught())
			f.Deliver()
			if err := held.Release(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}
