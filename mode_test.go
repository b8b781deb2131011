package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
	"example.com/redislock/internal/servertest"
)

var (
	reading = redislock.WithMode(redislock.Read)
	writing = redislock.WithMode(redislock.Write)
	trying  = redislock.WithWait(0)
)

// waiter acquires in the background; what it got is sent when it has it.
func (e *env) waiter(c *redislock.Client, name string, opts ...redislock.Option) <-chan *redislock.Lock {
	e.Helper()
	got := make(chan *redislock.Lock, 1)
	go func() { got <- e.acquire(c, name, opts...) }()
	return got
}

// refused fails unless the lock is held by others.
func (e *env) refused(c *redislock.Client, name string, opts ...redislock.Option) {
	e.Helper()
	l, err := c.Acquire(context.Background(), name, append(opts, trying)...)
	if !errors.Is(err, redislock.ErrHeld) {
		e.Errorf("got %v, want ErrHeld", err)
	}
	if err == nil {
		e.release(l)
	}
}

// none fails if something was granted.
func (e *env) none(got <-chan *redislock.Lock, why string) {
	e.Helper()
	time.Sleep(50 * time.Millisecond)
	select {
	case l := <-got:
		e.Errorf("granted although %s", why)
		e.release(l)
	default:
	}
}

func TestManyReadersOrOneWriter(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(), e.client()
		r1, r2 := e.acquire(a, "x", reading, trying), e.acquire(b, "x", reading, trying)
		if r2.Fence() <= r1.Fence() {
			e.Errorf("I2: fence %d after %d", r2.Fence(), r1.Fence())
		}
		e.refused(a, "x", writing)
		e.refused(a, "x")
		e.release(r1)
		e.refused(a, "x", writing)
		e.release(r2)
		w := e.acquire(a, "x", writing, trying)
		e.refused(b, "x", writing)
		e.refused(b, "x", reading)
		e.release(w)
		e.untouched("x")
	})
}

func TestAWriterIsNotPassedByLaterReaders(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(), e.client()
		r1 := e.acquire(a, "x", reading)
		writer := e.waiter(b, "x", writing)
		e.queued(a, "x", 1)
		e.refused(a, "x", reading) // I5: it would fit, but does not pass
		late := e.waiter(a, "x", reading)
		e.queued(a, "x", 2)
		e.release(r1)
		w := <-writer
		e.none(late, "a writer holds")
		e.release(w)
		e.release(<-late)
		e.untouched("x")
	})
}

func TestConsecutiveReadersAreGrantedByOneReleaseInOneMessageEach(t *testing.T) {
	both(t, func(e *env) {
		const readers = 10
		a, b := e.client(), e.client()
		w := e.acquire(a, "x", writing)
		var got []<-chan *redislock.Lock
		for i := range readers {
			got = append(got, e.waiter([]*redislock.Client{a, b}[i%2], "x", reading))
			e.queued(a, "x", i+1)
		}
		last := e.waiter(b, "x", writing)
		e.queued(a, "x", readers+1)

		var grants atomic.Int32
		e.overhear(func(text string) {
			if strings.HasPrefix(text, "g") {
				grants.Add(1)
			}
		})
		e.release(w)
		held, fences := []*redislock.Lock{}, map[int64]bool{}
		for _, g := range got {
			l := <-g
			held, fences[l.Fence()] = append(held, l), true
		}
		if len(fences) != readers {
			e.Errorf("%d fences of %d readers", len(fences), readers)
		}
		e.none(last, "readers hold")
		if n := grants.Load(); n != readers {
			e.Errorf("%d messages for %d readers", n, readers)
		}
		for _, l := range held {
			e.release(l)
		}
		e.release(<-last)
		e.untouched("x")
	})
}

func TestReadersAndWritersKeepApart(t *testing.T) {
	both(t, func(e *env) {
		const instances, workers = 3, 6
		rounds := unlessShort(15, 5)
		var (
			wg               sync.WaitGroup
			readers, writers atomic.Int32
			together         atomic.Int32
		)
		for range instances {
			c := e.client()
			for w := range workers {
				wg.Go(func() {
					for round := range rounds {
						mode, mine, most := reading, &readers, int32(instances*workers)
						if (w+round)%3 == 0 {
							mode, mine, most = writing, &writers, 1
						}
						l := e.acquire(c, "shared", mode)
						n := mine.Add(1)
						if n > most || readers.Load() > 0 && writers.Load() > 0 {
							e.Errorf("%d readers and %d writers", readers.Load(), writers.Load())
						}
						if readers.Load() > 1 {
							together.Add(1)
						}
						time.Sleep(time.Millisecond)
						mine.Add(-1)
						e.release(l)
					}
				})
			}
		}
		wg.Wait()
		if together.Load() == 0 {
			e.Error("readers were never together")
		}
		e.untouched("shared")
	})
}

func TestEachHoldHasItsOwnDeadlineFenceAndMetadata(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		c := e.client(redislock.WithName("api"))
		long := e.acquire(c, "x", reading, redislock.WithMetadata("long"), redislock.WithLease(time.Minute))
		short := e.acquire(c, "x", reading, redislock.WithMetadata("short"), redislock.WithLease(2*time.Second), redislock.WithoutRenewal())
		info, err := c.Inspect(ctx, "x")
		if err != nil || info.Holders != 2 || len(info.Holds) != 2 {
			e.Fatalf("%+v, %v", info, err)
		}
		for i, want := range []*redislock.Lock{long, short} {
			h := info.Holds[i]
			if h.Fence != want.Fence() || h.Mode != redislock.Read || h.Weight != 1 || h.Owner.Client != "api" {
				e.Errorf("hold %d is %+v", i, h)
			}
		}
		if h := info.Holds[1]; h.Owner.Metadata != "short" || h.Deadline.Sub(h.Since) != 2*time.Second {
			e.Errorf("the short one is %+v", h)
		}
		_, err = c.TryAcquire(ctx, "x")
		var held *redislock.HeldError
		if !errors.As(err, &held) || held.Holders != 2 || held.Holder.Metadata != "long" || !held.Deadline.Equal(info.Holds[1].Deadline) {
			e.Errorf("an exclusive caller is told %+v", err)
		}
		w := e.acquire(c, "y", writing) // time passes, for everybody
		time.Sleep(5 * time.Minute)
		if !errors.Is(short.Err(), redislock.ErrLost) || long.Err() != nil || w.Err() != nil {
			e.Errorf("after five minutes: short %v, long %v", short.Err(), long.Err())
		}
		if err := short.Release(ctx); !errors.Is(err, redislock.ErrNotHeld) {
			e.Errorf("the short one's release: %v", err)
		}
		if info, _ := c.Inspect(ctx, "x"); info.Holders != 1 {
			e.Errorf("%d hold", info.Holders)
		}
		e.release(long)
		e.release(w)
		e.untouched("x")
	})
}

func TestStaleHoldsOfASharedLockAreStolenAndFreshOnesAreNot(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(), e.client()
		old1, old2 := e.acquire(a, "x", reading), e.acquire(b, "x", reading)
		time.Sleep(300 * time.Millisecond)
		fresh := e.acquire(a, "x", reading)
		thief := e.waiter(b, "x", writing, redislock.WithStealAfter(300*time.Millisecond))
		<-old1.Context().Done()
		<-old2.Context().Done()
		if !errors.Is(old1.Err(), redislock.ErrStolen) || !errors.Is(old2.Err(), redislock.ErrStolen) {
			e.Errorf("the stale ones: %v, %v", old1.Err(), old2.Err())
		}
		if fresh.Err() != nil {
			e.Errorf("the fresh one: %v", fresh.Err())
		}
		e.release(fresh)
		e.release(<-thief)
		e.untouched("x")
	})
}

func TestAFreshWaiterDoesNotRobThoseItStandsBeside(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		a, b := e.client(), e.client()
		old := e.acquire(a, "x", reading)
		time.Sleep(time.Minute) // it is stale, and in nobody's way
		beside := e.acquire(b, "x", reading, redislock.WithStealAfter(time.Second))
		time.Sleep(10 * time.Second)
		if old.Err() != nil {
			e.Errorf("a stale reader beside a reader: %v", old.Err())
		}
		e.release(beside)
		e.release(old)
		e.untouched("x")
	})
}

func TestADeadWriterInTheQueueIsDroppedWithItsClient(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		c := e.client()
		cut := &fakenet.Network{Dial: e.mini.Dial}
		dying := e.clientOn(cut)
		r := e.acquire(c, "x", reading)
		ctx, cancel := context.WithCancel(context.Background())
		go func() { _, _ = dying.Acquire(ctx, "x", writing) }()
		e.queued(c, "x", 1)
		cut.Cut()
		asked := time.Now()
		behind := e.acquire(c, "x", reading) // nobody releases anything
		if waited := time.Since(asked); waited > 9100*time.Millisecond {
			e.Errorf("a reader waited %v behind a dead writer", waited)
		}
		e.release(behind)
		e.release(r)
		cancel()
		time.Sleep(2 * time.Minute)
		e.untouched("x")
	})
}

func TestBreakEndsAllHoldsOfASharedLock(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		var held []*redislock.Lock
		for range 70 { // more than one script ends
			held = append(held, e.acquire(c, "x", reading))
		}
		writer := e.waiter(c, "x", writing)
		e.queued(c, "x", 1)
		fence, err := c.Break(context.Background(), "x", "wrong file")
		if err != nil || fence != held[len(held)-1].Fence() {
			e.Errorf("fence %d, %v", fence, err)
		}
		for _, l := range held {
			<-l.Context().Done()
			if !errors.Is(l.Err(), redislock.ErrStolen) || !strings.Contains(l.Err().Error(), "wrong file") {
				e.Errorf("the holder says %v", l.Err())
			}
			_ = l.Release(context.Background())
		}
		e.release(<-writer)
		e.untouched("x")
	})
}

func TestOutOfMemoryASharedLockIsStillGivenBackAndChanged(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	x := newScene(t, servertest.Start(t, "--maxmemory-policy", "noeviction"))
	c, other := x.beside(), x.beside()
	acquire := func(c *redislock.Client, opts ...redislock.Option) *redislock.Lock {
		l, err := c.Acquire(ctx, x.name, opts...)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	a, b, third := acquire(c, reading), acquire(other, reading), acquire(other, reading)
	upgraded := make(chan error, 1)
	go func() { upgraded <- a.Upgrade(ctx) }()
	x.queued(1)
	waiting := x.waiting(other, reading)
	x.queued(2)
	if err := x.raw.Set(ctx, "ballast", strings.Repeat("x", 4<<20), 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := x.raw.ConfigSet(ctx, "maxmemory", "1mb").Err(); err != nil {
		t.Fatal(err)
	}
	x.release(b)
	x.release(third)
	if err := <-upgraded; err != nil {
		t.Error(err)
	}
	if err := a.Downgrade(ctx); err != nil {
		t.Errorf("a downgrade: %v", err)
	}
	x.within("the reader behind it comes in", waiting.done)
	ticket, err := a.Handoff()
	if err != nil {
		t.Fatal(err)
	}
	moved, err := other.Resume(ctx, ticket)
	if err != nil {
		t.Fatal(err)
	}
	x.release(waiting.lock)
	x.release(moved)
	x.untouched()
}

func TestASemaphoreHasItsUnitsAndNoMore(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(), e.client()
		three := redislock.WithMode(redislock.Semaphore(3))
		one, two := e.acquire(a, "x", three, trying), e.acquire(b, "x", three, trying, redislock.WithWeight(2))
		e.refused(a, "x", three)
		e.refused(a, "x", reading)
		e.release(two)
		big := e.waiter(a, "x", three, redislock.WithWeight(3))
		e.queued(a, "x", 1)
		e.refused(b, "x", three) // I5: a large one at the head is not passed by small ones
		small := e.waiter(b, "x", three)
		e.queued(a, "x", 2)
		e.none(small, "a larger request is in front")
		e.release(one)
		l := <-big
		e.none(small, "all units are taken")
		e.release(l)
		e.release(<-small)
		e.untouched("x")
	})
}

func TestAWeightThatNeverFitsIsInvalidAtOnceAndNothingIsSent(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		before := e.raw.DBSize(context.Background()).Val()
		bad := redislock.NewMode("bad name")
		var many []redislock.Rule // they name 34 modes
		for i := range 17 {
			many = append(many, redislock.AtMost(i, "a", fmt.Sprint("m", i)))
		}
		for _, opts := range [][]redislock.Option{
			{redislock.WithMode(redislock.Semaphore(3)), redislock.WithWeight(4)},
			{redislock.WithMode(redislock.Semaphore(0))},
			{redislock.WithMode(redislock.Semaphore(redislock.MaxUnits + 1))},
			{redislock.WithWeight(2)},
			{writing, redislock.WithWeight(2)},
			{reading, redislock.WithWeight(0)},
			{redislock.WithMode(redislock.NewMode("two", redislock.AtMost(1, "two"))), redislock.WithWeight(3)},
			{redislock.WithMode(bad)},
			{redislock.WithMode(redislock.NewMode(""))},
			{redislock.WithMode(redislock.NewMode("read"))},
			{redislock.WithMode(redislock.NewMode("a,b"))},
			{redislock.WithMode(redislock.NewMode(strings.Repeat("n", redislock.MaxModeName+1)))},
			{redislock.WithMode(redislock.NewMode("a", redislock.CompatibleWith("a b")))},
			{redislock.WithMode(redislock.NewMode("a", redislock.AtMost(-1, "a")))}, // any number is CompatibleWith
			{redislock.WithMode(redislock.NewMode("a", redislock.AtMost(-2, "a")))},
			{redislock.WithMode(redislock.NewMode("a", redislock.AtMost(redislock.MaxUnits+1, "a")))},
			{redislock.WithMode(redislock.NewMode("a", redislock.AtMost(2)))},
			{redislock.WithMode(redislock.NewMode("a", redislock.AtMost(2, "a", "+b")))},
			{redislock.WithMode(redislock.NewMode("a", redislock.AtGrant(redislock.AtMost(-1, "a"))))},
			{redislock.WithMode(redislock.NewMode("a", many...))},
			{redislock.WithMode(redislock.NewMode("sum", redislock.AtMost(2, "sum", "a"))), redislock.WithWeight(4)},
			{redislock.WithMode(redislock.Semaphore(3).Beside(redislock.AtMost(1, "semaphore"))), redislock.WithWeight(3)},
			{redislock.WithMode(redislock.Exclusive.Beside(redislock.CompatibleWith("a")))},
			{redislock.WithMode(redislock.Write.Beside())},
			{redislock.WithMode(redislock.Semaphore(0).Beside(redislock.CompatibleWith("a")))},
		} {
			l, err := c.Acquire(context.Background(), "x", append(opts, redislock.WithWait(0))...)
			if !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("got %v, want ErrInvalid", err)
			}
			if err == nil {
				e.release(l)
			}
		}
		if _, err := c.AcquireWeak(context.Background(), "x", reading); !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("a weak lock with a mode: %v", err)
		}
		if after := e.raw.DBSize(context.Background()).Val(); after != before {
			e.Errorf("%d keys, then %d", before, after)
		}
	})
}

func TestSemaphoresOfDifferentSizesKeepTheSmallest(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		five, two := redislock.WithMode(redislock.Semaphore(5)), redislock.WithMode(redislock.Semaphore(2))
		var held []*redislock.Lock
		for range 2 {
			held = append(held, e.acquire(c, "x", five, trying))
		}
		e.refused(c, "x", two)
		e.release(held[0])
		small := e.acquire(c, "x", two, trying)
		e.refused(c, "x", five)
		e.release(small)
		for range 4 {
			held = append(held, e.acquire(c, "x", five, trying))
		}
		e.refused(c, "x", five)
		for _, l := range held[1:] {
			e.release(l)
		}
		e.untouched("x")
	})
}

func TestPermitsOfACrashedProcessComeBack(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		two := redislock.WithMode(redislock.Semaphore(2))
		alive, other := e.client(), e.client()
		kept := e.acquire(alive, "x", two)
		ends := e.dead("x", 5*time.Second, two)
		l := e.acquire(other, "x", two)
		if late := time.Since(ends); late < 0 || late > 20*time.Millisecond {
			e.Errorf("the permit of the dead came back %v after its deadline", late)
		}
		if kept.Err() != nil {
			e.Errorf("the permit of the living: %v", kept.Err())
		}
		e.release(l)
		e.release(kept)
		e.untouched("x")
	})
}

// intents are the five modes of hierarchical locking, by the matrix of Gray, Lorie, Putzolu and Traiger, "Granularity of
// Locks and Degrees of Consistency in a Shared Data Base" (1976).
var intents = map[string]redislock.Mode{
	"IS":  redislock.NewMode("IS", redislock.CompatibleWith("IS", "IX", "S", "SIX")),
	"IX":  redislock.NewMode("IX", redislock.CompatibleWith("IS", "IX")),
	"S":   redislock.NewMode("S", redislock.CompatibleWith("IS", "S")),
	"SIX": redislock.NewMode("SIX", redislock.CompatibleWith("IS")),
	"X":   redislock.NewMode("X"),
}

func TestIntentLocksFollowTheirMatrix(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		order := []string{"IS", "IX", "S", "SIX", "X"}
		matrix := []string{"++++-", "++---", "+-+--", "+----", "-----"}
		for i, held := range order {
			for j, asked := range order {
				l := e.acquire(c, "x", redislock.WithMode(intents[held]))
				second, err := c.TryAcquire(context.Background(), "x", redislock.WithMode(intents[asked]))
				if granted := err == nil; granted != (matrix[i][j] == '+') {
					e.Errorf("%s beside %s: %v", asked, held, err)
				}
				if err == nil {
					e.release(second)
				}
				e.refused(c, "x") // an exclusive one fits beside none
				e.release(l)
			}
		}
		e.untouched("x")
	})
}

func TestAtMostCountsTheHoldsOfAMode(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		backup := redislock.WithMode(redislock.NewMode("backup", redislock.AtMost(2, "worker")))
		worker := redislock.WithMode(redislock.NewMode("worker", redislock.CompatibleWith("worker"), redislock.AtMost(1, "backup")))
		w1, w2, w3 := e.acquire(c, "x", worker), e.acquire(c, "x", worker), e.acquire(c, "x", worker)
		e.refused(c, "x", backup)
		e.release(w3)
		b := e.acquire(c, "x", backup, trying)
		e.refused(c, "x", backup) // itself is not named by its rules
		e.refused(c, "x", worker) // it fits for the worker, but the backup tolerates two
		e.release(w2)
		w2 = e.acquire(c, "x", worker, trying)
		e.release(b)
		for _, l := range []*redislock.Lock{w1, w2} {
			e.release(l)
		}
		e.untouched("x")
	})
}

func TestASumCountsSeveralModesTogether(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(), e.client()
		most := redislock.AtMost(3, "small", "large")
		small := redislock.WithMode(redislock.NewMode("small", most))
		large := redislock.WithMode(redislock.NewMode("large", most, redislock.AtMost(1, "large")))
		one, two := e.acquire(c, "x", large, trying), e.acquire(other, "x", small, trying, redislock.WithWeight(2))
		e.refused(c, "x", large, redislock.WithWeight(2)) // there would be 5
		e.refused(c, "x")
		e.refused(c, "x", reading)
		three := e.acquire(c, "x", large, trying)
		e.refused(other, "x", small)
		waits := e.waiter(other, "x", large)
		e.queued(c, "x", 1)
		e.release(two)
		e.none(waits, "a rule of its own allows one other large one")
		e.release(one)
		e.release(three)
		e.release(<-waits)
		e.untouched("x")
	})
}

func TestAOneSidedRuleIsAskedAtTheGrantOnly(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(), e.client()
		web := redislock.WithMode(redislock.NewMode("web", redislock.CompatibleWith("web", "job")))
		job := redislock.WithMode(redislock.NewMode("job", redislock.AtGrant(redislock.AtMost(1, "web"))))
		w1, w2 := e.acquire(c, "x", web), e.acquire(c, "x", web)
		waits := e.waiter(other, "x", job)
		e.queued(c, "x", 1)
		e.release(w2)
		j := <-waits
		w2, w3 := e.acquire(c, "x", web, trying), e.acquire(other, "x", web, trying)
		e.refused(c, "x", job) // of itself it says nothing, so there is one
		e.refused(c, "x", reading)
		for _, l := range []*redislock.Lock{w1, w2, w3, j} {
			e.release(l)
		}
		e.untouched("x")
	})
}

func TestReadAndSemaphoreStandBesideModesOfOnesOwnWithoutAClash(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(), e.client()
		report := redislock.WithMode(redislock.NewMode("report", redislock.CompatibleWith("read", "semaphore")))
		beside := redislock.CompatibleWith("report")
		for _, m := range []redislock.Mode{redislock.Read, redislock.Semaphore(3)} {
			plain, mixed := redislock.WithMode(m), redislock.WithMode(m.Beside(beside))
			p1, m1 := e.acquire(c, "x", plain, trying), e.acquire(other, "x", mixed, trying)
			e.refused(c, "x", report) // the plain one does not tolerate it
			waits := e.waiter(c, "x", report)
			e.queued(c, "x", 1)
			e.release(p1)
			r := <-waits
			m2 := e.acquire(c, "x", mixed, trying)
			e.refused(c, "x", plain)
			e.refused(c, "x", report)
			e.refused(c, "x", writing)
			e.release(r)
			p1 = e.acquire(c, "x", plain, trying)
			for _, l := range []*redislock.Lock{p1, m1, m2} {
				if l.Mode().Name() != m.Name() {
					e.Errorf("in %v", l.Mode())
				}
				e.release(l)
			}
		}
		few := redislock.WithMode(redislock.Read.Beside(redislock.AtMost(1, "read"))) // a rule more, about its own name
		r1, r2 := e.acquire(c, "x", few, trying), e.acquire(c, "x", few, trying)
		e.refused(c, "x", reading)
		if err := r1.Upgrade(context.Background()); !errors.Is(err, redislock.ErrInvalid) || !strings.Contains(err.Error(), "held in read with further rules") {
			e.Errorf("an upgrade: %v", err)
		}
		e.release(r1)
		e.release(r2)
		e.untouched("x")
	})
}

func TestOtherNumbersUnderOneNameWait(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(), e.client()
		of := func(n int) redislock.Option {
			return redislock.WithMode(redislock.NewMode("build", redislock.AtMost(n, "build", "test"), redislock.CompatibleWith("lint")))
		}
		b1, b2 := e.acquire(c, "x", of(2), trying), e.acquire(c, "x", of(2), trying)
		b3 := e.acquire(other, "x", of(4), trying)
		e.refused(other, "x", of(4)) // those who hold tolerate two others
		waits := e.waiter(other, "x", of(4))
		e.queued(c, "x", 1)
		e.release(b1)
		b4 := <-waits
		e.release(b2) // the last with the old number
		b5, b6 := e.acquire(other, "x", of(4), trying), e.acquire(other, "x", of(4), trying)
		e.refused(c, "x", of(2))
		b7 := e.acquire(other, "x", of(4), trying)
		e.refused(c, "x", of(4))
		for _, l := range []*redislock.Lock{b3, b4, b5, b6, b7} {
			e.release(l)
		}
		e.untouched("x")
	})
}

func TestANestedHandleIsGivenWhereTheHoldToleratesNoMore(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		c := e.client()
		sum := redislock.AtMost(2, "a", "b")
		mode := func(rules ...redislock.Rule) redislock.Mode { return redislock.NewMode("a", rules...) }
		for i, n := range []struct {
			outer, inner redislock.Mode
			given        bool
		}{
			{mode(sum), mode(sum), true},
			{mode(sum), mode(redislock.AtMost(2, "a"), redislock.AtMost(3, "b")), true},
			{mode(sum), mode(redislock.AtMost(1, "a"), redislock.AtMost(3, "b")), false},
			{mode(redislock.AtMost(1, "a")), mode(sum), false}, // it would be true, and is not looked for
			{mode(redislock.AtGrant(redislock.AtMost(1, "b"))), mode(redislock.AtMost(1, "b")), false},
			{redislock.Read.Beside(redislock.CompatibleWith("a")), redislock.Read, false},
			{redislock.Read, redislock.Read.Beside(redislock.CompatibleWith("a")), true},
			{redislock.Read.Beside(redislock.AtMost(3, "read")), redislock.Read, true},
		} {
			outer := e.acquire(c, "x", redislock.WithMode(n.outer))
			inner, err := c.Acquire(outer.Context(), "x", redislock.WithMode(n.inner))
			if given := err == nil; given != n.given || err != nil && !errors.Is(err, redislock.ErrDeadlock) {
				e.Errorf("%d: %v", i, err)
			}
			if err == nil {
				e.release(inner)
			}
			e.release(outer)
		}
	})
}

func TestOneNameWithOtherRulesIsAnErrorAndNotAWrongGrant(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(), e.client()
		mine := redislock.WithMode(redislock.NewMode("team", redislock.CompatibleWith("team")))
		yours := redislock.WithMode(redislock.NewMode("team", redislock.CompatibleWith("team", "guest")))
		clash := func(what string) {
			e.Helper()
			for _, opts := range [][]redislock.Option{{yours}, {yours, trying}} {
				_, err := other.Acquire(context.Background(), "x", opts...)
				if !errors.Is(err, redislock.ErrMode) || !strings.Contains(fmt.Sprint(err), "team=*,") && !strings.Contains(fmt.Sprint(err), "guest") {
					e.Errorf("%s: %v", what, err)
				}
			}
		}
		l := e.acquire(c, "x", mine)
		clash("beside a hold")
		e.release(l)
		l = e.acquire(c, "x")
		place := e.waiter(c, "x", mine)
		e.queued(c, "x", 1)
		clash("behind a place")
		e.release(l)
		e.release(<-place)
		l = e.acquire(other, "x", yours) // nobody uses the name any more
		e.release(l)
		e.untouched("x")
	})
}

// firstOf is the first of what is followed or listed.
func firstOf(all func(context.Context, string) iter.Seq2[redislock.Info, error]) func(context.Context, string) (redislock.Info, error) {
	return func(ctx context.Context, name string) (info redislock.Info, err error) {
		for info, err = range all(ctx, name) {
			break
		}
		return info, err
	}
}

func TestALimitIsSeenByAllAtOnceAndLetsWaitersInWhenItRises(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c, other, operator := e.client(), e.client(), e.client()
		pool := redislock.WithMode(redislock.Semaphore(100))
		limit := func(rules ...redislock.Rule) {
			e.Helper()
			if err := operator.SetLimit(ctx, "x", time.Minute, rules...); err != nil {
				e.Fatal(err)
			}
			got, err := c.Limit(ctx, "x")
			if fmt.Sprint(got.Rules) != fmt.Sprint(rules) || err != nil || (len(rules) > 0) != got.Until.After(time.Time{}) {
				e.Fatalf("set %v, and it is %v until %v, %v", rules, got.Rules, got.Until, err)
			}
			for _, look := range []func(context.Context, string) (redislock.Info, error){c.Inspect, firstOf(c.Watch), firstOf(c.List)} {
				if info, err := look(ctx, "x"); !reflect.DeepEqual(info.Limit, got) || err != nil {
					e.Errorf("it is %v, and who looks is shown %v, %v", got, info.Limit, err)
				}
			}
		}
		limit(redislock.AtMost(2, "semaphore")) // of a name that nobody has used
		one, two := e.acquire(c, "x", pool, trying), e.acquire(other, "x", pool, trying)
		e.refused(c, "x", pool)
		first, second := e.waiter(c, "x", pool), e.waiter(other, "x", pool)
		e.queued(c, "x", 2)
		limit(redislock.AtMost(4, "semaphore"))
		locks := []*redislock.Lock{<-first, <-second}
		e.refused(other, "x", pool)
		limit(redislock.AtMost(1, "semaphore")) // who has it keeps it
		e.release(two)
		e.release(locks[0])
		e.refused(c, "x", pool)
		e.release(locks[1])
		e.release(one)
		limit(redislock.AtMost(0, "read", "semaphore")) // nobody, though nobody has it
		e.refused(c, "x", pool)
		e.refused(c, "x", reading)
		e.release(e.acquire(c, "x", trying)) // not a shared mode
		third := e.waiter(c, "x", pool, redislock.WithWeight(3))
		e.queued(c, "x", 1)
		limit(redislock.AtMost(2, "semaphore"))
		e.none(third, "three do not fit")
		limit()
		l := <-third
		e.release(l)
		if info, err := c.Inspect(ctx, "x"); info.Holders != 0 || info.Waiting != 0 || err != nil {
			e.Errorf("%+v, %v", info, err)
		}
	})
}

// The limit is in the error, and the text names it, whether somebody holds the lock or not.
func TestTheErrorOfACallerSaysThatTheLimitLeavesNoRoom(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c, other := e.client(), e.client()
		pool := redislock.WithMode(redislock.Semaphore(4))
		says := func(err error, rules string, parts ...string) {
			e.Helper()
			held, ok := errors.AsType[*redislock.HeldError](err)
			if !ok || !errors.Is(err, redislock.ErrHeld) || fmt.Sprint(held.Limit.Rules) != rules || held.Limit.Until.IsZero() != (rules == "[]") {
				e.Errorf("%v: %+v, want the limit %s", err, held, rules)
			}
			for _, part := range parts {
				if !strings.Contains(fmt.Sprint(err), part) {
					e.Errorf("%v does not say %q", err, part)
				}
			}
		}
		limit := func(rules ...redislock.Rule) {
			e.Helper()
			if err := other.SetLimit(ctx, "x", time.Minute, rules...); err != nil {
				e.Fatal(err)
			}
		}
		limit(redislock.AtMost(0, "semaphore"))
		_, err := c.TryAcquire(ctx, "x", pool)
		says(err, `[AtMost(0, "semaphore")]`, "held by nobody; its limit leaves no room: at most 0 semaphore until 20")
		_, err = c.Acquire(ctx, "x", pool, redislock.WithWait(50*time.Millisecond))
		says(err, `[AtMost(0, "semaphore")]`, "at most 0 semaphore until 20")
		if ran, err := c.TryDo(ctx, "x", func(context.Context) error { return nil }, pool); ran || err != nil {
			e.Errorf("TryDo: %v, %v", ran, err)
		}
		limit(redislock.AtMost(3, "large", "semaphore"))
		l := e.acquire(c, "x", pool, redislock.WithWeight(3), trying)
		_, err = c.TryAcquire(ctx, "x", pool)
		says(err, `[AtMost(3, "large", "semaphore")]`, "held by ", "; its limit leaves no room: at most 3 large+semaphore until 20")
		_, err = c.TryAcquire(ctx, "x") // the limit is not in the way of that
		says(err, "[]")
		limit(redislock.AtMost(5, "semaphore"))
		_, err = c.TryAcquire(ctx, "x", pool, redislock.WithWeight(2))
		says(err, "[]")
		e.release(l)
	})
}

// A limit was set while the clock of the server was a day ahead. It lasts for its time from when the clock is right again.
func TestALimitEndsInItsTimeThoughTheClockIsSetBack(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		c := e.client()
		right := e.now()
		e.mini.SetTime(right.Add(24 * time.Hour))
		if err := c.SetLimit(ctx, "x", 30*time.Second, redislock.AtMost(0, "read")); err != nil {
			e.Fatal(err)
		}
		for after, left := range []time.Duration{30, 20, 10, 0} {
			e.mini.SetTime(right.Add(time.Duration(after) * 10 * time.Second))
			info, err := c.Inspect(ctx, "x")
			limit, limitErr := c.Limit(ctx, "x")
			if err != nil || limitErr != nil || !info.Limit.Until.Equal(limit.Until) {
				e.Errorf("Inspect shows %v, %v; Limit %v, %v", info.Limit, err, limit, limitErr)
			}
			if stands := !limit.Until.IsZero(); stands != (left > 0) || stands && limit.Until.Sub(e.now()) != left*time.Second {
				e.Errorf("after %d s the limit is %v, want %d s", 10*after, limit, left)
			}
			l, err := c.TryAcquire(ctx, "x", reading)
			if (err == nil) != (left == 0) {
				e.Errorf("after %d s a reader got %v", 10*after, err)
			}
			if err == nil {
				e.release(l)
			}
		}
	})
}

func TestALimitDoesNotKeepAHoldFromChangingItsModeAndEndsInItsTime(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		c, other := e.client(), e.client()
		w := e.acquire(c, "x", writing)
		if err := c.SetLimit(ctx, "x", 10*time.Second, redislock.AtMost(0, "read"), redislock.AtMost(0, "write")); err != nil {
			e.Fatal(err)
		}
		if err := w.Downgrade(ctx); err != nil {
			e.Error(err)
		}
		if err := w.Upgrade(ctx); err != nil {
			e.Error(err)
		}
		e.release(w)
		begun := time.Now()
		l := e.acquire(other, "x", reading)
		if waited := time.Since(begun); waited < 9*time.Second || waited > 15*time.Second {
			e.Errorf("a reader came in after %v", waited)
		}
		e.release(l)
		time.Sleep(2 * time.Minute)
		e.release(e.acquire(c, "x", reading))
		e.untouched("x") // that it was limited is forgotten
	})
}

func TestALimitIsSetOnceThoughItsAnswerIsLost(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		var lost atomic.Bool
		operator, other := e.tapped(&tap{after: func(text string) error {
			if strings.Contains(text, "+semaphore=1") && lost.CompareAndSwap(false, true) {
				return io.ErrUnexpectedEOF
			}
			return nil
		}}), e.client()
		if err := operator.SetLimit(ctx, "x", time.Minute, redislock.AtMost(1, "semaphore")); err != nil || !lost.Load() {
			e.Fatalf("%v, lost %v", err, lost.Load())
		}
		if err := other.SetLimit(ctx, "x", time.Minute, redislock.AtMost(2, "semaphore")); err != nil {
			e.Fatal(err)
		}
		if limit, err := operator.Limit(ctx, "x"); fmt.Sprint(limit.Rules) != `[AtMost(2, "semaphore")]` || err != nil {
			e.Errorf("%v, %v", limit, err)
		}
		for _, rules := range [][]redislock.Rule{
			{redislock.AtMost(-1, "a")},
			{redislock.AtMost(1)},
			{redislock.AtMost(1, "a b")},
			{redislock.CompatibleWith("a")},
			{redislock.AtMost(2, "semaphore"), redislock.AtMost(0, "exclusive", "write")},
			{redislock.AtGrant(redislock.AtMost(1, "a"))},
		} {
			if err := other.SetLimit(ctx, "x", time.Minute, rules...); !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("%v: %v", rules, err)
			}
		}
		for _, long := range []time.Duration{0, -1, redislock.MaxRetention + 1} {
			if err := other.SetLimit(ctx, "x", long, redislock.AtMost(1, "a")); !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("for %v: %v", long, err)
			}
		}
	})
}

func TestTooManyDifferentModesAreAnError(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		l := e.acquire(c, "x")
		var got []<-chan *redislock.Lock
		for i := range 32 {
			got = append(got, e.waiter(c, "x", redislock.WithMode(redislock.NewMode(fmt.Sprint("m", i)))))
			e.queued(c, "x", i+1)
		}
		if _, err := c.Acquire(context.Background(), "x", redislock.WithMode(redislock.NewMode("m32"))); !errors.Is(err, redislock.ErrMode) {
			e.Errorf("the 33rd: %v", err)
		}
		e.release(l)
		for _, g := range got {
			e.release(<-g)
		}
		e.untouched("x")
	})
}
