package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

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
		} {
			if _, err := c.Acquire(context.Background(), "x", opts...); !errors.Is(err, redislock.ErrInvalid) {
				t.Errorf("got %v, want ErrInvalid", err)
			}
		}
		if _, err := c.AcquireWeak(context.Background(), "x", reading); !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("a weak lock with a mode: %v", err)
		}
		if after := e.raw.DBSize(context.Background()).Val(); after != before {
			t.Errorf("%d keys, then %d", before, after)
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
			t.Errorf("the permit of the dead came back %v after its deadline", late)
		}
		if kept.Err() != nil {
			t.Errorf("the permit of the living: %v", kept.Err())
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
					t.Errorf("%s beside %s: %v", asked, held, err)
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

func TestOneNameWithOtherRulesIsAnErrorAndNotAWrongGrant(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(), e.client()
		mine := redislock.WithMode(redislock.NewMode("team", redislock.CompatibleWith("team")))
		yours := redislock.WithMode(redislock.NewMode("team", redislock.CompatibleWith("team", "guest")))
		clash := func(what string) {
			t.Helper()
			for _, opts := range [][]redislock.Option{{yours}, {yours, trying}} {
				_, err := other.Acquire(context.Background(), "x", opts...)
				if !errors.Is(err, redislock.ErrMode) || !strings.Contains(fmt.Sprint(err), "team=*,") && !strings.Contains(fmt.Sprint(err), "guest") {
					t.Errorf("%s: %v", what, err)
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
			t.Errorf("the 33rd: %v", err)
		}
		e.release(l)
		for _, g := range got {
			e.release(<-g)
		}
		e.untouched("x")
	})
}
