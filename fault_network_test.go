package redislock_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// A subscription that is half-open loses every message, and nobody notices: the checks find the grant.
func TestI9AWaiterWithAMuteSubscriptionIsServedByItsCheck(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	together(t, []string{"RESP2", "RESP3"}, func(t *testing.T, i int) {
		x := newScene(t, s)
		c := x.behind(2 + i)
		holder := x.acquire(x.look)
		w := x.waiting(c)
		x.queued(1)
		if x.proxy.MuteSubscriptions() != 1 {
			x.Error("the waiter is not subscribed")
		}
		released := time.Now()
		x.release(holder)
		granted := x.inspect().Fence
		l := x.got(w)
		if l.Fence() != granted {
			x.Errorf("fence %d, want %d of the hand-over", l.Fence(), granted)
		}
		if waited := w.at.Sub(released); waited > safetyNet {
			x.Errorf("served %v after the release, want one check", waited)
		}
		x.release(l)
		x.untouched()
	})
}

// I7: a holder that cannot be told is told by the renewal that is refused, and is over before the next one begins.
func TestI7AHolderWithAMuteSubscriptionLearnsThatItIsRobbed(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	together(t, []string{"RESP2", "RESP3"}, func(t *testing.T, i int) {
		x := newScene(t, s)
		c := x.behind(2 + i)
		// By message, so that there is a subscription.
		first := x.acquire(x.look)
		w := x.waiting(c, redislock.WithLease(6*time.Second))
		x.queued(1)
		x.release(first)
		l := x.got(w)
		if x.proxy.MuteSubscriptions() != 1 {
			x.Error("the holder is not subscribed")
		}
		asked := time.Now()
		thief := x.waiting(x.look, redislock.WithStealAfter(redislock.MinLease))
		x.within("the thief is served", thief.done)
		if l.Context().Err() == nil {
			x.Error("the lock is another's and the context goes on")
		}
		if waited := thief.at.Sub(asked); waited > 5500*time.Millisecond {
			x.Errorf("served after %v, want a renewal's time and not the lease", waited)
		}
		x.lost(l, redislock.ErrStolen)
		x.release(x.got(thief))
		if err := l.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) {
			x.Errorf("release of a stolen lock: %v", err)
		}
		x.untouched()
	})
}

// Fifty waiters on two instances pass a lock around while their subscriptions break again and again: what a broken one
// lost, the checks after the new one find.
func TestI5FiftyWaitersAreServedWhileSubscriptionsBreak(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	clients := []*redislock.Client{x.behind(2), x.behind(3)}
	holder := x.acquire(x.look)
	var (
		mu      sync.Mutex
		inside  atomic.Int32
		last    = holder.Fence()
		freed   time.Time
		longest time.Duration
		served  int
	)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			var l *redislock.Lock
			var err error
			for again := true; again; {
				start := time.Now()
				l, err = clients[i%2].Acquire(ctx, x.name)
				again = x.starved(err, start)
			}
			if err != nil {
				x.Errorf("waiter %d: %v", i, err)
				return
			}
			if inside.Add(1) > 1 {
				x.Error("I1: two inside")
			}
			mu.Lock()
			if l.Fence() <= last {
				x.Errorf("I2: fence %d after %d", l.Fence(), last)
			}
			last, served = l.Fence(), served+1
			longest = max(longest, time.Since(freed))
			mu.Unlock()
			time.Sleep(5 * time.Millisecond)
			inside.Add(-1)
			mu.Lock()
			freed = time.Now()
			mu.Unlock()
			x.release(l)
		})
	}
	x.queued(50)
	breaking := make(chan struct{})
	stop := make(chan struct{})
	broken := 0
	go func() {
		defer close(breaking)
		for {
			select {
			case <-stop:
				return
			case <-time.After(25 * time.Millisecond):
				broken += x.proxy.CloseSubscriptions()
			}
		}
	}()
	mu.Lock()
	freed = time.Now()
	mu.Unlock()
	x.release(holder)
	all.Wait()
	close(stop)
	<-breaking
	t.Logf("%d subscriptions broken, the longest hand-over took %v", broken, longest)
	if broken < 10 {
		t.Errorf("only %d subscriptions were broken", broken)
	}
	if served != 50 {
		t.Errorf("%d served, want 50", served)
	}
	if longest > safetyNet {
		t.Errorf("a hand-over took %v: its wake-up was lost, and the check came too late", longest)
	}
	x.untouched()
}

// watched is two locks of instances that are about to be cut off: one is asked, over and over, by Err, the other's
// context is waited for.
type watched struct {
	*scene
	asked, waited   *redislock.Lock
	renewed         *tally
	margin          time.Duration // of the instance whose context is waited for
	askedUntil      time.Time     // until when Err said nil: the last time before a call of it that did
	endedAt         time.Time     // when the context had ended
	askedC, waitedC *scene        // the same, for their names
}

const cutLease = 1500 * time.Millisecond

// newWatched takes the locks. A context that ends is seen when the machine gets round to it, so the margin of that
// instance is wide enough for a busy one; Err is right to the microsecond, and so is its test.
func newWatched(t *testing.T, s *servertest.Server, connect func(x *scene) redis.UniversalClient) *watched {
	w := &watched{renewed: &tally{}, margin: 500 * time.Millisecond}
	w.scene = newScene(t, s)
	w.askedC, w.waitedC = w.alias(" asked"), w.alias(" waited")
	rdb := connect(w.scene)
	w.asked = w.askedC.acquire(w.on(rdb, redislock.WithObserver(w.renewed)), redislock.WithLease(cutLease))
	w.waited = w.waitedC.acquire(w.on(rdb, redislock.WithObserver(w.renewed), redislock.WithClockMargin(w.margin)),
		redislock.WithLease(cutLease))
	return w
}

func (x *scene) alias(suffix string) *scene {
	other := *x
	other.name += suffix
	return &other
}

// deadlines is when the server will drop the holds. The server's clock is this machine's.
func (w *watched) deadlines() (asked, waited time.Time) {
	w.Helper()
	a, b := w.askedC.inspect(), w.waitedC.inspect()
	if len(a.Holds) != 1 || len(b.Holds) != 1 {
		w.Fatalf("not held: %+v, %+v", a, b)
	}
	return a.Holds[0].Deadline, b.Holds[0].Deadline
}

// watch returns when both locks are lost.
func (w *watched) watch() {
	w.Helper()
	var all sync.WaitGroup
	all.Go(func() {
		<-w.waited.Context().Done()
		w.endedAt = time.Now()
	})
	all.Go(func() {
		for {
			now := time.Now()
			if w.asked.Err() != nil {
				return
			}
			w.askedUntil = now
			time.Sleep(100 * time.Microsecond)
		}
	})
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	w.within("both locks are lost", done)
	w.lost(w.asked, redislock.ErrLost)
	w.lost(w.waited, redislock.ErrLost)
}

// inTime compares with what the server will do.
func (w *watched) inTime(asked, waited time.Time) {
	w.Helper()
	if !w.askedUntil.Before(asked) {
		w.Errorf("I6: Err said nil %v after the server's deadline", w.askedUntil.Sub(asked))
	}
	if !w.endedAt.Before(waited) {
		w.Errorf("I7: the context ended %v after the server's deadline", w.endedAt.Sub(waited))
	}
}

// over releases both, too late, and takes them anew.
func (w *watched) over(c *redislock.Client) {
	w.Helper()
	for _, l := range []*redislock.Lock{w.asked, w.waited} {
		if err := l.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrLost) {
			w.Errorf("release of a lost lock: %v", err)
		}
	}
	for _, x := range []*scene{w.askedC, w.waitedC} {
		x.release(x.acquire(c)) // with a greater fence
		x.untouched()
	}
}

func TestI7ACutOffHolderEndsBeforeItsLease(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	together(t, []string{"RESP2", "RESP3"}, func(t *testing.T, i int) {
		w := newWatched(t, s, func(x *scene) redis.UniversalClient {
			return x.proxy.Connect(func(o *redis.Options) { o.Protocol, o.ReadTimeout = 2+i, readTimeout })
		})
		w.eventually("both were renewed", func() bool { return w.renewed.count(redislock.EventRenewed) >= 2 })
		w.proxy.Mute()
		asked, waited := w.deadlines()
		w.watch()
		w.inTime(asked, waited)
		w.proxy.Unmute()
		w.over(w.behind(2 + i))
	})
}

func TestI7AHolderWhoseServerIsPausedEndsBeforeItsLease(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for try := 1; ; try++ {
		w := newWatched(t, s, func(x *scene) redis.UniversalClient { return s.Connect() })
		w.eventually("both were renewed", func() bool { return w.renewed.count(redislock.EventRenewed) >= 4 })
		renewed := w.renewed.count(redislock.EventRenewed) // the next one is due after a third of the lease
		asked, waited := w.deadlines()
		s.Pause()
		w.watch()
		s.Resume()
		unknown := w.renewed.count(redislock.EventRenewed) > renewed // one was under way: the deadlines are later ones
		if !unknown {
			w.inTime(asked, waited)
		}
		w.over(w.look)
		if !unknown {
			return
		}
		if try == 10 {
			t.Fatal("ten times a renewal came between the look at the deadlines and the pause")
		}
	}
}
