package quorum_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/quorum"
)

// held is how many nodes have granted a lock, as far as its holder knows.
func held(l *quorum.Lock) (n int) {
	for _, of := range l.Nodes() {
		if of.Held {
			n++
		}
	}
	return n
}

// way is the network of a process to the server. Processes count from 0.
func (s *node) way(process int) (cut, mend func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nets[process].Cut, s.nets[process].Mend
}

// The first node has given the smallest fence, and is to confirm that of the second. It becomes mute before it does.
func mutedAtTheConfirm(f *fleet, opts ...redislock.Option) (*quorum.Lock, time.Duration) {
	q := f.locker()
	f.release(f.acquire(q, "warm"))
	time.Sleep(10 * time.Millisecond)
	cut, _ := f.servers[0].way(0)
	time.AfterFunc(300*time.Microsecond, cut)
	begun := time.Now()
	l := f.acquire(q, "a", opts...)
	return l, time.Since(begun)
}

func TestANodeThatIsMuteAfterItsVoteDelaysNobody(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		l, took := mutedAtTheConfirm(f)
		if took > 50*time.Millisecond {
			f.Errorf("it took %v", took)
		}
		_, mend := f.servers[0].way(0)
		mend()
		f.release(l)
		f.untouched("a")
	})
}

func TestTheContextEndsInTimeWhileARequestForAVoteHangs(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		l, _ := mutedAtTheConfirm(f, redislock.WithLease(500*time.Millisecond))
		begun := time.Now()
		f.servers[1].stop()
		<-l.Context().Done()
		if took := time.Since(begun); took > 500*time.Millisecond {
			f.Errorf("it ended after %v", took)
		}
		_ = l.Release(context.Background())
		_, mend := f.servers[0].way(0)
		mend()
		f.servers[1].start(false)
		f.untouched("a")
	})
}

func TestALockThatWasTriedForIsAskedForAgainToo(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		q := f.locker()
		f.release(f.acquire(q, "warm"))
		f.servers[0].stop()
		l, err := q.TryAcquire(context.Background(), "a")
		if err != nil {
			f.Fatal(err)
		}
		f.servers[0].start(true)
		time.Sleep(10 * time.Second)
		if n := held(l); n != 3 {
			f.Errorf("%d nodes have it after the first is back", n)
		}
		f.servers[1].flush()
		time.Sleep(time.Minute)
		if n := held(l); n != 3 {
			f.Errorf("%d nodes have it after the second has lost its data", n)
		}
		f.release(l)
		f.untouched("a")
	})
}

// The older attempt has the votes of two nodes, one of which does not count yet. The younger attempt has the third vote, with which
// the older one would have a majority.
func TestAVoteThatDoesNotCountYetIsNoReasonToAskNobody(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		older, younger := f.locker(), f.locker()
		f.release(f.acquire(older, "warm"))
		f.release(f.acquire(younger, "warm"))
		f.servers[0].stop()
		f.servers[0].start(true)
		cut, mend := f.servers[2].way(0)
		cut()
		done := make(chan time.Duration, 2)
		acquire := func(q *quorum.Locker) {
			begun := time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			l, err := q.Acquire(ctx, "a")
			done <- time.Since(begun)
			if err != nil {
				f.Error(err)
				return
			}
			f.release(l)
		}
		go acquire(older)
		time.Sleep(100 * time.Millisecond)
		go acquire(younger)
		time.Sleep(100 * time.Millisecond)
		mend()
		for range 2 {
			if took := <-done; took > 10*time.Second {
				f.Errorf("one waited for %v", took)
			}
		}
		f.untouched("a")
	})
}

// A burst of callers makes connections while the first of them ask since when the node has been up.
func TestNewConnectionsMakeNoTryFail(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		q := f.locker()
		f.release(f.acquire(q, "warm"))
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 70 * time.Microsecond)
				l, err := q.TryAcquire(context.Background(), fmt.Sprint("a", i))
				if err != nil {
					f.Error(err)
					return
				}
				f.release(l)
			})
		}
		all.Wait()
	})
}

// If a server does not answer until the caller's time is over, the request to it is given back in the background.
func TestAWaitThatIsBoundedEndsInItsTimeThoughItFailsBefore(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		holder := f.acquire(f.locker(), "a")
		clients := f.clients()
		q, err := quorum.New(clients)
		if err != nil {
			f.Fatal(err)
		}
		f.release(f.acquire(q, "warm"))
		time.Sleep(time.Second)
		f.servers[2].cut()
		const wait = 100 * time.Millisecond
		time.AfterFunc(wait/2, func() {
			ended, cancel := context.WithCancel(context.Background())
			cancel()
			for _, c := range clients[:2] {
				_ = c.Close(ended) // all waits fail
			}
		})
		begun := time.Now()
		_, err = q.Acquire(context.Background(), "a", redislock.WithWait(wait))
		if took := time.Since(begun); err == nil || took > wait+50*time.Millisecond {
			f.Errorf("it took %v: %v", took, err)
		}
		f.servers[2].mend()
		f.release(holder)
	})
}

type panicking struct{}

func (panicking) Observe(e redislock.Event) { panic(fmt.Sprint(e.Kind)) }

// Callbacks of the user are called on goroutines of this package, so only the package can recover from their panics.
func TestAnObserverThatPanicsDoesNotEndTheProcess(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		q, err := quorum.New(f.clients(redislock.WithObserver(panicking{})))
		if err != nil {
			f.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := q.Acquire(ctx, "a"); err == nil || errors.Is(err, redislock.ErrHeld) {
			f.Error(err)
		}
		f.untouched("a")
	})
}

// picky panics at events of one kind.
type picky redislock.EventKind

func (p picky) Observe(e redislock.Event) {
	if e.Kind == redislock.EventKind(p) {
		panic("not this one")
	}
}

func TestAnObserverThatPanicsAtAReleaseIsAnErrorOfTheRelease(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		q, err := quorum.New(f.clients(redislock.WithObserver(picky(redislock.EventReleased))))
		if err != nil {
			f.Fatal(err)
		}
		if err := f.acquire(q, "a").Release(context.Background()); err == nil {
			f.Error("nothing was said")
		}
		f.untouched("a")
	})
}

// ending ends the goroutine on which it gets an event of that kind.
type ending redislock.EventKind

func (k ending) Observe(e redislock.Event) {
	if e.Kind == redislock.EventKind(k) {
		runtime.Goexit()
	}
}

func TestAnObserverThatEndsItsGoroutineCostsAnErrorAndNoLock(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		for _, kind := range []redislock.EventKind{redislock.EventAsked, redislock.EventGranted, redislock.EventReleased} {
			q, err := quorum.New(f.clients(redislock.WithObserver(ending(kind))))
			if err != nil {
				f.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			begun := time.Now()
			l, err := q.Acquire(ctx, "a")
			if err == nil {
				err = l.Release(context.Background())
			}
			cancel()
			if took := time.Since(begun); err == nil || errors.Is(err, redislock.ErrHeld) || took > 2*time.Second {
				f.Errorf("%v: %v after %v", kind, err, took)
			}
			f.untouched("a")
		}
	})
}

// The servers have closed their connections, which the pools do not know yet, and have kept everything. The Redis clients retry
// nothing.
func TestALookOverAConnectionThatTheServerHasClosedCostsNoTry(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		for _, s := range f.servers {
			s.always = true
		}
		q := f.locker()
		var all sync.WaitGroup
		for i := range 2 {
			all.Go(func() { f.release(f.acquire(q, fmt.Sprint("warm", i))) })
		}
		all.Wait()
		time.Sleep(time.Second)
		for _, s := range f.servers {
			s.stop()
			s.start(false)
		}
		l, err := q.TryAcquire(context.Background(), "a")
		if err != nil {
			f.Fatal(err)
		}
		f.release(l)
		f.untouched("a")
	})
}

// The address of a node now leads to another server, which has been up for a day and has no data. So its votes are not known.
func TestAnotherServerAtTheAddressOfANodeDoesNotCountYet(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		q := f.locker()
		f.release(f.acquire(q, "warm"))
		time.Sleep(10 * time.Second)
		for _, s := range f.servers[:2] {
			s.stop()
			s.start(false)
			s.mu.Lock()
			s.born = time.Now().Add(-24 * time.Hour)
			s.mu.Unlock()
		}
		begun := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		l, err := q.Acquire(ctx, "a")
		if took := time.Since(begun); err != nil || took < 59*time.Second {
			f.Fatalf("%v after %v", err, took)
		}
		f.release(l)
		f.untouched("a")
	})
}

// unruly is a hook that panics at every command once it is told to.
type unruly struct{ now atomic.Bool }

func (u *unruly) DialHook(next redis.DialHook) redis.DialHook { return next }

func (u *unruly) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		u.panics(cmd)
		return next(ctx, cmd)
	}
}

func (u *unruly) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, all []redis.Cmder) error {
		u.panics(all[0])
		return next(ctx, all)
	}
}

func (u *unruly) panics(cmd redis.Cmder) {
	if cmd.Name() == "time" && u.now.Load() {
		panic("a hook of the user's")
	}
}

// The clocks are checked again in the background, where only the package can recover from a panic.
func TestAHookThatPanicsWhenAClockIsLookedAtDoesNotEndTheProcess(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		q, hook := f.locker(), &unruly{}
		for _, rdb := range f.rdbs {
			rdb.AddHook(hook)
		}
		f.release(f.acquire(q, "a"))
		time.Sleep(time.Minute)
		hook.now.Store(true)
		if l, err := q.TryAcquire(context.Background(), "a"); err == nil {
			f.release(l)
		}
		time.Sleep(time.Minute)
		hook.now.Store(false)
		f.release(f.acquire(q, "a"))
		f.untouched("a")
	})
}
