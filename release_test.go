package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

func TestAHoldMovesToAnotherProcessWithoutAGap(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		l := e.acquire(a, "x", redislock.WithMetadata("first half"))
		next := e.waiter(b, "x")
		e.queued(a, "x", 1)
		ticket, err := l.Handoff()
		if err != nil {
			e.Fatal(err)
		}
		if l.Err() == nil || !errors.Is(context.Cause(l.Context()), redislock.ErrReleased) {
			e.Errorf("the spent handle says %v", l.Err())
		}
		for range 2 {
			if err := l.Release(ctx); !errors.Is(err, redislock.ErrNotHeld) {
				e.Errorf("the spent handle's release: %v", err)
			}
			if _, err := l.Handoff(); !errors.Is(err, redislock.ErrNotHeld) {
				e.Errorf("the spent handle's handoff: %v", err)
			}
		}
		e.none(next, "the hold is on its way")
		moved, err := b.Resume(ctx, ticket, redislock.WithMetadata("second half"))
		if err != nil {
			e.Fatal(err)
		}
		if moved.Name() != "x" || moved.Fence() <= l.Fence() || moved.Err() != nil {
			e.Errorf("%s, fence %d after %d, %v", moved.Name(), moved.Fence(), l.Fence(), moved.Err())
		}
		for _, c := range []*redislock.Client{a, b} {
			if _, err := c.Resume(ctx, ticket); !errors.Is(err, redislock.ErrNotHeld) {
				e.Errorf("a second resume: %v", err)
			}
		}
		info, err := a.Inspect(ctx, "x")
		if err != nil || info.Holders != 1 || info.Holds[0].Owner.Metadata != "second half" || info.Holds[0].Since.UnixMicro() != l.Fence() {
			e.Errorf("%+v, %v", info, err)
		}
		e.none(next, "the hold has moved")
		e.release(moved)
		e.release(<-next)
		e.untouched("x")
	})
}

func TestAHandedOffHoldKeepsItsModeAndLivesForOneLease(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		three := redislock.WithMode(redislock.Semaphore(3))
		l := e.acquire(a, "x", three, redislock.WithWeight(2), redislock.WithLease(9*time.Second))
		time.Sleep(2 * time.Second) // a third of the lease is nearly over
		ticket, err := l.Handoff()
		if err != nil {
			e.Fatal(err)
		}
		time.Sleep(8900 * time.Millisecond)
		e.refused(b, "x", three, redislock.WithWeight(2))
		moved, err := b.Resume(ctx, ticket, redislock.WithLease(5*time.Second))
		if err != nil {
			e.Fatal(err)
		}
		time.Sleep(time.Minute) // renewed
		e.refused(a, "x", three, redislock.WithWeight(2))
		one := e.acquire(a, "x", three, trying)
		if moved.Mode() != redislock.Semaphore(3) || moved.Err() != nil {
			e.Errorf("in %v, %v", moved.Mode(), moved.Err())
		}
		e.release(one)
		ticket, err = moved.Handoff()
		if err != nil {
			e.Fatal(err)
		}
		time.Sleep(5100 * time.Millisecond)
		if _, err := a.Resume(ctx, ticket); !errors.Is(err, redislock.ErrNotHeld) {
			e.Errorf("after its lease: %v", err)
		}
		e.untouched("x")
	})
}

func TestAClaimIsMadeWholeBeforeItIsHandedOff(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		a, b := e.client(), e.client()
		first := e.acquire(a, "x")
		got := e.waiter(b, "x", redislock.WithLease(20*time.Second))
		e.queued(a, "x", 1)
		e.release(first)
		ticket, err := (<-got).Handoff() // granted by message: it holds for a claim only
		if err != nil {
			e.Fatal(err)
		}
		time.Sleep(19 * time.Second)
		moved, err := a.Resume(context.Background(), ticket)
		if err != nil {
			e.Fatal(err)
		}
		e.release(moved)
		e.untouched("x")
	})
}

func TestWhatCannotBeHandedOff(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c := e.client()
		l := e.acquire(c, "x")
		inner := e.under(l.Context(), c, "x")
		for _, h := range []*redislock.Lock{l, inner} {
			if _, err := h.Handoff(); !errors.Is(err, redislock.ErrOrder) {
				e.Errorf("with nested handles: %v", err)
			}
		}
		e.release(inner)
		if _, err := c.Break(ctx, "x", "why"); err != nil {
			e.Fatal(err)
		}
		<-l.Context().Done()
		if _, err := l.Handoff(); !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrStolen) {
			e.Errorf("after a break: %v", err)
		}
		_ = l.Release(ctx)

		l = e.acquire(c, "x")
		ticket, err := l.Handoff()
		if err != nil {
			e.Fatal(err)
		}
		elsewhere := e.prefixed("other")
		for _, bad := range []string{"", "redislock1.", ticket[1:], ticket + "!", ticket[:len(ticket)-6], strings.Repeat("A", 200)} {
			if _, err := c.Resume(ctx, bad); !errors.Is(err, redislock.ErrInvalid) && !errors.Is(err, redislock.ErrNotHeld) {
				e.Errorf("a ticket %q: %v", bad, err)
			}
		}
		if _, err := elsewhere.Resume(ctx, ticket); !errors.Is(err, redislock.ErrInvalid) || strings.Contains(err.Error(), ticket) {
			e.Errorf("another prefix: %v", err)
		}
		for _, opt := range []redislock.Option{trying, reading, redislock.WithWeight(2), redislock.WithStealAfter(time.Second)} {
			if _, err := c.Resume(ctx, ticket, opt); !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("an option that means nothing here: %v", err)
			}
		}
		moved, err := c.Resume(ctx, ticket)
		if err != nil {
			e.Fatal(err)
		}
		e.release(moved)
		e.untouched("x")
	})
}

func TestAHandoffBesideReleasesIsOneOrTheOther(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c := e.client()
		for range 200 {
			l := e.acquire(c, "x", redislock.WithoutRenewal())
			var (
				wg     sync.WaitGroup
				ticket string
				failed error
			)
			wg.Go(func() { ticket, failed = l.Handoff() })
			for range 2 {
				wg.Go(func() { _ = l.Release(ctx) })
			}
			wg.Wait()
			if failed == nil {
				moved, err := c.Resume(ctx, ticket)
				if err != nil {
					e.Fatalf("a ticket of a lock that was given back: %v", err)
				}
				e.release(moved)
			} else if !errors.Is(failed, redislock.ErrNotHeld) {
				e.Error(failed)
			}
		}
		e.untouched("x")
	})
}

func TestAResumedHoldIsAsOldAsItWas(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		l := e.acquire(a, "x", reading)
		time.Sleep(1200 * time.Millisecond)
		fresh := e.acquire(b, "x", reading)
		ticket, err := l.Handoff()
		if err != nil {
			e.Fatal(err)
		}
		moved, err := b.Resume(ctx, ticket)
		if err != nil {
			e.Fatal(err)
		}
		e.refused(a, "x", redislock.WithStealAfter(time.Second))
		e.eventually("the old one is stolen", func() bool { return errors.Is(moved.Err(), redislock.ErrStolen) })
		if fresh.Err() != nil {
			e.Errorf("the fresh one beside it: %v", fresh.Err())
		}
		e.release(fresh)
		_ = moved.Release(ctx)
		e.untouched("x")
	})
}

// If a body hands its lock off, or gives it back, the lock was not lost: the error is that of the body.
func TestWhatABodyGivesAwayByItselfIsNotLost(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c, other := e.client(), e.client()
		oh := errors.New("oh")
		var ticket string
		ways := map[string]func(l *redislock.Lock) error{
			"handoff": func(l *redislock.Lock) (err error) {
				ticket, err = l.Handoff()
				return err
			},
			"release": func(l *redislock.Lock) error { return l.Release(ctx) },
		}
		tick := e.tick().Add(-time.Hour)
		for way, give := range ways {
			for _, want := range []error{nil, oh} {
				name := way
				body := func(ctx context.Context) error {
					l, ok := redislock.FromContext(ctx)
					if !ok {
						e.Fatal("no lock")
					}
					if err := give(l); err != nil {
						e.Errorf("%s: %v", way, err)
					}
					return want
				}
				got := func(what string, err error) {
					e.Helper()
					if errors.Is(err, redislock.ErrLost) || errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, want) || want == nil && err != nil {
						e.Errorf("%s, %s: %v, the body said %v", what, way, err, want)
					}
					if ticket == "" {
						return
					}
					l, err := other.Resume(ctx, ticket)
					if err != nil {
						e.Fatalf("%s: the other one has not got it: %v", what, err)
					}
					e.release(l)
					ticket = ""
				}
				got("Do", c.Do(ctx, name, body))
				got("DoAll", c.DoAll(ctx, []string{name}, func(ctx context.Context) error {
					locks := redislock.LocksFromContext(ctx)
					if len(locks) != 1 {
						e.Fatalf("%d locks", len(locks))
					}
					if err := give(locks[0]); err != nil {
						e.Error(err)
					}
					return want
				}))
				if way == "release" {
					got("a Do in a Do", c.Do(ctx, name, func(ctx context.Context) error { return c.Do(ctx, name, body) }))
				}

				tick = tick.Add(time.Second)
				retry := redislock.WithRetry(time.Second)
				outcome, err := c.Cron("report", retry).Run(ctx, tick, body)
				if wanted := map[bool]redislock.Outcome{true: redislock.OutcomeRan, false: redislock.OutcomeFailed}[want == nil]; outcome != wanted {
					e.Errorf("Cron, %s: %v", way, outcome)
				}
				got("Cron", err)
				e.runs(other.Cron("report", retry), tick, redislock.OutcomeElsewhere, idle)
				if s, err := other.CronStatus(ctx, "report"); err != nil || s.Outcome != outcome {
					e.Errorf("Cron, %s: the status is %v, %v", way, s.Outcome, err)
				}

				campaign, stop := context.WithCancel(ctx)
				if err := c.Elect(campaign, name, func(ctx context.Context) error { defer stop(); return body(ctx) }); err != nil {
					e.Errorf("Elect, %s: %v", way, err)
				}
				got("Elect", want)

				err = c.Once(ctx, name, body) // its success cannot be noted, for that is done under the lock
				if errors.Is(err, redislock.ErrLost) || want == nil && !errors.Is(err, redislock.ErrReleased) || want != nil && !errors.Is(err, want) {
					e.Errorf("Once, %s: %v", way, err)
				}
				got("Once", want)
			}
		}
	})
}

func TestALockThatIsReleasedLaterStaysWithoutItsOwner(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		l := e.acquire(a, "x", redislock.WithMetadata("hourly"))
		begun := time.Now()
		if err := l.ReleaseAfter(ctx, 400*time.Millisecond); err != nil {
			e.Fatal(err)
		}
		if !errors.Is(context.Cause(l.Context()), redislock.ErrReleased) {
			e.Errorf("the spent handle's context says %v", context.Cause(l.Context()))
		}
		for range 2 { // the first handle of a hold has the same answer again
			if err := l.Release(ctx); err != nil {
				e.Errorf("a release after it: %v", err)
			}
		}
		if err := a.Close(ctx); err != nil { // nothing waits for it in this process
			e.Error(err)
		}
		_, err := b.TryAcquire(ctx, "x")
		var held *redislock.HeldError
		if !errors.As(err, &held) || held.Holder.Metadata != "hourly" {
			e.Errorf("while it stays: %v", err)
		}
		next := e.acquire(b, "x", redislock.WithStealAfter(100*time.Millisecond))
		if passed := time.Since(begun); passed < 395*time.Millisecond || e.mini != nil && passed > 3*time.Second {
			e.Errorf("free after %v", passed)
		}
		e.release(next)
		e.untouched("x")
	})
}

func TestALockMayStayLongerThanItsLease(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		l := e.acquire(a, "x", redislock.WithLease(time.Second))
		if err := l.ReleaseAfter(ctx, time.Hour); err != nil {
			e.Fatal(err)
		}
		info, err := b.Inspect(ctx, "x")
		if err != nil || info.Holders != 1 || info.Holds[0].Fence != l.Fence() {
			e.Fatalf("%+v, %v", info, err)
		}
		if left := info.Holds[0].Deadline.Sub(info.Now); left < 59*time.Minute || left > time.Hour {
			e.Errorf("it stays for %v", left)
		}
		if fence, err := b.Break(ctx, "x", "needed now"); err != nil || fence != l.Fence() {
			e.Errorf("an operator's break: %d, %v", fence, err)
		}
		e.release(e.acquire(b, "x"))
	})
}

func TestReleaseAfterRefusesWhatItCannotDo(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c := e.client()
		l := e.acquire(c, "x")
		inner, err := c.Acquire(l.Context(), "x")
		if err != nil {
			e.Fatal(err)
		}
		for what, got := range map[string]error{"nested": inner.ReleaseAfter(ctx, time.Second), "outer": l.ReleaseAfter(ctx, time.Second)} {
			if !errors.Is(got, redislock.ErrOrder) {
				e.Errorf("%s: %v", what, got)
			}
		}
		e.release(inner)
		if err := l.ReleaseAfter(ctx, redislock.MaxLease+1); !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("too long: %v", err)
		}
		if err := l.Err(); err != nil {
			e.Errorf("a refusal took the lock: %v", err)
		}
		if err := l.ReleaseAfter(ctx, -1); err != nil {
			e.Error(err)
		}
		l = e.acquire(c, "x") // it was released at once
		if _, err := c.Break(ctx, "x", "test"); err != nil {
			e.Fatal(err)
		}
		e.eventually("the loss is known", func() bool { return l.Err() != nil })
		if err := l.ReleaseAfter(ctx, time.Second); !errors.Is(err, redislock.ErrNotHeld) {
			e.Errorf("of a lost lock: %v", err)
		}
		e.untouched("x")
	})
}

func TestFromContextIsTheInnermostLock(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		ctx := context.Background()
		if l, ok := redislock.FromContext(ctx); ok || l != nil {
			e.Error("a lock out of nothing")
		}
		x, y := e.acquire(c, "x"), e.acquire(c, "y")
		is := func(what string, ctx context.Context, want *redislock.Lock) {
			e.Helper()
			if l, ok := redislock.FromContext(ctx); l != want || ok != (want != nil) {
				e.Errorf("%s: %v, %v", what, l, ok)
			}
		}
		is("a lock's own", x.Context(), x)
		is("another inside", y.With(x.Context()), y)
		is("the outer one again", x.With(y.With(x.Context())), x)
		child, cancel := context.WithCancel(x.With(ctx))
		defer cancel()
		is("a child", child, x)
		all, err := c.AcquireAll(x.Context(), []string{"p", "q"})
		if err != nil {
			e.Fatal(err)
		}
		is("of several", all.Context(), nil)
		is("one inside of several", y.With(all.Context()), y)
		if err := c.Do(ctx, "z", func(ctx context.Context) error {
			l, ok := redislock.FromContext(ctx)
			if !ok || l.Name() != "z" || l.Fence() == 0 {
				e.Errorf("in Do: %v, %v", l, ok)
			}
			return nil
		}); err != nil {
			e.Error(err)
		}
		if err := all.Release(ctx); err != nil {
			e.Error(err)
		}
		e.release(x)
		e.release(y)
	})
}

// The first waiter in the queue gets a message if the lock will be free sooner than it knew, and does not sleep until its next
// check.
func TestWhoWaitsLearnsOfADeadlineThatHasBecomeEarlier(t *testing.T) {
	for name, c := range map[string]struct {
		opts    []redislock.Option
		shorten func(e *env, l *redislock.Lock) time.Duration // and when the lock is to be free
	}{
		"ReleaseAfter": {nil, func(e *env, l *redislock.Lock) time.Duration {
			if err := l.ReleaseAfter(context.Background(), 50*time.Millisecond); err != nil {
				e.Error(err)
			}
			return 50 * time.Millisecond
		}},
		"ReleaseAfter of one of two readers": {[]redislock.Option{redislock.WithMode(redislock.Read)}, func(e *env, l *redislock.Lock) time.Duration {
			if err := l.ReleaseAfter(context.Background(), 50*time.Millisecond); err != nil {
				e.Error(err)
			}
			return 50 * time.Millisecond
		}},
		"a resumed handoff with a shorter lease": {nil, func(e *env, l *redislock.Lock) time.Duration {
			ticket, err := l.Handoff()
			if err != nil {
				e.Error(err)
			}
			cut := &fakenet.Network{Dial: e.mini.Dial}
			next, err := e.clientOn(cut).Resume(context.Background(), ticket, redislock.WithLease(100*time.Millisecond), redislock.WithoutRenewal())
			if err != nil {
				e.stop(err)
			}
			cut.Cut() // it dies
			context.AfterFunc(next.Context(), cut.Mend)
			return 100 * time.Millisecond
		}},
		"the one before dies with a short lease": {nil, func(e *env, l *redislock.Lock) time.Duration {
			e.release(l)
			return 200 * time.Millisecond
		}},
	} {
		t.Run(name, func(t *testing.T) {
			embedded(t, time.Millisecond, func(e *env, n *fakenet.Network) {
				l := e.acquire(e.client(), "x", append(c.opts, redislock.WithLease(30*time.Second))...)
				if strings.Contains(name, "readers") {
					other := e.acquire(e.client(), "x", c.opts...)
					if err := other.ReleaseAfter(context.Background(), 40*time.Millisecond); err != nil {
						e.Error(err)
					}
				}
				behind := 0
				if strings.Contains(name, "dies") {
					cut := &fakenet.Network{Dial: e.mini.Dial}
					dead := e.clientOn(cut)
					behind++
					go func() {
						short, err := dead.Acquire(context.Background(), "x", redislock.WithLease(200*time.Millisecond), redislock.WithoutRenewal())
						if err == nil {
							cut.Cut()
							<-short.Context().Done()
							cut.Mend()
						}
					}()
					e.queued(e.client(), "x", 1)
				}
				granted := make(chan time.Time, 1)
				waiter := e.client()
				go func() {
					next := e.acquire(waiter, "x")
					granted <- time.Now()
					e.release(next)
				}()
				e.queued(e.client(), "x", behind+1)
				time.Sleep(100 * time.Millisecond) // checked, the next one is far
				begun := time.Now()
				in := c.shorten(e, l)
				if passed := (<-granted).Sub(begun); passed > in+100*time.Millisecond {
					e.Errorf("free after %v, and acquired after %v", in, passed)
				}
			})
		})
	}
}

// resent makes the first request that contains a text fail: before it reaches the server if lost is true, otherwise after it was
// executed. The function meanwhile runs before the request is sent again.
func resent(t *testing.T, what string, lost bool, meanwhile func()) *tap {
	first := once(t)
	fail := func(text string) error {
		if !strings.Contains(text, what) || !first() {
			return nil
		}
		meanwhile()
		return io.EOF
	}
	if lost {
		return &tap{before: fail}
	}
	return &tap{after: fail}
}

// deafen gives the hold on the server another nonce, so that its owner ignores the message that it is broken as a
// forged one.
func (e *env) deafen(name string) {
	e.Helper()
	key := "redislock:{" + name + "}"
	for field, value := range e.raw.HGetAll(context.Background(), key).Val() {
		if len(field) == 22 {
			nonce := 16
			if value[0] == '@' { // it was renewed
				nonce += 25
			}
			e.raw.HSet(context.Background(), key, field, value[:nonce]+strings.Repeat("-", 16)+value[nonce+16:])
		}
	}
}

// The result of a resent release or Break is what became of the lock, or that this is not known.
func TestAResentReleaseSaysWhatTheServerCanProve(t *testing.T) {
	const lease = 3 * time.Second
	type world struct {
		*env
		other *redislock.Client
		lock  *redislock.Lock
	}
	takes := func(w *world) { // somebody else, as soon as it is free
		if l, err := w.other.Acquire(context.Background(), "x", redislock.WithWait(0)); err == nil {
			_ = l.ReleaseAfter(context.Background(), time.Minute)
		}
	}
	breaks := func(w *world) {
		if fence, err := w.other.Break(context.Background(), "x", "stuck"); err != nil || fence != w.lock.Fence() {
			w.Errorf("Break = %d, %v", fence, err)
		}
	}
	lapses := func(w *world) { time.Sleep(lease + time.Millisecond) }
	flushes := func(w *world) { w.raw.FlushAll(context.Background()) }
	long := redislock.WithLease(time.Hour)
	nothing := func(*world) {}
	ages := func(w *world) { time.Sleep(2 * time.Minute) }
	both := func(a, b func(*world)) func(*world) { return func(w *world) { a(w); b(w) } }

	for name, c := range map[string]struct {
		opts   []redislock.Option
		lost   bool          // the message, not the reply
		before func(*world)  // since the grant
		then   func(*world)  // before it is sent again
		after  time.Duration // ReleaseAfter
		want   error
	}{
		"the reply is lost":                                     {then: nothing},
		"the reply is lost, and another has it":                 {then: takes},
		"the message is lost":                                   {lost: true, then: nothing},
		"the message is lost, and the lease runs out":           {lost: true, then: lapses},
		"the message is lost, and another has it":               {lost: true, then: both(lapses, takes)},
		"broken before it":                                      {lost: true, before: breaks, then: nothing, want: redislock.ErrStolen},
		"broken before it, and both replies are late":           {before: breaks, then: takes, want: redislock.ErrStolen},
		"broken after the message was lost":                     {lost: true, then: breaks, want: redislock.ErrNotHeld},
		"broken after it was released":                          {then: func(w *world) { _, _ = w.other.Break(context.Background(), "x", "stuck") }},
		"data is lost":                                          {lost: true, then: flushes, want: redislock.ErrUnknown},
		"a long lease":                                          {opts: []redislock.Option{long}, before: ages, then: nothing},
		"a long lease, broken so long ago that nothing says it": {opts: []redislock.Option{long, redislock.WithoutRenewal()}, lost: true, before: both(breaks, ages), then: nothing, want: redislock.ErrUnknown},
		"a long lease, and another has it":                      {opts: []redislock.Option{long}, before: ages, then: takes, want: redislock.ErrUnknown},

		"later: the reply is lost":                               {after: 2500 * time.Millisecond, then: nothing},
		"later: the reply is lost, and it is over":               {after: time.Second, then: func(*world) { time.Sleep(1100 * time.Millisecond) }},
		"later: the reply is lost, it is over, another has it":   {after: time.Second, then: both(func(*world) { time.Sleep(1100 * time.Millisecond) }, takes)},
		"later: the message is lost":                             {after: 2500 * time.Millisecond, lost: true, then: nothing},
		"later: the message is lost, and the lease runs out":     {after: 10 * time.Second, lost: true, then: lapses, want: redislock.ErrNotHeld},
		"later: it runs out, and another has it":                 {after: 2500 * time.Millisecond, lost: true, then: both(lapses, takes), want: redislock.ErrUnknown},
		"later: it runs out, and nobody else has it":             {after: 2500 * time.Millisecond, lost: true, then: lapses},
		"later: broken before it":                                {after: 10 * time.Millisecond, lost: true, before: breaks, then: func(*world) { time.Sleep(20 * time.Millisecond) }, want: redislock.ErrStolen},
		"later: data is lost":                                    {after: 10 * time.Millisecond, lost: true, then: both(flushes, func(*world) { time.Sleep(20 * time.Millisecond) }), want: redislock.ErrUnknown},
		"later: the reply is lost, it is over, and data is lost": {after: 10 * time.Millisecond, then: both(flushes, func(*world) { time.Sleep(20 * time.Millisecond) }), want: redislock.ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
				ctx := context.Background()
				w := &world{env: e, other: e.client()}
				script := "release"
				if c.after > 0 {
					script = "keep"
				}
				armed := false
				h := resent(e.T, digest(script), c.lost, func() { c.then(w) })
				arm := func(fail func(string) error) func(string) error {
					return func(text string) error {
						if fail == nil || !armed || c.after > 0 && !strings.Contains(text, "    4603") && !strings.Contains(text, "    4600") {
							return nil
						}
						return fail(text)
					}
				}
				h = &tap{before: arm(h.before), after: arm(h.after)}
				holder := e.tapped(h)
				for _, after := range []time.Duration{0, time.Millisecond} { // the server knows the scripts from here on
					known := e.acquire(holder, "y")
					time.Sleep(10 * time.Millisecond)
					if err := known.ReleaseAfter(ctx, after); err != nil {
						e.Fatal(err)
					}
				}
				w.lock = e.acquire(holder, "x", append([]redislock.Option{redislock.WithLease(lease)}, c.opts...)...)
				e.deafen("x")
				if c.before != nil {
					c.before(w)
				} else {
					time.Sleep(10 * time.Millisecond) // past the time in which a plain command is tried first
				}
				armed = true
				err := w.lock.ReleaseAfter(ctx, c.after)
				if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
					e.Errorf("the answer is %v, want %v", err, c.want)
				}
			})
		})
	}
}

// A Break whose answer was lost returns the holds that it has ended, and not those that had ended before.
func TestAResentBreakCountsWhatItHasEnded(t *testing.T) {
	for name, c := range map[string]struct {
		lost bool
		then func(other *redislock.Client, l *redislock.Lock)
		want bool // the fence of the hold
	}{
		"the reply is lost":                       {then: func(*redislock.Client, *redislock.Lock) {}, want: true},
		"the message is lost":                     {lost: true, then: func(*redislock.Client, *redislock.Lock) {}, want: true},
		"the message is lost, and it is released": {lost: true, then: func(_ *redislock.Client, l *redislock.Lock) { _ = l.Release(context.Background()) }},
		"the message is lost, and another breaks it": {lost: true, then: func(other *redislock.Client, _ *redislock.Lock) {
			_, _ = other.Break(context.Background(), "x", "another reason")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
				ctx := context.Background()
				other := e.client()
				_, _ = other.Break(ctx, "x", "the server knows the scripts from here on")
				for _, name := range []string{"break", "inspect"} {
					_, text := redislock.Script(name)
					e.raw.ScriptLoad(ctx, text)
				}
				l := e.acquire(other, "x")
				fence := l.Fence()
				operator := e.tapped(resent(e.T, digest("break"), c.lost, func() { c.then(other, l) }))
				got, err := operator.Break(ctx, "x", "stuck")
				if want := map[bool]int64{true: fence}[c.want]; got != want || err != nil {
					e.Errorf("Break = %d, %v, want %d", got, err, want)
				}
			})
		})
	}
}

// A record that was written counts, even if the answer was lost and the lease has run out since.
func TestASuccessWhoseAnswerWasLostStaysOne(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		_, text := redislock.Script("record")
		e.raw.ScriptLoad(context.Background(), text)
		c := e.tapped(resent(e.T, digest("record"), false, func() { time.Sleep(time.Second) }))
		err := c.Once(context.Background(), "x", func(context.Context) error { return nil }, redislock.WithLease(500*time.Millisecond), redislock.WithoutRenewal())
		if err != nil {
			e.Error(err)
		}
	})
}

// A stolen hold was not kept, whatever the lost answers said.
func TestAResentReleaseAfterOfAStolenHoldSaysThatItWasStolen(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		other := e.client()
		stolen := false
		c := e.tapped(resent(e.T, digest("keep"), true, func() {
			_, err := other.Acquire(ctx, "x", redislock.WithWait(0), redislock.WithStealAfter(500*time.Millisecond))
			stolen = errors.Is(err, redislock.ErrHeld)
		}))
		e.warm(c, other) // the first subscription has the hold looked at, which is no part of this
		e.settle()
		l := e.acquire(c, "x", redislock.WithLease(time.Hour))
		time.Sleep(time.Second)
		err := l.ReleaseAfter(ctx, time.Minute)
		if !stolen || !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrStolen) || errors.Is(err, redislock.ErrUnknown) {
			e.Errorf("stolen %v: %v", stolen, err)
		}
	})
}

// Handoff gives no ticket for a hold that has ended, even if the lease is final and the handle does not know of the
// end.
func TestAHandoffOfABrokenHoldIsRefused(t *testing.T) {
	for _, final := range []bool{false, true} {
		embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
			ctx := context.Background()
			other := e.client()
			c := e.tapped(resent(e.T, digest("acquire"), false, func() {}))
			opts := []redislock.Option{redislock.WithLease(10 * time.Minute)}
			if final {
				opts = append(opts, redislock.WithoutRenewal())
			}
			l := e.acquire(c, "x", opts...)
			e.settle()
			e.deafen("x")
			if _, err := other.Break(ctx, "x", "stuck"); err != nil {
				e.Fatal(err)
			}
			if ticket, err := l.Handoff(); !errors.Is(err, redislock.ErrNotHeld) || ticket != "" {
				e.Errorf("final %v: a ticket %v, %v", final, ticket != "", err)
			}
		})
	}
}

// A grant that came too late is given back. If the bound of the caller ends meanwhile, the caller does not wait any longer (seed
// 40277 of the simulation).
func TestABoundThatEndsWhileALateGrantIsGivenBackIsKept(t *testing.T) {
	embedded(t, 60*time.Millisecond, func(e *env, _ *fakenet.Network) {
		c := e.client()
		if err := c.Do(e.Context(), "warm", func(context.Context) error { return nil }); err != nil {
			e.Fatal(err)
		}
		time.Sleep(time.Second) // all connections are made
		asked := time.Now()
		_, err := c.Acquire(e.Context(), "k", redislock.WithLease(100*time.Millisecond), redislock.WithWait(150*time.Millisecond))
		if took := time.Since(asked); err == nil || took > 161*time.Millisecond {
			e.Errorf("it took %v: %v", took, err)
		}
	})
}

// Locks that are lost in an outage are given back when the network is there again, together, and cost no goroutine each meanwhile.
func TestLocksThatAreLostInAnOutageAreGivenBackTogether(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		const n = 2000
		own := &fakenet.Network{Dial: e.mini.Dial, Delay: time.Millisecond}
		c := e.clientOn(own)
		var locks []*redislock.Lock
		for i := range n {
			locks = append(locks, e.acquire(c, fmt.Sprint(i), redislock.WithLease(10*time.Second)))
		}
		time.Sleep(10 * time.Second)
		before := ours()
		own.Cut()
		time.Sleep(10500 * time.Millisecond)
		for _, l := range locks {
			if !errors.Is(l.Err(), redislock.ErrLost) {
				e.Fatalf("%q: %v", l.Name(), l.Err())
			}
		}
		for range 10 { // while they are tried again
			if more := ours() - before; more > n/2 { // of the pipelines that wait for their answers, however many locks there are
				e.Fatalf("%d goroutines for %d lost locks", more, n)
			}
			time.Sleep(time.Second)
		}
		other := e.client()
		held := e.acquire(other, "0") // the server has let go of it long ago
		own.Mend()
		time.Sleep(30 * time.Second)
		if more := ours() - before; more > 10 {
			e.Errorf("%d goroutines are left", more)
		}
		for i := 1; i < n; i++ {
			e.untouched(fmt.Sprint(i))
		}
		if err := held.Err(); err != nil {
			e.Errorf("what another holds was given back: %v", err)
		}
		e.release(held)
	})
}
