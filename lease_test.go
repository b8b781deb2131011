package redislock_test

import (
	"context"
	"errors"
	"testing"
	"time"

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
			t.Errorf("after ten minutes: %v, the holder says %v", err, l.Err())
		}
		if n := seen.count(redislock.EventRenewed); n < 590 || n > 620 {
			t.Errorf("%d renewals of a lease of 3s in 600s, one a second is due", n)
		}
		e.release(l)
		n := seen.count(redislock.EventRenewed)
		time.Sleep(time.Minute)
		if seen.count(redislock.EventRenewed) != n {
			t.Error("renewal lives on after the release")
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
				t.Fatal(err)
			}
			state, err := info.Inspect(context.Background(), "x")
			if err != nil || len(state.Holds) != 1 {
				t.Fatalf("%+v, %v", state, err)
			}
			<-l.Context().Done()
			// The packets under way when the network was cut are lost, so the server's deadline is the last one.
			if now := time.Now(); !now.Before(state.Holds[0].Deadline) {
				t.Errorf("delay %v: the context ended at %v, the lease at %v", delay, now, state.Holds[0].Deadline)
			} else if early := state.Holds[0].Deadline.Sub(now); early > 2*delay+15*time.Millisecond {
				t.Errorf("delay %v: the context ended %v too early", delay, early)
			}
			if cause := context.Cause(l.Context()); !errors.Is(cause, redislock.ErrLost) || errors.Is(cause, redislock.ErrStolen) {
				t.Errorf("cause %v", cause)
			}
			if err := l.Err(); !errors.Is(err, redislock.ErrLost) {
				t.Errorf("Err is %v", err)
			}
			n.Mend()
			if err := l.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrLost) {
				t.Errorf("Release of a lost lock: %v", err)
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
			t.Errorf("lost by errors that passed: %v", l.Err())
		}
		if seen.count(redislock.EventRenewalFailed) == 0 {
			t.Error("no renewal failed, so this test shows nothing")
		}
		for range 20 { // connections that go mute: a stuck batch must not hold up the next
			time.Sleep(time.Second)
			n.Cut()
			time.Sleep(2 * time.Second)
			n.Mend()
		}
		if l.Err() != nil {
			t.Errorf("lost by a network that came back: %v", l.Err())
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
			t.Errorf("I1: taken over after %v, the lease is 400ms", took)
		}
		if err := l.Err(); !errors.Is(err, redislock.ErrLost) {
			t.Errorf("the first holder says %v", err)
		}
		if err := l.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) {
			t.Errorf("its release: %v", err)
		}
		if next.Err() != nil {
			t.Errorf("I1: a late release took it from its owner: %v", next.Err())
		}
		if _, err := c.TryAcquire(context.Background(), "x"); !errors.Is(err, redislock.ErrHeld) {
			t.Errorf("I1: after a late release the lock is %v", err)
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
			t.Errorf("lost after %v of a minute: %v", time.Since(start), err)
		}
		<-next.Context().Done()
		if held := time.Since(start); held > 62*time.Second {
			t.Errorf("renewed although it should not be: held for %v", held)
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
			t.Errorf("a final lease of 1s was held for %v", held)
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
			t.Errorf("held for %v", held)
		}
		if err := l.Err(); !errors.Is(err, redislock.ErrLost) {
			t.Errorf("ended with %v", err)
		}
		next := e.acquire(other, "x") // it was given up
		if err := l.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) {
			t.Errorf("its release: %v", err)
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
			t.Errorf("taken over %v after the lease of the dead holder ended", late)
		}
		e.release(l)
	})
}

func TestI6ErrReadsTheClock(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		l := e.acquire(e.client(redislock.WithClockMargin(50*time.Millisecond)), "x", redislock.WithLease(time.Second), redislock.WithoutRenewal())
		time.Sleep(948 * time.Millisecond) // a thousandth of the lease comes on top of the margin
		if err := l.Err(); err != nil {
			t.Errorf("lost too early: %v", err)
		}
		time.Sleep(2 * time.Millisecond)
		if err := l.Err(); !errors.Is(err, redislock.ErrLost) {
			t.Errorf("within the clock margin: %v", err)
		}
		_ = l.Release(context.Background())
	})
}
