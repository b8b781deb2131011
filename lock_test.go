package redislock_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

func TestALockIsRenewedAsLongAsItIsHeld(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		var seen recorder
		c, other := e.client(redislock.WithObserver(&seen)), e.client()
		l := e.acquire(c, "x", redislock.WithLease(3*time.Second))
		time.Sleep(10 * time.Minute)
		if _, err := other.TryAcquire(context.Background(), "x"); !errors.Is(err, redislock.ErrHeld) || l.Err() != nil {
			e.Errorf("after ten minutes: %v, the holder says %v", err, l.Err())
		}
		if n := seen.count(redislock.EventRenewed); n < 590 || n > 620 {
			e.Errorf("%d renewals of a lease of 3s in 600s, one a second is due", n)
		}
		e.release(l)
		n := seen.count(redislock.EventRenewed)
		time.Sleep(time.Minute)
		if seen.count(redislock.EventRenewed) != n {
			e.Error("renewal lives on after the release")
		}
	})
}

func TestI7TheContextEndsBeforeTheLeaseWhenRedisDoesNotAnswer(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Millisecond, 40 * time.Millisecond} {
		embedded(t, delay, func(e *env, n *fakenet.Network) {
			c := e.client()
			l := e.acquire(c, "x", redislock.WithLease(time.Second))
			time.Sleep(1700 * time.Millisecond)
			n.Cut()
			info, err := redislock.New(e.raw)
			if err != nil {
				e.Fatal(err)
			}
			state, err := info.Inspect(context.Background(), "x")
			if err != nil || len(state.Holds) != 1 {
				e.Fatalf("%+v, %v", state, err)
			}
			<-l.Context().Done()
			// The packets under way when the network was cut are lost, so the server's deadline is the last one.
			if now := time.Now(); !now.Before(state.Holds[0].Deadline) {
				e.Errorf("delay %v: the context ended at %v, the lease at %v", delay, now, state.Holds[0].Deadline)
			} else if early := state.Holds[0].Deadline.Sub(now); early > 2*delay+15*time.Millisecond {
				e.Errorf("delay %v: the context ended %v too early", delay, early)
			}
			if cause := context.Cause(l.Context()); !errors.Is(cause, redislock.ErrLost) || errors.Is(cause, redislock.ErrStolen) {
				e.Errorf("cause %v", cause)
			}
			if err := l.Err(); !errors.Is(err, redislock.ErrLost) {
				e.Errorf("Err is %v", err)
			}
			n.Mend()
			if err := l.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrLost) {
				e.Errorf("Release of a lost lock: %v", err)
			}
			e.untouched("x")
		})
	}
}

func TestRenewalSurvivesErrorsUntilTheDeadline(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, n *fakenet.Network) {
		var seen recorder
		c := e.client(redislock.WithObserver(&seen))
		l := e.acquire(c, "x", redislock.WithLease(6*time.Second))
		for range 20 {
			time.Sleep(time.Second)
			e.mini.SetError("LOADING Redis is loading the dataset in memory")
			time.Sleep(3 * time.Second)
			e.mini.SetError("")
		}
		if l.Err() != nil {
			e.Errorf("lost by errors that passed: %v", l.Err())
		}
		if seen.count(redislock.EventRenewalFailed) == 0 {
			e.Error("no renewal failed, so this test shows nothing")
		}
		for range 20 { // connections that go mute: a stuck batch must not hold up the next
			time.Sleep(time.Second)
			n.Cut()
			time.Sleep(2 * time.Second)
			n.Mend()
		}
		if l.Err() != nil {
			e.Errorf("lost by a network that came back: %v", l.Err())
		}
		e.release(l)
	})
}

func TestWithoutRenewalTheLeaseIsFinal(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(), e.client()
		start := time.Now()
		l := e.acquire(c, "x", redislock.WithLease(400*time.Millisecond), redislock.WithoutRenewal())
		next := e.acquire(other, "x")
		if took := time.Since(start); took < 389*time.Millisecond { // less the clock margin
			e.Errorf("I1: taken over after %v, the lease is 400ms", took)
		}
		if err := l.Err(); !errors.Is(err, redislock.ErrLost) {
			e.Errorf("the first holder says %v", err)
		}
		if err := l.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) {
			e.Errorf("its release: %v", err)
		}
		if next.Err() != nil {
			e.Errorf("I1: a late release took it from its owner: %v", next.Err())
		}
		if _, err := c.TryAcquire(context.Background(), "x"); !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("I1: after a late release the lock is %v", err)
		}
		e.release(next)
	})
}

func TestWithoutRenewalAClaimBecomesAWholeLease(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		a, b := e.client(), e.client()
		l := e.acquire(a, "x")
		got := make(chan *redislock.Lock)
		go func() {
			got <- e.acquire(b, "x", redislock.WithLease(time.Minute), redislock.WithoutRenewal())
		}()
		e.queued(a, "x", 1)
		e.release(l)
		start := time.Now()
		next := <-got
		time.Sleep(59 * time.Second)
		if err := next.Err(); err != nil {
			e.Errorf("lost after %v of a minute: %v", time.Since(start), err)
		}
		<-next.Context().Done()
		if held := time.Since(start); held > 62*time.Second {
			e.Errorf("renewed although it should not be: held for %v", held)
		}
		_ = next.Release(context.Background())
	})
}

func TestWithoutRenewalAShortLeaseGrantedByMessageIsFinalToo(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		a, b := e.client(), e.client()
		l := e.acquire(a, "x")
		got := make(chan *redislock.Lock)
		go func() { got <- e.acquire(b, "x", redislock.WithLease(time.Second), redislock.WithoutRenewal()) }()
		e.queued(a, "x", 1)
		e.release(l)
		start := time.Now()
		next := <-got
		<-next.Context().Done()
		if held := time.Since(start); held > time.Second {
			e.Errorf("a final lease of 1s was held for %v", held)
		}
		_ = next.Release(context.Background())
	})
}

func TestWithMaxHoldEndsTheLockForGood(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(), e.client()
		start := time.Now()
		l := e.acquire(c, "x", redislock.WithLease(time.Second), redislock.WithMaxHold(2*time.Second))
		<-l.Context().Done()
		if held := time.Since(start); held < 1950*time.Millisecond || e.mini != nil && held > 2*time.Second {
			e.Errorf("held for %v", held)
		}
		if err := l.Err(); !errors.Is(err, redislock.ErrLost) {
			e.Errorf("ended with %v", err)
		}
		next := e.acquire(other, "x") // it was given up
		if err := l.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) {
			e.Errorf("its release: %v", err)
		}
		e.release(next)
		e.untouched("x")
	})
}

func TestADeadHolderCostsItsRemainingLeaseAndMilliseconds(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		other := e.client()
		dead := e.dead("x", 10*time.Second)
		l := e.acquire(other, "x")
		if late := time.Since(dead); late < 0 || late > 20*time.Millisecond {
			e.Errorf("taken over %v after the lease of the dead holder ended", late)
		}
		e.release(l)
	})
}

func TestI6ErrReadsTheClock(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		l := e.acquire(e.client(redislock.WithClockMargin(50*time.Millisecond)), "x", redislock.WithLease(time.Second), redislock.WithoutRenewal())
		time.Sleep(948 * time.Millisecond) // a thousandth of the lease comes on top of the margin
		if err := l.Err(); err != nil {
			e.Errorf("lost too early: %v", err)
		}
		time.Sleep(2 * time.Millisecond)
		if err := l.Err(); !errors.Is(err, redislock.ErrLost) {
			e.Errorf("within the clock margin: %v", err)
		}
		_ = l.Release(context.Background())
	})
}

type valueKey string

// Repeated calls with a lock that is held for long, under a context that does not end, keep no memory.
func TestNothingGrowsWithUse(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		l := e.acquire(c, "long")
		nested, err := c.Acquire(l.Context(), "long")
		if err != nil {
			e.Fatal(err)
		}
		all, err := c.AcquireAll(ctx, []string{"a", "b"})
		if err != nil {
			e.Fatal(err)
		}
		changing := e.acquire(c, "changing", redislock.WithMode(redislock.Read))
		for name, use := range map[string]func() error{
			"With": func() error { return l.With(context.WithValue(ctx, valueKey("a"), 1)).Err() },
			"With, selected": func() error {
				select {
				case <-l.With(ctx).Done():
				default:
				}
				return nil
			},
			"With, a child of it": func() error {
				child, cancel := context.WithCancel(l.With(ctx))
				cancel()
				_ = child
				return nil
			},
			"With, nested":     func() error { return nested.With(ctx).Err() },
			"With, of several": func() error { return all.With(ctx).Err() },
			"With, background": func() error { return l.With(context.Background()).Err() },
			"contexts that end": func() error {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				return l.With(ctx).Err()
			},
			"Context": func() error { return nested.Context().Err() },
			"nested": func() error {
				return c.Do(l.With(ctx), "long", func(ctx context.Context) error { return ctx.Err() })
			},
			"several, nested": func() error {
				return c.DoAll(all.With(ctx), []string{"a", "b"}, func(ctx context.Context) error { return ctx.Err() })
			},
			"another lock": func() error {
				return c.DoAll(l.With(ctx), []string{"c", "d"}, func(ctx context.Context) error { return ctx.Err() })
			},
			"upgrade": func() error {
				if err := changing.Upgrade(ctx); err != nil {
					return err
				}
				return changing.Downgrade(ctx)
			},
			"election": func() error {
				over := fmt.Errorf("over")
				if err := c.Elect(ctx, "e", func(context.Context) error { return over }); err == nil {
					return fmt.Errorf("no error")
				}
				return nil
			},
			"watch": func() error {
				for range c.Watch(ctx, "x") {
					break
				}
				return nil
			},
			"weak": func() error {
				w, err := c.AcquireWeak(ctx, "w")
				if err != nil {
					return err
				}
				return w.Release(ctx)
			},
			"turns": func() error {
				busy, err := c.Acquire(ctx, "turn", redislock.WithTurn(time.Second))
				if err != nil {
					return err
				}
				next := make(chan error)
				go func() {
					l, err := c.Acquire(ctx, "turn", redislock.WithTurn(time.Second))
					if err == nil {
						err = l.Release(ctx)
					}
					next <- err
				}()
				time.Sleep(time.Millisecond)
				return errors.Join(busy.Release(ctx), <-next)
			},
			"readers, beside a writer": func() error {
				reading := []redislock.Option{redislock.WithMode(redislock.Read), redislock.WithTurn(time.Second)}
				one, err := c.Acquire(ctx, "read", reading...)
				if err != nil {
					return err
				}
				written := make(chan error)
				go func() { written <- c.Do(ctx, "read", func(ctx context.Context) error { return ctx.Err() }) }()
				time.Sleep(time.Millisecond)
				late := make(chan error)
				go func() { late <- c.Do(ctx, "read", func(ctx context.Context) error { return ctx.Err() }, reading...) }()
				time.Sleep(time.Millisecond)
				return errors.Join(one.Release(ctx), <-written, <-late)
			},
			"a limit": func() error {
				return errors.Join(c.SetLimit(ctx, "limited", time.Minute, redislock.AtMost(1, "semaphore")), c.SetLimit(ctx, "limited", time.Minute))
			},
		} {
			e.keepsNothing(name, use, func() {
				time.Sleep(2 * time.Minute) // records are forgotten, and tombstones
				_ = c.Do(ctx, "changing", func(context.Context) error { return nil }, redislock.WithMode(redislock.Read))
			})
		}
		e.release(changing)
		if err := all.Release(ctx); err != nil {
			e.Error(err)
		}
		e.release(nested)
		e.release(l)
	})
}

// A name that the process takes in turns is forgotten when it is not used any more.
func TestNothingGrowsWithNamesThatAreTakenInTurns(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		ctx := context.Background()
		number := 0
		e.keepsNothing("turns and linger", func() error {
			number++
			name := fmt.Sprint("turn/", number)
			return c.Do(ctx, name, func(ctx context.Context) error { return ctx.Err() }, redislock.WithTurn(time.Second), redislock.WithLinger(time.Millisecond))
		}, func() {
			time.Sleep(100 * time.Minute)                                      // Redis forgets them
			_ = c.Do(ctx, "other", func(context.Context) error { return nil }) // the embedded server looks at its clock then
		})
	})
}

// keepsNothing fails if the repeated call keeps memory. pause is the time after which Redis and the Clients have forgotten
// everything.
func (e *env) keepsNothing(what string, use func() error, pause func()) {
	e.Helper()
	const rounds, each = 200, 300 // of bytes: a context that is tied to another takes more
	var grown int
	for range 5 { // what is allocated once, and what others do meanwhile
		before := heap()
		for range rounds {
			if err := use(); err != nil {
				e.Fatalf("%s: %v", what, err)
			}
		}
		pause()
		if grown = heap() - before; grown < rounds*each {
			break
		}
	}
	if grown >= rounds*each {
		e.Errorf("%s: %d bytes a time", what, grown/rounds)
	}
}

// With has the values of its own context and no other's, and ends with the first of the two.
func TestWithIsItsOwnContextAndEndsWithTheLock(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		ctx, cancel := context.WithCancelCause(context.Background())
		defer cancel(nil)
		asked := context.WithValue(context.Background(), valueKey("asked"), 1)
		l, err := c.Acquire(asked, "x")
		if err != nil {
			e.Fatal(err)
		}
		one := l.With(context.WithValue(ctx, valueKey("one"), 1))
		two := l.With(context.WithValue(ctx, valueKey("two"), 2))
		free := l.With(context.WithValue(context.Background(), valueKey("two"), 2))
		deadline, done := context.WithTimeout(ctx, time.Hour)
		defer done()
		three := l.With(deadline)
		if one.Value(valueKey("one")) != 1 || two.Value(valueKey("two")) != 2 {
			e.Error("a value is missing")
		}
		for _, other := range []context.Context{two, free, three} {
			for _, key := range []valueKey{"one", "asked"} {
				if other.Value(key) != nil {
					e.Errorf("%s is another's", key)
				}
			}
			if of, _ := redislock.FromContext(other); of != l {
				e.Errorf("it carries %v", of)
			}
		}
		if _, bounded := two.Deadline(); bounded {
			e.Error("another's deadline")
		}
		if at, bounded := three.Deadline(); !bounded || time.Until(at) != time.Hour {
			e.Error("no deadline")
		}
		child, stop := context.WithCancel(free)
		defer stop()
		cause := fmt.Errorf("over")
		cancel(cause)
		if one.Err() == nil || two.Err() == nil || three.Err() == nil || context.Cause(two) != cause || free.Err() != nil {
			e.Errorf("after its end: %v, %v, %v, %v", one.Err(), two.Err(), context.Cause(two), free.Err())
		}
		if late := l.With(ctx); late.Err() == nil || context.Cause(late) != cause {
			e.Error("one that has ended before")
		}
		alive, alsoDone := context.WithCancel(context.Background())
		defer alsoDone()
		later := l.With(alive)
		e.release(l)
		for _, ended := range []context.Context{free, child, later, l.With(context.Background()), l.With(alive)} {
			e.ends(ended)
			if got := context.Cause(ended); got != redislock.ErrReleased {
				e.Errorf("after the release: %v", got)
			}
		}
	})
}

// insider may read keys and publish.
type insider struct{ *env }

// place is the token of the only waiter for a lock, and its channel.
func (i insider) place(name string) (token, channel string) {
	i.Helper()
	for field := range i.raw.HGetAll(context.Background(), "redislock:{"+name+"}").Val() {
		switch field[0] {
		case 'w':
			token = field[1:]
		case 'c':
			channel = field[1:]
		}
	}
	if token == "" || channel == "" {
		i.stop(errors.New("nobody waits"))
	}
	return token, channel
}

// hold is the token of the only holder, and its nonce and channel.
func (i insider) hold(name string) (token, nonce, channel string) {
	i.Helper()
	for field, value := range i.raw.HGetAll(context.Background(), "redislock:{"+name+"}").Val() {
		if len(field) == 22 {
			return field, value[16:32], value[33:strings.IndexByte(value, '\n')]
		}
	}
	i.stop(errors.New("nobody holds it"))
	return "", "", ""
}

func (i insider) tell(channel, message string) {
	i.Helper()
	if err := i.raw.Publish(context.Background(), channel, message).Err(); err != nil {
		i.stop(err)
	}
}

// A forged grant gains no more than the true one that it imitates: a claim, whose first renewal finds the truth.
func TestAForgedGrantIsNoMoreThanAClaim(t *testing.T) {
	for _, c := range []struct {
		name    string
		lease   time.Duration // that is asked for
		within  time.Duration // the longest that it may be believed
		message func(now time.Time) string
	}{
		{"a lease of 27 hours", time.Hour, 5 * time.Second, func(now time.Time) string {
			return fmt.Sprintf("%016d%016d%8d", now.UnixMicro(), now.UnixMicro(), 99999999)
		}},
		{"in the future", time.Hour, 5 * time.Second, func(now time.Time) string {
			later := now.Add(23 * time.Hour).UnixMicro()
			return fmt.Sprintf("%016d%016d%8d", later, later, 99999999)
		}},
		{"more than was asked for", time.Second, time.Second, func(now time.Time) string {
			return fmt.Sprintf("%016d%016d%8d", now.UnixMicro(), now.UnixMicro(), 5000)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			embedded(t, 0, func(e *env, _ *fakenet.Network) {
				a, b := e.client(), e.client()
				held := e.acquire(a, "x", redislock.WithoutRenewal(), redislock.WithLease(time.Hour))
				got := make(chan *redislock.Lock)
				go func() { got <- e.acquire(b, "x", redislock.WithLease(c.lease), redislock.WithoutRenewal()) }()
				e.queued(a, "x", 1)
				forger := insider{e}
				token, channel := forger.place("x")
				now := time.Now()
				forger.tell(channel, "g"+token+c.message(now))
				lock := <-got
				<-lock.Context().Done()
				if believed := time.Since(now); believed > c.within {
					e.Errorf("believed for %v, want %v at the most", believed, c.within)
				}
				if ahead := time.UnixMicro(lock.Fence()).Sub(now); ahead > 24*time.Hour {
					e.Errorf("its fence is %v ahead", ahead)
				}
				e.release(held)
			})
		})
	}
}

func TestAFenceThatIsADayAheadIsNotBelieved(t *testing.T) {
	for _, fence := range []string{"9999999999999999", fmt.Sprint(time.Date(2000, 1, 2, 0, 1, 0, 0, time.UTC).UnixMicro())} {
		t.Run(fence, func(t *testing.T) {
			embedded(t, 0, func(e *env, _ *fakenet.Network) { // it is the first of January 2000
				fence := fmt.Sprintf("%016s", fence)
				a, b := e.client(), e.client()
				held := e.acquire(a, "x")
				got := make(chan *redislock.Lock, 1)
				go func() { got <- e.acquire(b, "x") }()
				e.queued(a, "x", 1)
				forger := insider{e}
				token, channel := forger.place("x")
				forger.tell(channel, fmt.Sprintf("g%s%s%016d%8d", token, fence, time.Now().UnixMicro(), 5000))
				e.settle()
				select {
				case <-got:
					e.Fatal("it was believed")
				default:
				}
				e.release(held)
				lock := <-got
				if ahead := time.Until(time.UnixMicro(lock.Fence())); ahead > time.Second {
					e.Errorf("the next fence is %v ahead", ahead)
				}
				e.release(lock)
			})
		})
	}
}

// A true message has texts of a certain length at the most.
func TestALongMessageIsIgnored(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		lock := e.acquire(c, "x")
		e.release(e.acquire(c, "warm"))
		e.settle()
		forger := insider{e}
		token, nonce, channel := forger.hold("x")
		long := strings.Repeat("x", 1<<20)
		forger.tell(channel, "s"+token+nonce+long)
		forger.tell(channel, "a"+token+nonce+"api\nhost\n1\n\x00"+long)
		for _, kind := range []string{"o", "e", "v", ""} {
			forger.tell("redislock:n", kind+long)
			forger.tell("redislock:n", kind)
		}
		e.settle()
		if err := lock.Err(); err != nil {
			e.Errorf("it was believed: %.100v", err)
		}
		select {
		case r := <-lock.Asked():
			e.Errorf("a request of %d bytes", len(r.Why))
		default:
		}
		// A text of the greatest allowed length is accepted.
		forger.tell(channel, "a"+token+nonce+strings.Repeat("n", 128)+"\n"+strings.Repeat("h", 255)+"\n4194304\n\x00"+strings.Repeat("w", redislock.MaxReason))
		if r := <-lock.Asked(); len(r.Why) != redislock.MaxReason || r.By.PID != 4194304 {
			e.Errorf("%+v", r)
		}
		e.release(lock)
	})
}

// pool is for tests that need no server: nothing answers at its address.
func pool(t *testing.T, name string, n int) *redislock.Stripes {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", DialerRetries: 1, DialTimeout: time.Second})
	t.Cleanup(func() { _ = rdb.Close() })
	c, err := redislock.New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	return c.Stripes(name, n)
}

func TestStripesCountAnyNumberModuloTheirSize(t *testing.T) {
	for _, tc := range []struct {
		n, i int
		name string
	}{
		{16, 0, "p#0"},
		{16, 3, "p#3"},
		{16, 15, "p#15"},
		{16, 16, "p#0"},
		{16, 19, "p#3"},
		{16, -1, "p#15"},
		{16, -13, "p#3"},
		{16, -16, "p#0"},
		{16, -17, "p#15"},
		{10, math.MaxInt64, "p#7"}, // …807
		{10, math.MinInt64, "p#2"}, // -…808
		{1, -5, "p#0"},
		{redislock.MaxStripes, -1, "p#1048575"},
		{redislock.MaxStripes, math.MinInt64, "p#0"},
	} {
		if got := pool(t, "p", tc.n).Name(tc.i); got != tc.name {
			t.Errorf("of %d, number %d is %s, want %s", tc.n, tc.i, got, tc.name)
		}
	}
	if n := pool(t, "p", 16).Len(); n != 16 {
		t.Errorf("Len is %d", n)
	}
}

// The numbers were computed by Python's hashlib, int.from_bytes(sha256(key).digest()[:8], "big") % n: the hash is a
// promise to programs in other languages, and to those that run an older version.
func TestStripesAgreeWithOtherLanguagesOnAKey(t *testing.T) {
	sizes := []int{1, 16, 64, 1000, 1 << 20}
	for key, want := range map[string][]int{
		"":           {0, 4, 20, 652, 793620},
		"a":          {0, 10, 10, 250, 769482},
		"user/42":    {0, 3, 51, 971, 13171}, // its number is above 1<<63
		"invoice/42": {0, 9, 9, 625, 913993},
		"schlüssel":  {0, 11, 11, 179, 237323},
		"日本語":        {0, 3, 35, 371, 970659},
		"\x00\xff":   {0, 5, 37, 29, 924133},
	} {
		for i, n := range sizes {
			if got := pool(t, "p", n).Index(key); got != want[i] {
				t.Errorf("of %d, the key %q is %d, want %d", n, key, got, want[i])
			}
		}
	}
}

func TestStripesSpreadKeysEvenly(t *testing.T) {
	t.Parallel()
	const keys = 20_000
	for what, key := range map[string]func(i int) string{
		"numbered":  func(i int) string { return fmt.Sprintf("user/%d", i) },
		"multiples": func(i int) string { return fmt.Sprint(i * 4096) },
		"binary":    func(i int) string { return string(binary.BigEndian.AppendUint64(nil, uint64(i))) },
		"lengths":   func(i int) string { return strings.Repeat("a", i%200) + fmt.Sprint(i/200) },
	} {
		for _, n := range []int{2, 100, 1000} {
			p := pool(t, "p", n)
			counts := make([]float64, n)
			for i := range keys {
				counts[p.Index(key(i))]++
			}
			expected, chi := float64(keys)/float64(n), 0.0
			for _, count := range counts {
				chi += (count - expected) * (count - expected) / expected
			}
			// Of random spreads, one in 30,000 is four deviations from the mean, n-1.
			if free := float64(n - 1); math.Abs(chi-free) > 4*math.Sqrt(2*free)+3 {
				t.Errorf("%s keys on %d stripes: chi-square %.0f, about %.0f is due", what, n, chi, free)
			}
		}
	}
}

func TestStripesThatCannotBeAreInvalidWhenTheyAreAcquired(t *testing.T) {
	ctx := context.Background()
	for _, p := range []*redislock.Stripes{
		pool(t, "p", 0), pool(t, "p", -1), pool(t, "p", math.MinInt64), pool(t, "p", redislock.MaxStripes+1),
		pool(t, "", 16), pool(t, "", 0),
		pool(t, strings.Repeat("x", redislock.MaxName), 1), pool(t, strings.Repeat("x", redislock.MaxName-2), 11),
	} {
		if l, err := p.Acquire(ctx, 3); l != nil || !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("Acquire: %v", err)
		}
		if l, err := p.AcquireKey(ctx, "key", redislock.WithWait(0)); l != nil || !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("AcquireKey: %v", err)
		}
		if i, name, n := p.Index("key"), p.Name(3), p.Len(); i != 0 || name != "" || n != 0 {
			t.Errorf("it has an index %d, a name %q, %d stripes", i, name, n)
		}
	}
	if _, err := pool(t, "p", 0).Acquire(ctx, 3); err == nil || !strings.Contains(err.Error(), `acquire "p": invalid: Stripes("p", 0)`) {
		t.Errorf("the error does not say what is wrong: %v", err)
	}
	if _, err := pool(t, "p", 16).AcquireKey(ctx, "key", redislock.WithLease(-1)); !errors.Is(err, redislock.ErrInvalid) {
		t.Errorf("options do not reach the acquire: %v", err)
	}
}

func TestStripesAreOrdinaryLocks(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		mine, theirs := a.Stripes("p", 16), b.Stripes("p", 16)

		l, err := mine.Acquire(ctx, -13)
		if err != nil {
			e.Fatal(err)
		}
		if l.Name() != "p#3" {
			e.Errorf("the lock is %s", l.Name())
		}
		// "user/42" is on stripe 3, "invoice/42" is not.
		if _, err := theirs.AcquireKey(ctx, "user/42", redislock.WithWait(0)); !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("a key of a stripe that is held: %v", err)
		}
		if _, err := b.TryAcquire(ctx, theirs.Name(19)); !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("the name of a stripe that is held: %v", err)
		}
		free, err := theirs.AcquireKey(ctx, "invoice/42", redislock.WithWait(0))
		if err != nil {
			e.Fatal(err)
		}
		if free.Name() != "p#9" {
			e.Errorf("invoice/42 has the lock %s", free.Name())
		}
		e.release(free)
		e.release(l)

		longest, err := a.Stripes(strings.Repeat("x", redislock.MaxName-2), 10).Acquire(ctx, 9)
		if err != nil {
			e.Fatal(err)
		}
		if len(longest.Name()) != redislock.MaxName {
			e.Errorf("a name of %d bytes", len(longest.Name()))
		}
		e.release(longest)
		e.untouched("p#3")
		e.untouched("p#9")
	})
}

// The doc comment describes this case of two keys on one stripe.
func TestStripesThatTwoKeysShare(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c := e.client()
		p := c.Stripes("p", 1)
		l, err := p.AcquireKey(ctx, "one")
		if err != nil {
			e.Fatal(err)
		}
		if _, err := p.AcquireKey(ctx, "other", redislock.WithWait(0)); !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("without the lock's context: %v", err)
		}
		inner, err := p.AcquireKey(l.Context(), "other")
		if err != nil {
			e.Fatal(err)
		}
		e.release(inner)
		e.release(l)

		all, err := c.AcquireAll(ctx, []string{p.Name(p.Index("one")), p.Name(p.Index("other"))})
		if err != nil {
			e.Fatal(err)
		}
		if len(all.Names()) != 1 {
			e.Errorf("took %v", all.Names())
		}
		if err := all.Release(ctx); err != nil {
			e.Error(err)
		}
		e.untouched("p#0")
	})
}

// refusing makes the embedded server refuse everything, or nothing.
func (e *env) refusing(answer string) { e.mini.SetError(answer) }

// A release that the server refuses for a while is tried again for a minute: the lock does not stay for its lease.
func TestAReleaseThatIsRefusedForAWhileIsTriedAgainForAMinute(t *testing.T) {
	for _, answer := range []string{
		"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
		"NOAUTH Authentication required.",
		"WRONGPASS invalid username-password pair or user is disabled.",
		"NOPERM User app has no permissions to run the 'evalsha' command",
		"ERR ACL failure in script: User app has no permissions to run the 'hdel' command",
		"OOM command not allowed when used memory > 'maxmemory'.",
		"LOADING Redis is loading the dataset in memory",
		"EXECABORT Transaction discarded because of previous errors.",
		"ERR max number of clients reached",
		"ERR upstream failure",
	} {
		code, _, _ := strings.Cut(strings.TrimPrefix(answer, "ERR "), " ")
		t.Run(code, func(t *testing.T) {
			embedded(t, 0, func(e *env, _ *fakenet.Network) {
				c := e.client()
				for what, end := range map[string]func(*redislock.Lock) error{
					"Release":      func(l *redislock.Lock) error { return l.Release(context.Background()) },
					"ReleaseAfter": func(l *redislock.Lock) error { return l.ReleaseAfter(context.Background(), time.Second) },
				} {
					l := e.acquire(c, "x", redislock.WithLease(24*time.Hour))
					e.refusing(answer)
					if err := end(l); err == nil || !strings.Contains(err.Error(), answer) {
						e.Errorf("%s = %v, want what the server said", what, err)
					}
					time.Sleep(50 * time.Second)
					e.refusing("")
					time.Sleep(5 * time.Second)
					if l, err := c.TryAcquire(context.Background(), "x"); err != nil {
						e.Errorf("5 s after the server works again: %v", err)
					} else {
						e.release(l)
					}
				}
			})
		})
	}
}

// A release that the server can never execute is not tried for a minute.
func TestAReleaseThatIsRefusedForGoodIsNotTriedAgain(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		var sent atomic.Int64
		c := e.tapped(&tap{before: func(text string) error {
			if strings.Contains(text, digest("release")) || strings.Contains(text, "hdel") {
				sent.Add(1)
			}
			return nil
		}})
		l := e.acquire(c, "x", redislock.WithLease(time.Minute))
		e.refusing("ERR unknown command 'evalsha', with args beginning with: ")
		if err := l.Release(context.Background()); err == nil {
			e.Error("released")
		}
		time.Sleep(50 * time.Second)
		if n := sent.Load(); n > 2 {
			e.Errorf("%d releases were sent", n)
		}
		e.refusing("")
		time.Sleep(time.Minute)
	})
}
