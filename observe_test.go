package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// balanced fails unless every asked was answered and every granted has ended, by one event each; it returns the last that
// ended a hold.
func (e *env) balanced(r *recorder) (end redislock.Event) {
	e.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	n, queued := map[redislock.EventKind]int{}, 0
	for _, event := range r.events {
		if event.Kind == redislock.EventSubscribeFailed || event.Kind == redislock.EventDropped { // of no lock
			continue
		}
		n[event.Kind]++
		if event.Queued {
			queued++
		}
		switch event.Kind {
		case redislock.EventLost, redislock.EventStolen, redislock.EventReleased, redislock.EventHandedOff:
			end = event
		}
		if event.Context == nil || event.Name == "" || event.Weight == 0 {
			e.Errorf("%v without a context, a name or a weight: %+v", event.Kind, event)
		}
	}
	if asked, answered := n[redislock.EventAsked], n[redislock.EventGranted]+n[redislock.EventGaveUp]+n[redislock.EventChanged]; asked != answered {
		e.Errorf("%d were asked for, %d granted or given up", asked, answered)
	}
	if n[redislock.EventQueued] != queued {
		e.Errorf("%d came into the queue, and %d out of it", n[redislock.EventQueued], queued)
	}
	ends := n[redislock.EventLost] + n[redislock.EventStolen] + n[redislock.EventReleased] + n[redislock.EventHandedOff]
	if n[redislock.EventGranted] != ends {
		e.Errorf("%d were granted, %d have ended: %v", n[redislock.EventGranted], ends, n)
	}
	return end
}

// However a hold ends, there is one event for it.
func TestEveryGrantEndsInOneEvent(t *testing.T) {
	ctx := context.Background()
	for what, one := range map[string]struct {
		kind redislock.EventKind
		err  error
		play func(e *env, n *fakenet.Network, c, other *redislock.Client)
	}{
		"released": {redislock.EventReleased, nil, func(e *env, _ *fakenet.Network, c, _ *redislock.Client) {
			l := e.acquire(c, "x")
			e.release(l)
			e.release(l) // the same answer
		}},
		"released after some time": {redislock.EventReleased, nil, func(e *env, _ *fakenet.Network, c, _ *redislock.Client) {
			if err := e.acquire(c, "x").ReleaseAfter(ctx, time.Second); err != nil {
				e.Error(err)
			}
		}},
		"the last of several handles": {redislock.EventReleased, nil, func(e *env, _ *fakenet.Network, c, _ *redislock.Client) {
			l := e.acquire(c, "x")
			e.release(e.acquireUnder(c, l, "x"))
			e.release(l)
		}},
		"released without an answer": {redislock.EventReleased, os.ErrDeadlineExceeded, func(e *env, n *fakenet.Network, c, _ *redislock.Client) {
			l := e.acquire(c, "x")
			n.Cut()
			if err := l.Release(ctx); err == nil {
				e.Error("released without a network")
			}
			n.Mend()
			time.Sleep(time.Minute)
		}},
		"gone by another's hand": {redislock.EventReleased, redislock.ErrNotHeld, func(e *env, _ *fakenet.Network, c, _ *redislock.Client) {
			l := e.acquire(c, "x")
			e.settle() // the subscription is made meanwhile, and the hold is looked at once
			e.raw.Del(ctx, "redislock:{x}")
			if err := l.Release(ctx); !errors.Is(err, redislock.ErrNotHeld) {
				e.Error(err)
			}
		}},
		"lost": {redislock.EventLost, redislock.ErrLost, func(e *env, _ *fakenet.Network, c, _ *redislock.Client) {
			l := e.acquire(c, "x", redislock.WithMaxHold(time.Second))
			<-l.Context().Done()
			_ = l.Release(ctx)
		}},
		"stolen": {redislock.EventStolen, redislock.ErrStolen, func(e *env, _ *fakenet.Network, c, other *redislock.Client) {
			l := e.acquire(c, "x")
			time.Sleep(time.Second)
			thief, err := other.TryAcquire(ctx, "x", redislock.WithStealAfter(time.Second))
			if err != nil {
				e.stop(err)
			}
			e.release(thief)
			<-l.Context().Done()
			_ = l.Release(ctx)
		}},
		"broken": {redislock.EventStolen, redislock.ErrStolen, func(e *env, _ *fakenet.Network, c, other *redislock.Client) {
			l := e.acquire(c, "x")
			if _, err := other.Break(ctx, "x", "test"); err != nil {
				e.Error(err)
			}
			<-l.Context().Done()
		}},
		"handed off": {redislock.EventHandedOff, nil, func(e *env, _ *fakenet.Network, c, other *redislock.Client) {
			ticket, err := e.acquire(c, "x").Handoff()
			if err != nil {
				e.Error(err)
			}
			l, err := other.Resume(ctx, ticket)
			if err != nil {
				e.stop(err)
			}
			e.release(l)
		}},
		"upgraded": {redislock.EventReleased, nil, func(e *env, _ *fakenet.Network, c, other *redislock.Client) {
			l, reader := e.acquire(c, "x", redislock.WithMode(redislock.Read)), e.acquire(other, "x", redislock.WithMode(redislock.Read))
			go func() {
				time.Sleep(time.Second)
				e.release(reader)
			}()
			if err := l.Upgrade(ctx); err != nil { // waits in the queue, and is no new hold
				e.Error(err)
			}
			e.release(l)
		}},
		"an upgrade given up": {redislock.EventReleased, nil, func(e *env, _ *fakenet.Network, c, other *redislock.Client) {
			l, reader := e.acquire(c, "x", redislock.WithMode(redislock.Read)), e.acquire(other, "x", redislock.WithMode(redislock.Read))
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if err := l.Upgrade(short); !errors.Is(err, redislock.ErrHeld) {
				e.Error(err)
			}
			e.release(reader)
			if err := l.Upgrade(ctx); err != nil {
				e.Error(err)
			}
			e.release(l)
		}},
		"lapsed after Close": {redislock.EventLost, redislock.ErrLost, func(e *env, _ *fakenet.Network, c, _ *redislock.Client) {
			l := e.acquire(c, "x")
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_ = c.Close(short)
			time.Sleep(time.Minute)
			if err := l.Release(ctx); !errors.Is(err, redislock.ErrNotHeld) {
				e.Error(err)
			}
		}},
		"all or none": {redislock.EventReleased, nil, func(e *env, _ *fakenet.Network, c, other *redislock.Client) {
			l := e.acquire(other, "b")
			if _, err := c.AcquireAll(ctx, []string{"a", "b"}, redislock.WithWait(time.Second)); !errors.Is(err, redislock.ErrHeld) {
				e.Error(err)
			}
			e.release(l)
		}},
		"granted at the end of the wait": {redislock.EventReleased, nil, func(e *env, _ *fakenet.Network, c, other *redislock.Client) {
			e.release(e.acquire(c, "x"))
			for range 20 {
				l := e.acquire(other, "x")
				go func() {
					time.Sleep(10*time.Millisecond - 20*time.Microsecond)
					_ = l.Release(ctx)
				}()
				if got, err := c.Acquire(ctx, "x", redislock.WithWait(10*time.Millisecond)); err == nil {
					e.release(got)
				}
				time.Sleep(time.Second)
			}
		}},
	} {
		t.Run(what, func(t *testing.T) {
			embedded(t, 10*time.Microsecond, func(e *env, n *fakenet.Network) {
				var told recorder
				own := &fakenet.Network{Dial: e.mini.Dial}
				rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", Protocol: 2, DisableIdentity: true, Dialer: own.Dialer, ReadTimeout: time.Second})
				e.Cleanup(func() { _ = rdb.Close() })
				c, err := redislock.New(rdb, redislock.WithObserver(&told))
				if err != nil {
					e.Fatal(err)
				}
				e.Cleanup(func() { _ = c.Close(ctx) })
				one.play(e, own, c, e.client())
				time.Sleep(time.Second)
				if end := e.balanced(&told); end.Kind != one.kind || !errors.Is(end.Err, one.err) || end.Fence == 0 {
					e.Errorf("it ended by %v, %v, fence %d", end.Kind, end.Err, end.Fence)
				}
			})
		})
	}
}

func TestObserversAreAllTold(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		var one, two recorder
		c := e.client(redislock.WithObserver(redislock.Observers(&one, &two)))
		e.release(e.acquire(c, "warm"))
		time.Sleep(time.Second) // the Client has subscribed meanwhile: at that moment it renews what it holds
		before, other := len(one.events), len(two.events)
		e.release(e.acquire(c, "x"))
		if a, b := len(one.events)-before, len(two.events)-other; before != other || a != 3 || b != 3 {
			e.Errorf("told %d and %d events, after %d and %d: %v", a, b, before, other, one.events)
		}
	})
}

// acquireUnder nests in a lock.
func (e *env) acquireUnder(c *redislock.Client, l *redislock.Lock, name string) *redislock.Lock {
	e.Helper()
	inner, err := c.Acquire(l.Context(), name)
	if err != nil {
		e.stop(err)
	}
	return inner
}

// A waiter that found the holder dead, by a check, waited for that holder and not for itself.
func TestWhoIsServedAfterADeathWaitedForTheDead(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		var told recorder
		c := e.client(redislock.WithName("waiter"), redislock.WithObserver(&told))
		e.dead("x", 3*time.Second, redislock.WithMetadata("the dead one"))
		e.release(e.acquire(c, "x"))
		e.balanced(&told)
		for _, event := range told.events {
			if event.Kind == redislock.EventGranted && event.Holder.Metadata != "the dead one" {
				e.Errorf("it waited for %+v", event.Holder)
			}
		}
		e.dead("y", time.Minute, redislock.WithMetadata("the dead one"))
		_, _ = c.TryAcquire(context.Background(), "y")
		if last := told.events[len(told.events)-1]; last.Kind != redislock.EventGaveUp || last.Queued || last.Holder.Metadata != "the dead one" {
			e.Errorf("not served: %+v", last)
		}
	})
}

type traceKey struct{}

func traceOf(ctx context.Context) string {
	text, _ := ctx.Value(traceKey{}).(string)
	return text
}

func TestAGrantSaysWhomItWaitedFor(t *testing.T) {
	both(t, func(e *env) {
		var told recorder
		ctx := context.WithValue(context.Background(), traceKey{}, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		owner := e.client(redislock.WithName("owner"), redislock.WithTrace(traceOf))
		waiter := e.client(redislock.WithObserver(&told), redislock.WithTrace(traceOf))
		e.warm(waiter)
		e.subscribed(1) // so that it gets into the queue at once
		told.events = nil
		l, err := owner.Acquire(ctx, "x", redislock.WithMetadata("import\nof today"))
		if err != nil {
			e.Fatal(err)
		}
		asked := context.WithValue(context.Background(), traceKey{}, "second")
		got := make(chan *redislock.Lock, 1)
		go func() {
			l, err := waiter.Acquire(asked, "x", redislock.WithMode(redislock.Semaphore(2)), redislock.WithWeight(2))
			if err != nil {
				e.Error(err)
			}
			got <- l
		}()
		e.queued(owner, "x", 1)
		info, err := owner.Inspect(ctx, "x")
		if err != nil {
			e.Fatal(err)
		}
		if who := info.Holds[0].Owner; who.Trace != traceOf(ctx) || who.Metadata != "import\nof today" || who.PID == 0 {
			e.Errorf("the holder is %+v", who)
		}
		if info.Places[0].Owner.Trace != "second" {
			e.Errorf("who waits is %+v", info.Places[0].Owner)
		}
		e.release(l)
		e.release(<-got)
		e.balanced(&told)
		for _, event := range told.events {
			if event.Kind == redislock.EventGranted {
				if !event.Queued || event.Holder.Client != "owner" || event.Holder.Trace != traceOf(ctx) || event.Context != asked || event.Weight != 2 || event.Mode.Name() != redislock.Semaphore(2).Name() {
					e.Errorf("granted: %+v", event)
				}
			}
		}
		if told.count(redislock.EventQueued) != 1 || told.count(redislock.EventGranted) != 1 {
			e.Errorf("events: %+v", told.events)
		}
		if e.release(e.acquire(waiter, "free")); told.events[len(told.events)-2].Queued {
			e.Error("a lock that was free was waited for")
		}
	})
}

func TestATraceThatCannotTravelIsLeftOut(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client(redislock.WithTrace(traceOf))
		for _, bad := range []string{"two words", "a\nb", "\x00", strings.Repeat("x", redislock.MaxTrace+1), ""} {
			l, err := c.Acquire(context.WithValue(context.Background(), traceKey{}, bad), "x", redislock.WithMetadata("m"))
			if err != nil {
				e.Fatal(err)
			}
			info, err := c.Inspect(context.Background(), "x")
			if err != nil {
				e.Fatal(err)
			}
			if who := info.Holds[0].Owner; who.Trace != "" || who.Metadata != "m" || who.PID == 0 {
				e.Errorf("%q: %+v", bad, who)
			}
			e.release(l)
		}
		if _, err := redislock.New(e.raw, redislock.WithTrace(nil)); !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("WithTrace(nil): %v", err)
		}
	})
}

// An Observer that hangs in an event on the Client's own goroutine later gets a bounded number of events, with the losses, and
// the number of dropped ones.
func TestEventsForAnObserverThatHangsAreBoundedAndCounted(t *testing.T) {
	t.Parallel()
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		const held = 30
		var mu sync.Mutex
		told, dropped := map[redislock.EventKind]int{}, 0
		hangs := make(chan struct{})
		c := e.client(redislock.WithObserver(redislock.ObserverFunc(func(event redislock.Event) {
			mu.Lock()
			told[event.Kind]++
			dropped += event.Dropped
			first := event.Kind == redislock.EventRenewed && told[event.Kind] == 1
			mu.Unlock()
			if first {
				<-hangs
			}
		})))
		var locks []*redislock.Lock
		for i := range held {
			locks = append(locks, e.acquire(c, fmt.Sprint(i), redislock.WithLease(300*time.Millisecond)))
		}
		time.Sleep(10 * time.Second) // some 100 renewals each, more than are kept
		e.raw.FlushAll(context.Background())
		for _, l := range locks {
			<-l.Context().Done()
		}
		mu.Lock()
		if told[redislock.EventRenewed] != 1 || told[redislock.EventLost] > 0 {
			e.Errorf("told while it hung: %v", told)
		}
		mu.Unlock()
		close(hangs)
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		if told[redislock.EventLost] != held || told[redislock.EventRenewed] > 2100 || told[redislock.EventDropped] == 0 {
			e.Errorf("told when it went on: %v", told)
		}
		if all := told[redislock.EventRenewed] + dropped; all < 9*held*10 || all > 11*held*10 {
			e.Errorf("%d renewals told and dropped, of about %d", all, held*100)
		}
	})
}

// On the Client's own goroutine nobody could recover from the panic of an Observer.
func TestAnObserverThatDoesNotReturnOnTheClientsGoroutineIsToldSo(t *testing.T) {
	for how, way := range ways {
		t.Run(how, func(t *testing.T) {
			embedded(t, 0, func(e *env, _ *fakenet.Network) {
				var events recorder
				var always atomic.Bool
				c := e.client(redislock.WithObserver(redislock.ObserverFunc(func(event redislock.Event) {
					if event.Kind == redislock.EventRenewed || always.Load() {
						way()
					}
					events.Observe(event)
				})))
				l := e.acquire(c, "x", redislock.WithLease(time.Second))
				time.Sleep(3 * time.Second)
				if err := l.Err(); err != nil {
					e.Error(err)
				}
				if n := events.count(redislock.EventDropped); n < 5 {
					e.Errorf("told of %d", n)
				}
				for _, event := range events.events {
					if event.Kind == redislock.EventDropped && (event.Dropped != 1 || event.Err == nil || how == "panic" && !strings.Contains(event.Err.Error(), "of a callback")) {
						e.Errorf("told %+v", event)
					}
				}
				always.Store(true)
				time.Sleep(3 * time.Second)
				if err := l.Err(); err != nil {
					e.Error(err)
				}
				always.Store(false)
				e.release(l)
			})
		})
	}
}
