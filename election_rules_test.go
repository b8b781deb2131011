package redislock_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
	"example.com/redislock/internal/servertest"
)

// All who watch are told, and what was missed while there was no subscription is looked up.
func TestAllWhoWatchLearnOfALeader(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	c := x.behind(3)
	ctx, stop := context.WithCancel(context.Background())
	led := make(chan int64, 100)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for l, err := range c.Election(x.name).Watch(ctx) {
				if err == nil && l.Elected() {
					led <- l.Fence
				}
			}
		})
	}
	x.release(x.acquire(c)) // its subscription stands
	for round := range 2 {
		if round == 1 {
			x.proxy.MuteSubscriptions()
		}
		l, err := x.look.Acquire(ctx, "elect:"+x.name) // without a word, if it is not said below
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			if err := x.raw.Publish(ctx, "redislock:n", "e"+x.name).Err(); err != nil {
				t.Fatal(err)
			}
		} else {
			x.proxy.CloseSubscriptions()
		}
		for range 3 {
			select {
			case fence := <-led:
				if fence != l.Fence() {
					t.Errorf("%d, not %d", fence, l.Fence())
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("round %d: not told", round)
			}
		}
		x.release(l)
	}
	stop()
	all.Wait()
}

// News are sent at the beginning and at the end of a term: nobody has to wait until a lease is over.
func TestALeaderTellsOfItsBeginningAndItsEnd(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		w, c := e.client(), e.client()
		e.release(e.acquire(w, "y"))
		time.Sleep(time.Second)
		watch, end := context.WithCancel(context.Background())
		ctx, resign := context.WithCancel(context.Background())
		var at []time.Time
		var all sync.WaitGroup
		all.Go(func() {
			for range w.Election("x").Watch(watch) {
				at = append(at, time.Now())
			}
		})
		time.Sleep(10 * time.Second)
		begun := time.Now()
		all.Go(func() { _ = c.Elect(ctx, "x", untilOver, redislock.WithLease(time.Hour)) })
		time.Sleep(10 * time.Second)
		resign()
		time.Sleep(time.Second)
		end()
		all.Wait()
		if len(at) != 3 || at[1].Sub(begun) > time.Second || at[2].Sub(begun) > 10500*time.Millisecond {
			t.Errorf("told at %v, of what began %v", at, begun)
		}
	})
}

// The last renewal counts, whatever else comes late.
func TestALateRenewalDoesNotProlongWhatIsKept(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	l := x.acquire(x.behind(3), redislock.WithLease(3*time.Second))
	fault := x.proxy.HoldRequest(requests("renew", x.key()))
	x.within("a renewal", fault.Caught())
	if err := l.ReleaseAfter(t.Context(), 400*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	fault.Deliver()
	x.within("the late renewal", fault.Executed())
	if info := x.inspect(); len(info.Holds) > 0 && info.Holds[0].Deadline.Sub(info.Now) > 400*time.Millisecond {
		t.Errorf("it stays for %v", info.Holds[0].Deadline.Sub(info.Now))
	}
	x.untouchedAfter(time.Second)
}

func (x *scene) untouchedAfter(d time.Duration) {
	time.Sleep(d)
	x.release(x.acquire(x.look, redislock.WithWait(time.Second)))
}

// Nobody will release the token, so a tombstone has to refuse a late copy of the acquire.
func TestALateAcquireDoesNotHoldWhatWasKeptAndIsOver(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	fault := x.proxy.HoldRequest(requests("acquire", x.key()))
	l := x.acquire(x.behind(3))
	if err := l.ReleaseAfter(t.Context(), 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	x.release(x.acquire(x.look))
	fault.Deliver()
	x.within("the late copy", fault.Executed())
	if info := x.inspect(); len(info.Holds) > 0 {
		t.Errorf("I8: %+v", info.Holds)
	}
}

// The last renewal is sent until it is answered, and the lock is not given up meanwhile.
func TestAnOutageDoesNotShortenWhatIsToBeKept(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		line := &fakenet.Network{Dial: n.Dial}
		l := e.acquire(e.clientOn(line), "x", redislock.WithLease(2*time.Minute))
		line.Cut()
		time.AfterFunc(30*time.Second, line.Mend)
		if err := l.ReleaseAfter(context.Background(), time.Hour); err == nil {
			t.Error("it was not answered")
		}
		time.Sleep(10 * time.Minute)
		info, err := e.client().Inspect(context.Background(), "x")
		if err != nil || len(info.Holds) != 1 {
			t.Errorf("%+v, %v", info, err)
		}
	})
}

// What was revoked is given up, not left until its deadline.
func TestWhatIsStolenIsNotKept(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		l := e.acquire(e.client(), "x")
		e.revoke("x") // and the message is lost
		if err := l.ReleaseAfter(context.Background(), time.Hour); !errors.Is(err, redislock.ErrNotHeld) {
			t.Error(err)
		}
		time.Sleep(time.Second)
		e.untouched("x")
	})
}

// What is kept by nobody keeps its mode.
func TestALateUpgradeDoesNotChangeWhatIsKept(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	l := x.acquire(x.behind(3), reading)
	fault := x.proxy.HoldRequest(requests("convert", x.key()))
	ctx, leave := context.WithCancel(t.Context())
	upgraded := make(chan error, 1)
	go func() { upgraded <- l.Upgrade(ctx) }()
	x.within("the upgrade", fault.Caught())
	if err := l.ReleaseAfter(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	leave()
	<-upgraded
	fault.Deliver()
	x.within("the late upgrade", fault.Executed())
	if info := x.inspect(); len(info.Holds) != 1 || info.Holds[0].Mode.Name() != redislock.Read.Name() {
		t.Errorf("%+v", info.Holds)
	}
}

// The key lives as long as what is kept in it.
func TestWhatIsKeptForADayIsThereForADay(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		l := e.acquire(e.client(), "x")
		if err := l.ReleaseAfter(context.Background(), redislock.MaxLease); err != nil {
			t.Fatal(err)
		}
		time.Sleep(redislock.MaxLease - time.Minute)
		c := e.client()
		if _, err := c.TryAcquire(context.Background(), "x"); !errors.Is(err, redislock.ErrHeld) {
			t.Errorf("before the day is over: %v", err)
		}
		time.Sleep(2 * time.Minute)
		e.release(e.acquire(c, "x"))
	})
}

// A candidate that gives up at the instant of its election may have been seen as the leader: who watches is told.
func TestWhoWatchesIsToldOfACandidateThatGaveUp(t *testing.T) {
	for after := time.Duration(0); after <= 60*time.Millisecond; after += 5 * time.Millisecond {
		embedded(t, 10*time.Millisecond, func(e *env, _ *fakenet.Network) {
			a, b, c := e.client(), e.client(), e.client()
			second, giveUp := context.WithCancel(context.Background())
			watch, end := context.WithCancel(context.Background())
			var all sync.WaitGroup
			first := e.acquire(a, "elect:x") // of one that has no time to tell, as if it died
			all.Go(func() { _ = b.Elect(second, "x", untilOver) })
			e.queued(c, "elect:x", 1)
			var mu sync.Mutex
			var seen redislock.Leader
			all.Go(func() {
				for l, err := range c.Election("x").Watch(watch) {
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					seen = l
					mu.Unlock()
				}
			})
			time.Sleep(time.Second)
			e.raw.Publish(second, "redislock:n", "ex") // the look that it causes comes just after the grant
			time.Sleep(8 * time.Millisecond)
			all.Go(func() { e.release(first) })
			time.Sleep(after)
			giveUp()
			time.Sleep(time.Second)
			mu.Lock()
			if seen.Elected() {
				t.Errorf("given up %v after the resignation: %+v is still seen to lead", after, seen)
			}
			mu.Unlock()
			end()
			all.Wait()
		})
	}
}
