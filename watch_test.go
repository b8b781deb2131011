package redislock_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// seen is what somebody who watches has seen last.
type seen struct {
	redislock.Info
	err error
}

// watch watches a lock until the test ends.
func (e *env) watch(c *redislock.Client, name string) <-chan seen {
	e.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	all, done := make(chan seen, 1000), make(chan struct{})
	go func() {
		defer close(done)
		for info, err := range c.Watch(ctx, name) {
			all <- seen{info, err}
		}
		close(all)
	}()
	e.Cleanup(func() {
		cancel()
		<-done
	})
	return all
}

// until is the first state that is as wanted, and how many came before it.
func (e *env) until(all <-chan seen, what string, is func(redislock.Info) bool) redislock.Info {
	e.Helper()
	timeout := time.After(5 * time.Second)
	for {
		select {
		case s, open := <-all:
			switch {
			case !open:
				e.stop(errors.New("the sequence has ended before: " + what))
			case s.err == nil && is(s.Info):
				return s.Info
			}
		case <-timeout:
			e.stop(errors.New("not seen within five seconds: " + what))
		}
	}
}

func free(i redislock.Info) bool { return i.Holders == 0 }

func heldBy(client string) func(redislock.Info) bool {
	return func(i redislock.Info) bool { return i.Holders == 1 && i.Holds[0].Owner.Client == client }
}

func TestWatchIsToldOfEveryChange(t *testing.T) {
	both(t, func(e *env) {
		a, b, watcher := e.client(redislock.WithName("a")), e.client(redislock.WithName("b")), e.client()
		all := e.watch(watcher, "odd {name}%")
		e.until(all, "nobody", free)
		l := e.acquire(a, "odd {name}%")
		e.until(all, "a has it", heldBy("a"))
		next := make(chan *redislock.Lock, 1)
		go func() { next <- e.acquire(b, "odd {name}%") }()
		e.until(all, "b waits", func(i redislock.Info) bool { return i.Waiting == 1 && i.Places[0].Owner.Client == "b" })
		e.release(l)
		e.until(all, "b has it", heldBy("b"))
		second := <-next
		if _, err := watcher.Break(context.Background(), "odd {name}%", "test"); err != nil {
			t.Error(err)
		}
		e.until(all, "it was broken", free)
		if err := second.Release(context.Background()); !errors.Is(err, redislock.ErrStolen) {
			t.Errorf("release after Break: %v", err)
		}
		// A hold that is as short as can be, of a lock that nobody waits for: released by one command that is no script.
		before := e.until(e.watch(watcher, "odd {name}%"), "nobody", free).Fence
		e.release(e.acquire(a, "odd {name}%"))
		e.until(all, "it came and went", func(i redislock.Info) bool { return i.Fence > before && free(i) })
	})
}

func TestWhoWatchesSeesSharedModesChangesAndSteals(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c, watcher := e.client(), e.client()
		all := e.watch(watcher, "x")
		one := e.acquire(c, "x", redislock.WithMode(redislock.Read))
		two := e.acquire(c, "x", redislock.WithMode(redislock.Read))
		e.until(all, "two readers", func(i redislock.Info) bool { return i.Holders == 2 })
		e.release(two)
		e.until(all, "one reader", func(i redislock.Info) bool { return i.Holders == 1 })
		if err := one.Upgrade(ctx); err != nil {
			t.Fatal(err)
		}
		e.until(all, "a writer", func(i redislock.Info) bool { return i.Holders == 1 && i.Holds[0].Mode == redislock.Write })
		time.Sleep(redislock.MinLease)
		if _, err := c.TryAcquire(ctx, "x", redislock.WithStealAfter(redislock.MinLease)); !errors.Is(err, redislock.ErrHeld) {
			t.Errorf("the thief: %v", err)
		}
		e.eventually("the holder knows", func() bool { return ended(one.Context()) })
		e.until(all, "it was stolen", free)
		_ = one.Release(ctx)
	})
}

func TestAHoldThatLapsesIsSeenToEnd(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		all := e.watch(e.client(), "x")
		e.until(all, "nobody", free)
		due := e.dead("x", 3*time.Second)
		e.until(all, "somebody", func(i redislock.Info) bool { return i.Holders == 1 })
		e.until(all, "nobody", free)
		if late := time.Since(due); late < 0 || late > 100*time.Millisecond {
			t.Errorf("seen %v after the end of the lease", late)
		}
	})
}

func TestAHoldThatIsRevokedAndNotGivenUpIsSeen(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		c := e.client()
		e.dead("x", time.Minute)
		all := e.watch(e.client(), "x")
		e.until(all, "somebody", func(i redislock.Info) bool { return i.Holders == 1 && !i.Holds[0].Revoked })
		time.Sleep(time.Second)
		_, _ = c.TryAcquire(context.Background(), "x", redislock.WithStealAfter(time.Second))
		began := time.Now()
		e.until(all, "it was stolen", func(i redislock.Info) bool { return i.Holders == 1 && i.Holds[0].Revoked })
		if late := time.Since(began); late > 100*time.Millisecond {
			t.Errorf("seen after %v", late)
		}
	})
}

func TestWhoWatchesALockThatIsBusyIsToldOnceALook(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		c := e.client()
		all := e.watch(e.client(), "x")
		e.until(all, "nobody", free)
		heard := e.raw.Subscribe(context.Background(), "redislock:n")
		defer heard.Close()
		messages := heard.Channel()
		time.Sleep(time.Second)
		began := time.Now()
		for range 500 {
			e.release(e.acquire(c, "x"))
		}
		took := time.Since(began)
		time.Sleep(time.Second)
		looks := 0
		for len(all) > 0 {
			<-all
			looks++
		}
		if most := int(took/(50*time.Millisecond)) + 2; len(messages) > most || len(messages) == 0 {
			t.Errorf("1000 changes in %v were told by %d messages, at most %d", took, len(messages), most)
		}
		if looks == 0 {
			t.Error("nothing was seen")
		}
	})
}

func TestWatchGoesOnWhenRedisIsBack(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		own := &fakenet.Network{Dial: e.mini.Dial}
		c, watcher := e.client(), e.clientOn(own)
		all := e.watch(watcher, "x")
		e.until(all, "nobody", free)
		own.Cut()
		l := e.acquire(c, "x")
		for s := range all {
			if s.err != nil {
				break
			}
		}
		own.Mend()
		e.until(all, "it is held", func(i redislock.Info) bool { return i.Holders == 1 })
		for len(all) > 0 {
			<-all
		}
		time.Sleep(time.Minute) // the subscription is there again
		e.release(l)
		now := time.Now()
		e.until(all, "it is free", free)
		if late := time.Since(now); late > 200*time.Millisecond {
			t.Errorf("told %v after the release", late)
		}
	})
}

func TestWatchEndsWhereItCannotGoOn(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		for what, all := range map[string]<-chan seen{
			"no name":       e.watch(c, ""),
			"too long":      e.watch(c, strings.Repeat("x", redislock.MaxName+1)),
			"closed Client": nil,
		} {
			want := redislock.ErrInvalid
			if all == nil {
				all, want = e.watch(c, "x"), redislock.ErrClosed
				<-all
				if err := c.Close(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			if s := <-all; !errors.Is(s.err, want) {
				t.Errorf("%s: %+v", what, s)
			}
			if s, open := <-all; open {
				t.Errorf("%s: then %+v", what, s)
			}
			c = e.client()
		}
	})
}

func TestALockThatIsNotWatchedAnyMoreIsAsFastAsBefore(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		l := e.acquire(c, "x")
		for range c.Watch(context.Background(), "x") {
			break
		}
		e.release(l) // which is told, and so the last
		if all := e.raw.HGetAll(context.Background(), "redislock:{x}").Val(); len(all) != 1 {
			t.Errorf("the hash has %q, not the fence alone", all)
		}
		for range c.Watch(context.Background(), "never used") {
			break
		}
		if e.raw.PTTL(context.Background(), "redislock:{never used}").Val() <= 0 {
			t.Error("a key without an expiry (I4)")
		}
		l = e.acquire(c, "never used")
		if e.raw.PTTL(context.Background(), "redislock:{never used}").Val() <= 0 {
			t.Error("a lock without an expiry (I4)")
		}
		e.release(l)
		if e.raw.PTTL(context.Background(), "redislock:{never used}").Val() <= 0 {
			t.Error("an idle lock without an expiry (I4)")
		}
		if all := e.raw.HGetAll(context.Background(), "redislock:{never used}").Val(); len(all) != 1 {
			t.Errorf("the hash has %q, not the fence alone", all)
		}
	})
}

func TestForgedNewsOnlyHasSomebodyLook(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		all := e.watch(c, "x")
		e.until(all, "nobody", free)
		for _, forged := range []string{"vx", "v", "v{", "", "vx\x00", "a", "s"} {
			e.raw.Publish(context.Background(), "redislock:n", forged)
		}
		time.Sleep(time.Second)
		if len(all) > 0 {
			t.Errorf("it yields %+v, and nothing has changed", <-all)
		}
		if found := lockNames(e.list(c, "")); !slices.Equal(found, nil) {
			t.Errorf("there is %q", found)
		}
	})
}
