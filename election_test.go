package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
	"example.com/redislock/internal/servertest"
)

// untilOver leads until its context ends.
func untilOver(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestAtMostOneLeads(t *testing.T) {
	both(t, func(e *env) {
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		var leading, terms atomic.Int32
		led := make([]atomic.Int32, 4)
		rounds := int32(4)
		if e.mini == nil {
			rounds = 2 // the pauses after terms that are short take real time
		}
		var all sync.WaitGroup
		for i := range led {
			c := e.client()
			all.Go(func() {
				err := c.Elect(ctx, "scheduler", func(ctx context.Context) error {
					if leading.Add(1) != 1 {
						e.Error("two leaders")
					}
					defer leading.Add(-1)
					if l, ok := redislock.FromContext(ctx); !ok || l.Name() != "elect:scheduler" {
						e.Error("no lock")
					}
					led[i].Add(1)
					e.queued(c, "elect:scheduler", len(led)-1) // until all campaign
					if terms.Add(1) == rounds*int32(len(led)) {
						stop()
					}
					return nil // resigns: the next candidate leads
				})
				if err != nil {
					e.Errorf("the campaign ended with %v", err)
				}
			})
		}
		all.Wait()
		for i := range led {
			if n := led[i].Load(); n != rounds { // they lead in turn
				e.Errorf("candidate %d led %d times of %d", i, n, terms.Load())
			}
		}
		e.untouched("elect:scheduler")
	})
}

func TestAnErrorOfTheLeaderEndsItsCampaign(t *testing.T) {
	both(t, func(e *env) {
		oh := errors.New("oh")
		if err := e.client().Elect(context.Background(), "x", func(context.Context) error { return oh }); !errors.Is(err, oh) {
			e.Error(err)
		}
		panicked := func() (p any) {
			defer func() { p = recover() }()
			_ = e.client().Elect(context.Background(), "x", func(context.Context) error { panic("oh") })
			return nil
		}()
		if panicked != "oh" {
			e.Errorf("the panic became %v", panicked)
		}
		e.untouched("elect:x")
	})
}

func TestALeaderThatLosesItsLockStandsAgain(t *testing.T) {
	both(t, func(e *env) {
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		other := e.client()
		terms := 0
		err := e.client().Elect(ctx, "x", func(ctx context.Context) error {
			if terms++; terms == 3 {
				stop()
				return nil
			}
			if _, err := other.Break(context.Background(), "elect:x", "test"); err != nil {
				e.Error(err)
			}
			<-ctx.Done()
			return ctx.Err()
		})
		if err != nil || terms != 3 {
			e.Errorf("%v after %d terms", err, terms)
		}
	})
}

func TestWhoWatchesIsToldOfChangesByPush(t *testing.T) {
	both(t, func(e *env) {
		watcher := e.client()
		watch, end := context.WithCancel(context.Background())
		seen := make(chan redislock.Leader, 100)
		over := make(chan struct{})
		go func() {
			defer close(over)
			for l, err := range watcher.Election("x").Watch(watch) {
				if err != nil {
					e.Error(err)
				}
				seen <- l
			}
		}()
		if l := <-seen; l.Elected() {
			e.Errorf("before the election %+v leads", l)
		}
		e.acquire(watcher, "y") // so that it is subscribed
		defer func() { _, _ = watcher.Break(context.Background(), "y", "end") }()
		last := int64(0)
		for _, name := range []string{"a", "b"} {
			ctx, resign := context.WithCancel(context.Background())
			ended := make(chan struct{})
			c := e.client(redislock.WithName(name))
			go func() {
				defer close(ended)
				_ = c.Elect(ctx, "x", untilOver)
			}()
			begun := time.Now()
			l := <-seen
			if l.Owner.Client != name || l.Fence <= last {
				e.Errorf("%+v leads, not %s", l, name)
			}
			if now, err := c.Election("x").Leader(ctx); err != nil || now != l {
				e.Errorf("Leader says %+v, %v", now, err)
			}
			last = l.Fence
			resign()
			if l := <-seen; l.Elected() {
				e.Errorf("after the resignation %+v leads", l)
			}
			if took := time.Since(begun); e.mini != nil && took > 5*time.Second {
				e.Errorf("told after %v: by looking, not by push", took)
			}
			<-ended
		}
		end()
		<-over
	})
}

// Without any message, the death of a leader is noticed when its lease ends, and its successor at once.
func TestWhoWatchesSeesADeadLeaderGo(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		lapses := e.dead("elect:x", 20*time.Second)
		c := e.client()
		step := 0
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		for l, err := range c.Election("x").Watch(ctx) {
			switch step++; step {
			case 1:
				if err != nil || !l.Elected() {
					e.Errorf("%+v, %v", l, err)
				}
			case 2:
				if late := time.Since(lapses); err != nil || l.Elected() || late < 0 || late > 100*time.Millisecond {
					e.Errorf("%+v, %v; %v after its lease", l, err, late)
				}
				go func() { _ = c.Elect(ctx, "x", untilOver) }()
			case 3:
				if late := time.Since(lapses); err != nil || !l.Elected() || late > 200*time.Millisecond {
					e.Errorf("%+v, %v; %v after the lease of the last one", l, err, late)
				}
				stop()
			}
		}
	})
}

func TestAnElectionOutlivesAnOutage(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		line := &fakenet.Network{Dial: n.Dial}
		c := e.clientOn(line)
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		terms, errs := make(chan error, 10), 0
		var all sync.WaitGroup
		all.Go(func() {
			err := c.Elect(ctx, "x", func(ctx context.Context) error {
				terms <- nil
				<-ctx.Done()
				return nil
			})
			if err != nil {
				e.Errorf("the campaign ended with %v", err)
			}
		})
		all.Go(func() {
			led := 0
			for l, err := range c.Election("x").Watch(ctx) {
				if err != nil {
					errs++
				} else if l.Elected() {
					led++
				}
			}
			if led < 2 || errs == 0 || errs > 60 {
				e.Errorf("who watches saw %d leaders and %d errors", led, errs)
			}
		})
		<-terms
		time.Sleep(time.Second)
		line.Cut()
		time.Sleep(2 * time.Minute)
		line.Mend()
		<-terms
		time.Sleep(time.Minute)
		stop()
		all.Wait()
	})
}

func TestAnElectionRefusesWhatItCannotDo(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c := e.client()
		for what, err := range map[string]error{
			"no name":     c.Elect(ctx, "", untilOver),
			"a long name": c.Elect(ctx, strings.Repeat("n", redislock.MaxName), untilOver),
			"no function": c.Elect(ctx, "x", nil),
			"a bad lease": c.Elect(ctx, "x", untilOver, redislock.WithLease(1)),
		} {
			if !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("%s: %v", what, err)
			}
		}
		for _, err := range c.Election("").Watch(ctx) {
			if !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("watching nothing: %v", err)
			}
		}
		err := c.Elect(ctx, "x", func(ctx context.Context) error { return c.Elect(ctx, "x", untilOver) })
		if !errors.Is(err, redislock.ErrDeadlock) {
			e.Errorf("inside itself: %v", err)
		}
		closed := e.client()
		if err := closed.Close(ctx); err != nil {
			e.Fatal(err)
		}
		if err := closed.Elect(ctx, "x", untilOver); !errors.Is(err, redislock.ErrClosed) {
			e.Errorf("a closed client: %v", err)
		}
		n := 0
		for _, err := range closed.Election("x").Watch(ctx) {
			if n++; !errors.Is(err, redislock.ErrClosed) {
				e.Errorf("watching with a closed client: %v", err)
			}
		}
		if n != 1 {
			e.Errorf("%d times", n)
		}
	})
}

// All watchers are told. Changes that were missed while there was no subscription are looked up.
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
	x.release(x.acquire(c)) // so that it is subscribed
	for round := range 2 {
		if round == 1 {
			x.proxy.MuteSubscriptions()
		}
		l, err := x.look.Acquire(ctx, "elect:"+x.name) // this announces nothing, unless it is done below
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			if err := x.raw.Publish(ctx, "redislock:n:{elect:"+x.name+"}", "v").Err(); err != nil {
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

// The beginning and the end of a term are announced, so that no watcher has to wait until a lease ends.
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
			e.Errorf("told at %v, of what began %v", at, begun)
		}
	})
}

// The last renewal of ReleaseAfter counts, whatever other request comes late.
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

// Nobody will release the token any more, so a tombstone must refuse a late copy of the acquire.
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
			e.Error("it was not answered")
		}
		time.Sleep(10 * time.Minute)
		info, err := e.client().Inspect(context.Background(), "x")
		if err != nil || len(info.Holds) != 1 {
			e.Errorf("%+v, %v", info, err)
		}
	})
}

// A hold that is being stolen is given up, and not kept until its deadline.
func TestWhatIsStolenIsNotKept(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		l := e.acquire(e.client(), "x")
		e.revoke("x") // and the message is lost
		if err := l.ReleaseAfter(context.Background(), time.Hour); !errors.Is(err, redislock.ErrNotHeld) {
			e.Error(err)
		}
		time.Sleep(time.Second)
		e.untouched("x")
	})
}

// A hold that was given back and is kept has its mode still.
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

// The key lives as long as the hold that is kept in it.
func TestWhatIsKeptForADayIsThereForADay(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		l := e.acquire(e.client(), "x")
		if err := l.ReleaseAfter(context.Background(), redislock.MaxLease); err != nil {
			e.Fatal(err)
		}
		time.Sleep(redislock.MaxLease - time.Minute)
		c := e.client()
		if _, err := c.TryAcquire(context.Background(), "x"); !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("before the day is over: %v", err)
		}
		time.Sleep(2 * time.Minute)
		e.release(e.acquire(c, "x"))
	})
}

// A candidate that gives up at the instant of its election may have been seen as the leader, so watchers are told.
func TestWhoWatchesIsToldOfACandidateThatGaveUp(t *testing.T) {
	for after := time.Duration(0); after <= 60*time.Millisecond; after += 5 * time.Millisecond {
		embedded(t, 10*time.Millisecond, func(e *env, _ *fakenet.Network) {
			a, b, c := e.client(), e.client(), e.client()
			second, giveUp := context.WithCancel(context.Background())
			watch, end := context.WithCancel(context.Background())
			var all sync.WaitGroup
			first := e.acquire(a, "elect:x") // its end is not announced, as if the leader had died
			all.Go(func() { _ = b.Elect(second, "x", untilOver) })
			e.queued(c, "elect:x", 1)
			var mu sync.Mutex
			var seen redislock.Leader
			all.Go(func() {
				for l, err := range c.Election("x").Watch(watch) {
					if err != nil {
						e.Error(err)
					}
					mu.Lock()
					seen = l
					mu.Unlock()
				}
			})
			time.Sleep(time.Second)
			e.raw.Publish(second, "redislock:n:{elect:x}", "v") // the look that it causes comes just after the grant
			time.Sleep(8 * time.Millisecond)
			all.Go(func() { e.release(first) })
			time.Sleep(after)
			giveUp()
			time.Sleep(time.Second)
			mu.Lock()
			if seen.Elected() {
				e.Errorf("given up %v after the resignation: %+v is still seen to lead", after, seen)
			}
			mu.Unlock()
			end()
			all.Wait()
		})
	}
}

// At most one leads, whatever the default mode of the Client is, and whatever options are given.
func TestNoModeGivesTwoLeaders(t *testing.T) {
	for _, mode := range []redislock.Mode{redislock.Read, redislock.Semaphore(3)} {
		embedded(t, 0, func(e *env, _ *fakenet.Network) {
			ctx, stop := context.WithCancel(context.Background())
			var leading atomic.Int32
			lead := func(ctx context.Context) error {
				if leading.Add(1) > 1 {
					e.Error("two leaders")
				}
				<-ctx.Done()
				leading.Add(-1)
				return nil
			}
			var all sync.WaitGroup
			all.Go(func() { _ = e.client(redislock.WithDefaults(redislock.WithMode(mode))).Elect(ctx, "x", lead) })
			all.Go(func() { _ = e.client().Elect(ctx, "x", lead, redislock.WithMode(mode)) })
			all.Go(func() { _ = e.client(redislock.WithDefaults(redislock.WithMode(mode))).Elect(ctx, "x", lead) })
			time.Sleep(time.Second)
			stop()
			all.Wait()
		})
	}
}

// However a campaign is told to end, and whatever it does at that moment, it returns nil.
func TestACampaignThatIsToldToEndReturnsNoError(t *testing.T) {
	t.Parallel()
	cause := errors.New("SIGTERM")
	ends := map[string]func(c *redislock.Client, cancel context.CancelCauseFunc) error{
		"cancelled":             func(_ *redislock.Client, cancel context.CancelCauseFunc) error { cancel(nil); return nil },
		"cancelled for a cause": func(_ *redislock.Client, cancel context.CancelCauseFunc) error { cancel(cause); return nil },
		"closed":                func(c *redislock.Client, _ context.CancelCauseFunc) error { return c.Close(context.Background()) },
		"drained": func(c *redislock.Client, cancel context.CancelCauseFunc) error {
			time.AfterFunc(time.Minute, func() { cancel(nil) }) // a leader goes on until its function returns
			return c.Drain(context.Background())
		},
	}
	bodies := map[string]func(context.Context) error{
		"nothing":              func(ctx context.Context) error { <-ctx.Done(); return nil },
		"its error":            untilOver,
		"its cause":            func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) },
		"its error in another": func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("query: %w", ctx.Err()) },
	}
	states := map[string]bool{"it leads": true, "it waits": false}
	for how, end := range ends {
		for what, body := range bodies {
			for state, leads := range states {
				embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
					c, other := e.client(), e.client()
					ctx, cancel := context.WithCancelCause(context.Background())
					defer cancel(nil)
					var first *redislock.Lock
					if !leads {
						first = e.acquire(other, "elect:x")
					}
					over := make(chan error, 1)
					go func() { over <- c.Elect(ctx, "x", body) }()
					time.Sleep(time.Second)
					if err := end(c, cancel); err != nil {
						e.Error(err)
					}
					if err := <-over; err != nil {
						e.Errorf("%s while %s, and the function returns %s: %v", how, state, what, err)
					}
					if !leads {
						e.release(first)
					}
				})
			}
		}
	}
}

func TestACampaignThatPausesEndsAtOnce(t *testing.T) {
	for _, how := range []string{"cancelled", "closed", "drained"} {
		embedded(t, 0, func(e *env, _ *fakenet.Network) {
			c := e.client()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			over := make(chan error, 1)
			go func() { over <- c.Elect(ctx, "x", func(context.Context) error { return nil }) }()
			time.Sleep(40 * time.Second) // in the middle of a pause of 30 s
			begun, err := time.Now(), error(nil)
			switch how {
			case "cancelled":
				cancel()
			case "closed":
				err = c.Close(context.Background())
			case "drained":
				err = c.Drain(context.Background())
			}
			if err := errors.Join(err, <-over); err != nil || time.Since(begun) > 100*time.Millisecond {
				e.Errorf("%s: %v after %v", how, err, time.Since(begun))
			}
		})
	}
}

// An error of the function other than the end of its context is returned.
func TestAnErrorAtTheEndOfACampaignIsTold(t *testing.T) {
	oh := errors.New("the buffer could not be written")
	for _, closes := range []bool{true, false} {
		embedded(t, 0, func(e *env, _ *fakenet.Network) {
			c := e.client()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			err := c.Elect(ctx, "x", func(ctx context.Context) error {
				if closes {
					go func() { _ = c.Close(context.Background()) }()
				} else {
					cancel()
				}
				<-ctx.Done()
				return oh
			})
			if !errors.Is(err, oh) {
				e.Errorf("closed: %v: %v", closes, err)
			}
		})
	}
}

// A function that returns at once, without other candidates, does not keep Redis busy. When it has led for longer, it is tried
// again sooner.
func TestACampaignWhoseFunctionReturnsAtOnceBacksOff(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx, stop := context.WithTimeout(context.Background(), 10*time.Minute)
		defer stop()
		var at []time.Duration
		begun := time.Now()
		err := e.client().Elect(ctx, "x", func(ctx context.Context) error {
			at = append(at, time.Since(begun).Round(time.Second))
			if len(at) == 8 {
				time.Sleep(time.Minute)
			}
			return nil
		})
		want := []time.Duration{0, 1, 3, 7, 15, 31, 61, 91, 151, 152, 154, 158, 166}
		for i := range want {
			if i >= len(at) || at[i] != want[i]*time.Second {
				e.Fatalf("terms began after %v, not %v", at, want)
			}
		}
		if err != nil || len(at) > 30 {
			e.Errorf("%d terms in ten minutes, %v", len(at), err)
		}
	})
}

// A leader that loses its lock campaigns again without a growing pause, as its function did not return early.
func TestALeaderThatIsRobbedAgainAndAgainDoesNotBackOff(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c, other := e.client(), e.client()
		ctx, stop := context.WithCancel(context.Background())
		terms, begun := 0, time.Now()
		err := c.Elect(ctx, "x", func(ctx context.Context) error {
			if terms++; terms == 10 {
				stop()
				return nil
			}
			if _, err := other.Break(context.Background(), "elect:x", "test"); err != nil {
				e.Error(err)
			}
			<-ctx.Done()
			return ctx.Err()
		})
		if took := time.Since(begun); err != nil || took > 12*time.Second {
			e.Errorf("%v, after %v", err, took)
		}
	})
}

// Under a context that carries a lock a campaign goes on while the Client drains, and does not send requests in a
// loop.
func TestACampaignUnderALockDoesNotSpinWhileTheClientDrains(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		l := e.acquire(c, "y")
		ctx, stop := context.WithTimeout(l.Context(), time.Minute)
		defer stop()
		terms := 0
		drained := make(chan error, 1)
		time.AfterFunc(time.Second, func() { drained <- c.Drain(context.Background()) })
		err := c.Elect(ctx, "x", func(context.Context) error { terms++; return nil })
		if err != nil || terms < 5 || terms > 10 {
			e.Errorf("%v after %d terms in a minute", err, terms)
		}
		e.release(l)
		if err := <-drained; err != nil {
			e.Error(err)
		}
	})
}

func TestACandidateKnowsItsPosition(t *testing.T) {
	both(t, func(e *env) {
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		at := func(el *redislock.Election, position int, standing bool) {
			e.Helper()
			if p, s, err := el.Position(context.Background()); p != position || s != standing || err != nil {
				e.Errorf("position %d, standing %v, %v; not %d, %v", p, s, err, position, standing)
			}
		}
		// The last looks at one place at a time.
		clients := []*redislock.Client{e.client(), e.client(), e.client(redislock.WithShown(1))}
		var elections []*redislock.Election
		var all sync.WaitGroup
		resign := make([]context.CancelFunc, len(clients))
		for i, c := range clients {
			el := c.Election("x")
			at(el, 0, false)
			elections = append(elections, el)
			var candidacy context.Context
			candidacy, resign[i] = context.WithCancel(ctx)
			leads := make(chan struct{})
			all.Go(func() {
				_ = el.Campaign(candidacy, func(ctx context.Context) error {
					close(leads)
					return untilOver(ctx)
				})
			})
			if i == 0 {
				<-leads
			} else {
				e.queued(c, "elect:x", i)
			}
		}
		for i, el := range elections {
			at(el, i, true)
		}
		resign[1]()
		e.queued(clients[2], "elect:x", 1)
		for i, position := range []int{0, 0, 1} {
			at(elections[i], position, i != 1)
		}
		resign[0]()
		e.eventually("the last one leads", func() bool {
			p, standing, err := elections[2].Position(context.Background())
			return p == 0 && standing && err == nil
		})
		at(elections[0], 0, false)
		if _, _, err := clients[0].Election("").Position(ctx); !errors.Is(err, redislock.ErrInvalid) {
			e.Error(err)
		}
		if _, _, err := (*redislock.Election)(nil).Position(ctx); !errors.Is(err, redislock.ErrInvalid) {
			e.Error(err)
		}
		stop()
		all.Wait()
	})
}

// At every moment of its election a candidate is seen either as the next or as the leader.
func TestACandidateThatIsElectedHasAPositionAtEachMoment(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		c, other := e.client(), e.client()
		e.warm(c, other)
		ctx, stop := context.WithCancel(context.Background())
		first := e.acquire(other, "elect:x")
		var all sync.WaitGroup
		all.Go(func() { _ = c.Elect(ctx, "x", untilOver) })
		e.queued(other, "elect:x", 1)
		all.Go(func() { e.release(first) })
		for range 200 {
			all.Go(func() {
				if p, standing, err := c.Election("x").Position(context.Background()); p > 1 || !standing || err != nil {
					e.Errorf("position %d, standing: %v, %v", p, standing, err)
				}
			})
			time.Sleep(50 * time.Microsecond)
		}
		time.Sleep(time.Second)
		stop()
		all.Wait()
	})
}

// A lock that expired before the request of ReleaseAfter arrived is not kept, and the error says so.
func TestALockThatLapsedFirstDoesNotStay(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	l := x.acquire(x.behind(3), redislock.WithLease(300*time.Millisecond))
	var faults []*servertest.Fault
	for range 3 {
		faults = append(faults, x.proxy.HoldRequest(requests("keep", x.key())))
	}
	err := l.ReleaseAfter(context.Background(), time.Minute)
	kept := len(x.inspect().Holds) == 1
	if (err == nil) != kept {
		t.Errorf("ReleaseAfter says %v; kept: %v", err, kept)
	}
	for _, fault := range faults {
		fault.Deliver()
	}
}

const noPermission = "NOPERM User app has no permissions to run the 'evalsha' command"

// A permission that is missing for a while ends no campaign, whether before the first term, during a term or after
// it.
func TestACampaignThatIsRefusedForAWhileStandsAgain(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{noPermission, "NOAUTH Authentication required.", "WRONGTYPE Operation against a key holding the wrong kind of value"}[:unlessShort(3, 1)] {
		embedded(t, 0, func(e *env, _ *fakenet.Network) {
			var seen recorder
			c := e.client(redislock.WithObserver(&seen))
			ctx, stop := context.WithCancel(context.Background())
			refuse := func(d time.Duration) {
				e.refusing(answer)
				time.AfterFunc(d, func() { e.refusing("") })
			}
			refuse(time.Minute)
			begun, terms := time.Now(), 0
			err := c.Elect(ctx, "x", func(ctx context.Context) error {
				took := time.Since(begun)
				switch terms++; {
				case terms == 1 && (took < time.Minute || took > 62*time.Second):
					e.Errorf("elected after %v, refused for a minute", took)
				case terms == 1:
					refuse(2 * time.Minute)
					<-ctx.Done() // its lease cannot be renewed
					begun = time.Now()
				case terms == 2:
					stop()
				}
				return nil
			})
			if err != nil || terms != 2 {
				e.Errorf("%v after %d terms", err, terms)
			}
			if n := seen.gaveUp("elect:x", answer == noPermission); n < 60 || n > 240 {
				e.Errorf("the observer was told of %d candidacies that failed, in some two and a half minutes", n)
			}
		})
	}
}

// gaveUp counts the waits for a lock that ended without it.
func (r *recorder) gaveUp(name string, refused bool) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == redislock.EventGaveUp && e.Name == name && (!refused || errors.Is(e.Err, redislock.ErrPermission)) {
			n++
		}
	}
	return n
}

func TestACampaignThatIsToldToStopWhileItIsRefusedSaysBoth(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		e.refusing(noPermission)
		ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
		defer stop()
		err := c.Elect(ctx, "x", untilOver)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, redislock.ErrPermission) {
			e.Errorf("%v", err)
		}
		e.refusing("")
	})
}

// A campaign ends if it can never succeed again.
func TestACampaignEndsWithItsRedisClient(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		rdb := e.connect()
		c := e.over(rdb)
		begun := time.Now()
		ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
		defer stop()
		err := c.Elect(ctx, "x", func(context.Context) error { return rdb.Close() })
		if !errors.Is(err, redis.ErrClosed) || ctx.Err() != nil {
			e.Errorf("%v after %v", err, time.Since(begun))
		}
		time.Sleep(5 * time.Minute) // what it held lapses
	})
}

func TestWhoWatchesGoesOnWhenItIsRefusedForAWhile(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c, other := e.client(), e.client()
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		var all sync.WaitGroup
		var errs, seen [2]int
		all.Go(func() {
			for l, err := range c.Election("x").Watch(ctx) {
				if err != nil {
					errs[0]++
				} else if l.Elected() {
					seen[0]++
				}
			}
		})
		all.Go(func() {
			for info, err := range c.Watch(ctx, "elect:x") {
				if err != nil {
					errs[1]++
				} else if len(info.Holds) > 0 {
					seen[1]++
				}
			}
		})
		time.Sleep(time.Second)
		e.refusing(noPermission)
		time.Sleep(time.Minute)
		e.refusing("")
		time.Sleep(10 * time.Second)
		l := e.acquire(other, "elect:x")
		time.Sleep(time.Minute)
		e.release(l)
		stop()
		all.Wait()
		for i, what := range []string{"the election", "the lock"} {
			if errs[i] == 0 || errs[i] > 60 || seen[i] == 0 {
				e.Errorf("who watches %s saw %d errors and %d holders", what, errs[i], seen[i])
			}
		}
	})
}

// A function that returns at once does not flood the watchers.
func TestACampaignWhoseTermsEndAtOnceTellsOfEachTermTwice(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		heard := e.raw.Subscribe(context.Background(), "redislock:n:{elect:x}")
		defer heard.Close()
		told := 0
		var all sync.WaitGroup
		all.Go(func() {
			for range heard.Channel() {
				told++
			}
		})
		c := e.client()
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		defer stop()
		terms := 0
		_ = c.Elect(ctx, "x", func(context.Context) error { terms++; return nil })
		time.Sleep(time.Second)
		_ = heard.Close()
		all.Wait()
		if terms < 5 || terms > 7 || told > 2*terms+4 { // more at the end, which may have been seen
			e.Errorf("%d terms in a minute, and %d broadcasts", terms, told)
		}
	})
}

// A term that has lasted is followed by the next candidacy at once.
func TestALeaderThatHasLedForAWhileStandsAgainAtOnce(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx, stop := context.WithCancel(context.Background())
		var ended time.Time
		_ = e.client().Elect(ctx, "x", func(ctx context.Context) error {
			if !ended.IsZero() {
				if late := time.Since(ended); late > 100*time.Millisecond {
					e.Errorf("%v without a leader", late)
				}
				stop()
			}
			time.Sleep(2 * time.Second)
			ended = time.Now()
			return nil
		})
	})
}
