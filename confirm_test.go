package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
	"example.com/redislock/internal/servertest"
)

// now is the server's clock.
func (e *env) now() time.Time {
	e.Helper()
	now, err := e.raw.Time(context.Background()).Result()
	if err != nil {
		e.Fatal(err)
	}
	return now
}

// ahead sets the last fence of a name to a time in the future, as a clock that was ahead leaves it.
func (e *env) ahead(name string, by time.Duration) int64 {
	e.Helper()
	ctx, key, fence := context.Background(), "redislock:{"+name+"}", e.now().Add(by).UnixMicro()
	if err := e.raw.HSet(ctx, key, "f", fmt.Sprintf("%016d", fence)).Err(); err != nil {
		e.Fatal(err)
	}
	e.raw.Expire(ctx, key, 2*time.Hour)
	return fence
}

// forgetful is a server that has lost a name's data, and whose clock is an hour behind the fences that c has seen. It
// returns the greatest of those fences.
func (e *env) forgetful(c *redislock.Client, name string) int64 {
	e.Helper()
	e.ahead(name, time.Hour)
	l := e.acquire(c, name)
	e.release(l)
	if n := e.raw.Del(context.Background(), "redislock:{"+name+"}").Val(); n != 1 {
		e.Fatalf("%d keys were lost", n)
	}
	return l.Fence()
}

// above fails unless a lock is held with a fence greater than the given one, on the server too.
func (e *env) above(l *redislock.Lock, seen int64) {
	e.Helper()
	info, err := e.client().Inspect(context.Background(), l.Name())
	if err != nil {
		e.stop(err)
	}
	known := false
	for _, h := range info.Holds {
		known = known || h.Fence == l.Fence()
	}
	if l.Fence() <= seen || !known || l.Err() != nil {
		e.Errorf("I2: fence %d after %d, %v; the server has %+v", l.Fence(), seen, l.Err(), info.Holds)
	}
}

// Data was lost and the clock is behind: what the Client has seen keeps its fences rising, however the lock comes.
func TestI2AFenceIsGreaterThanAllThatItsClientHasSeen(t *testing.T) {
	for name, test := range map[string]func(e *env){
		"at once": func(e *env) {
			c := e.client()
			seen := e.forgetful(c, "x")
			l := e.acquire(c, "x")
			e.above(l, seen)
			e.release(l)
			next := e.acquire(e.client(), "x")
			e.above(next, l.Fence()) // from now on the server remembers
			e.release(next)
		},
		"with a retention of its own": func(e *env) {
			c := e.client(redislock.WithRetention(2 * time.Hour))
			seen := e.forgetful(c, "x")
			l := e.acquire(c, "x")
			e.above(l, seen)
			e.release(l)
			e.raw.Del(context.Background(), "redislock:{x}")
		},
		"by message": func(e *env) {
			c, other := e.client(), e.client()
			seen := e.forgetful(c, "x")
			first := e.acquire(other, "x")
			w := e.waiter(c, "x", redislock.WithLease(2*time.Second))
			e.queued(other, "x", 1)
			e.release(first)
			l := <-w
			e.above(l, seen)
			time.Sleep(3 * time.Second) // renewed under its new fence
			e.above(l, seen)
			e.release(l)
		},
		"as a reader beside others": func(e *env) {
			c, other := e.client(), e.client()
			seen := e.forgetful(c, "x")
			first := e.acquire(other, "x", reading)
			l := e.acquire(c, "x", reading)
			last := e.acquire(other, "x", reading)
			e.above(l, seen)
			e.above(last, l.Fence())
			e.release(l)
			e.release(first)
			e.release(last)
		},
		"as a reader that came in before another": func(e *env) {
			c, other := e.client(), e.client()
			first := e.acquire(other, "x")
			w := e.waiter(other, "x", reading)
			e.queued(other, "x", 1)
			seen := e.ahead("x", time.Hour)
			if _, err := c.Inspect(context.Background(), "x"); err != nil {
				t.Fatal(err)
			}
			e.raw.HSet(context.Background(), "redislock:{x}", "f", fmt.Sprintf("%016d", first.Fence()))
			v := e.waiter(c, "x", reading)
			e.queued(other, "x", 2)
			e.release(first) // grants both
			l := <-v
			e.above(l, seen)
			e.release(l)
			e.release(<-w)
		},
		"by a handoff": func(e *env) {
			c, other := e.client(), e.client()
			seen := e.forgetful(c, "x")
			ticket, err := e.acquire(other, "x", reading).Handoff()
			if err != nil {
				t.Fatal(err)
			}
			l, err := c.Resume(context.Background(), ticket)
			if err != nil {
				t.Fatal(err)
			}
			e.above(l, seen)
			e.release(l)
		},
		"by an upgrade": func(e *env) {
			c := e.client()
			l := e.acquire(c, "x", reading)
			low := l.Fence()
			seen := e.ahead("x", time.Hour)
			if _, err := c.Inspect(context.Background(), "x"); err != nil {
				t.Fatal(err)
			}
			e.raw.HSet(context.Background(), "redislock:{x}", "f", fmt.Sprintf("%016d", low))
			e.change(l.Upgrade)
			e.above(l, seen)
			e.change(l.Downgrade)
			e.release(l)
		},
		"after what Break has shown": func(e *env) {
			c, other := e.client(), e.client()
			e.ahead("x", time.Hour)
			first := e.acquire(other, "x")
			seen, err := c.Break(context.Background(), "x", "test")
			if err != nil || seen != first.Fence() {
				t.Fatalf("Break: %d, %v", seen, err)
			}
			<-first.Context().Done()
			_ = first.Release(context.Background()) // it is lost
			e.raw.Del(context.Background(), "redislock:{x}")
			l := e.acquire(c, "x")
			e.above(l, seen)
			e.release(l)
		},
		"for what a resource has seen": func(e *env) {
			c := e.client()
			e.release(e.acquire(c, "x"))
			seen := e.now().Add(time.Hour).UnixMicro()
			l := e.acquire(c, "x", redislock.WithFenceFloor(seen), redislock.WithLease(3*time.Second))
			e.above(l, seen)
			time.Sleep(4 * time.Second)
			e.above(l, seen)
			e.release(l)
			next := e.acquire(e.client(), "x", redislock.WithFenceFloor(seen))
			e.above(next, l.Fence())
			e.release(next)
		},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(e *env) {
				test(e)
				e.untouched("x")
			})
		})
	}
}

func TestI2FencesRiseWhenDataIsLostAndTheClockIsSetBack(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		last := int64(0)
		for range 3 {
			l := e.acquire(c, "x")
			e.above(l, last)
			last = l.Fence()
			e.release(l)
			e.raw.FlushAll(context.Background())
			e.mini.SetTime(e.now().Add(-time.Hour))
		}
	})
}

// A check finds the grant whose message was lost, and the fence is lifted like any other.
func TestI2AFenceThatACheckHasFoundIsLiftedToo(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	c := x.behind(3)
	x.release(x.acquire(c, redislock.WithFenceFloor(x.inspect().Now.Add(time.Hour).UnixMicro())))
	seen := x.last
	x.raw.Del(context.Background(), x.key())
	x.last = 0
	holder := x.acquire(x.beside())
	w := x.waiting(c)
	x.queued(1)
	if x.proxy.MuteSubscriptions() != 1 {
		x.Error("the waiter is not subscribed")
	}
	x.release(holder)
	if l := x.got(w); l.Fence() <= seen {
		x.Errorf("I2: fence %d after %d", l.Fence(), seen)
	} else {
		x.release(l)
	}
	x.untouched()
}

func TestAFloorThatIsTooFarAheadIsRefusedAndLeavesNothing(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(), e.client()
		ctx := context.Background()
		near, far := e.now().Add(23*time.Hour).UnixMicro(), e.now().Add(25*time.Hour).UnixMicro()
		for range 2 {
			if l, err := c.Acquire(ctx, "x", redislock.WithFenceFloor(far)); !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("25 h ahead: %v, %v", l, err)
			}
			e.untouched("x")
		}
		r := e.acquire(other, "x", reading)
		if l, err := c.Acquire(ctx, "x", reading, redislock.WithFenceFloor(far)); !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("25 h ahead, beside another: %v, %v", l, err)
		}
		e.release(r)
		l := e.acquire(other, "x")
		if l.Fence() >= near {
			e.Errorf("what was refused has moved the fences: %d", l.Fence())
		}
		w := make(chan error, 1)
		go func() {
			_, err := c.Acquire(ctx, "x", redislock.WithFenceFloor(far))
			w <- err
		}()
		e.queued(other, "x", 1)
		e.release(l)
		if err := <-w; !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("25 h ahead, by message: %v", err)
		}
		e.untouched("x")
		l = e.acquire(c, "x", redislock.WithFenceFloor(near))
		e.above(l, near)
		e.release(l)
		e.untouched("x")
	})
}

// A fence farther ahead than clocks can be was written by somebody else. It is not believed, and the server is asked
// about it once.
func TestAPoisonedFenceIsForgottenWithTheData(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	ctx := context.Background()
	confirms := x.confirmations()
	c := x.behind(3)
	x.raw.HSet(ctx, x.key(), "f", "8999999999999999")
	if _, err := c.Inspect(ctx, x.name); err != nil {
		t.Fatal(err)
	}
	x.raw.Del(ctx, x.key())
	limit := x.inspect().Now.Add(time.Hour).UnixMicro()
	for range 3 {
		l := x.acquire(c)
		if l.Fence() > limit {
			t.Errorf("fence %d: it was believed", l.Fence())
		}
		x.release(l)
	}
	if n := confirms.Load(); n != 1 {
		t.Errorf("%d requests about it, want 1", n)
	}
	x.untouched()
}

// confirmations counts the confirmations that pass the proxy from now on.
func (x *scene) confirmations() *atomic.Int64 {
	var n atomic.Int64
	matches := requests("confirm", x.key())
	x.proxy.SwallowReply(func(args []string) bool { // it loses nothing, and only counts
		if matches(args) {
			n.Add(1)
		}
		return false
	}, 1)
	return &n
}

// The floor costs nothing on a server that has kept its data, even if others look at the lock meanwhile.
func TestAGrantAboveTheFloorIsNotConfirmed(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	ctx := context.Background()
	x.readTimeout = 3 * time.Second
	confirms := x.confirmations()
	c := x.behind(3)
	looking, stop := context.WithCancel(ctx)
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		for looking.Err() == nil {
			if _, err := c.Inspect(ctx, x.name); err != nil {
				t.Error(err)
			}
		}
	}()
	for range 20 {
		l := x.acquire(c, redislock.WithFenceFloor(x.last))
		var waiting []*attempt
		for i, opt := range []redislock.Option{writing, reading, reading, reading, writing} {
			waiting = append(waiting, x.waiting(c, opt))
			x.queued(i + 1)
		}
		x.release(l)
		x.release(x.share(waiting[0]))
		for _, w := range waiting[1:4] {
			x.within("a reader", w.done)
			if w.err != nil {
				t.Fatal(w.err)
			}
		}
		for _, w := range waiting[1:4] {
			x.last = max(x.last, w.lock.Fence())
			x.release(w.lock)
		}
		l = x.share(waiting[4])
		x.downgrade(l)
		x.upgrade(l)
		ticket := x.handoff(l)
		x.release(x.resume(c, ticket))
	}
	stop()
	<-looked
	if n := confirms.Load(); n != 0 {
		t.Errorf("%d confirmations, want none", n)
	}
	x.untouched()
}

func TestAFloorIsOfOneNameAndOfAGrant(t *testing.T) {
	both(t, func(e *env) {
		if _, err := redislock.New(e.connect(), redislock.WithDefaults(redislock.WithFenceFloor(1))); !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("as a default: %v", err)
		}
		c := e.client()
		ticket, err := e.acquire(c, "x").Handoff()
		if err != nil {
			e.Fatal(err)
		}
		if _, err := c.Resume(context.Background(), ticket, redislock.WithFenceFloor(1)); !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("of a resumed hold: %v", err)
		}
		l, err := c.Resume(context.Background(), ticket)
		if err != nil {
			e.Fatalf("the ticket was spent by that: %v", err)
		}
		e.release(l)
	})
}
