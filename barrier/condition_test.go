package barrier_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/barrier"
)

// sleepers are calls that wait for a condition under the lock "work".
type sleepers struct {
	*world
	mu    sync.Mutex
	woken []string
	at    map[string]time.Time
	errs  map[string]error
	all   sync.WaitGroup
}

func (w *world) sleepers() *sleepers {
	return &sleepers{world: w, at: map[string]time.Time{}, errs: map[string]error{}}
}

// wait lets a process wait once. When the process has the lock again, it holds it for busy.
func (s *sleepers) wait(ctx context.Context, c *redislock.Client, name string, busy time.Duration) {
	s.all.Go(func() {
		lock, err := c.Acquire(context.Background(), "work", redislock.WithLease(3*time.Second))
		if err != nil {
			s.Errorf("%s: %v", name, err)
			return
		}
		lock, err = barrier.NewCondition(c, "ready", redislock.WithLease(3*time.Second)).Wait(ctx, lock)
		s.mu.Lock()
		s.errs[name] = err
		if err == nil {
			s.woken, s.at[name] = append(s.woken, name), time.Now()
			if loss := lock.Err(); loss != nil {
				s.Errorf("%s has no lock: %v", name, loss)
			}
		} else if lock == nil || lock.Err() == nil {
			s.Errorf("%s: %v, and the lock is %v", name, err, lock)
		}
		s.mu.Unlock()
		time.Sleep(busy)
		_ = lock.Release(context.Background())
	})
}

// has returns the sleepers that were woken until now.
func (s *sleepers) has() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.woken)
}

func (s *sleepers) want(names ...string) {
	s.Helper()
	if got := s.has(); !slices.Equal(got, names) {
		s.Errorf("woken were %v, want %v", got, names)
	}
}

func signal(t testing.TB, c *redislock.Client) {
	t.Helper()
	err := errors.New("never tried")
	for tries := 0; err != nil && tries < 5; tries++ { // a call without an answer is repeated
		err = barrier.NewCondition(c, "ready").Signal(context.Background())
	}
	if err != nil {
		t.Error(err)
	}
}

func broadcast(t testing.TB, c *redislock.Client) {
	t.Helper()
	if err := barrier.NewCondition(c, "ready").Broadcast(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestASignalWakesTheOneWhoWaitsLongest(t *testing.T) {
	within(t, func(w *world) {
		s, ctx := w.sleepers(), context.Background()
		signals, _ := w.process("signals")
		signal(w, signals) // nobody waits, and the signal wakes no later waiter
		for _, name := range []string{"a", "b", "c", "d"} {
			c, _ := w.process(name)
			s.wait(ctx, c, name, 0)
			time.Sleep(time.Second)
		}
		s.want()
		signal(w, signals)
		time.Sleep(time.Second)
		s.want("a")
		lock, err := signals.Acquire(ctx, "work") // the lock is held, and nobody waits for the condition
		if err != nil {
			w.Fatal(err)
		}
		signal(w, signals)
		signal(w, signals) // the woken one does not have its lock yet
		time.Sleep(time.Minute)
		s.want("a")
		if err := lock.Release(ctx); err != nil {
			w.Error(err)
		}
		time.Sleep(time.Second)
		s.want("a", "b", "c")
		for range 5 { // more signals than waiters
			signal(w, signals)
		}
		s.all.Wait()
		s.want("a", "b", "c", "d")
		s.wait(ctx, signals, "later", 0)
		time.Sleep(time.Minute)
		s.want("a", "b", "c", "d")
		signal(w, signals)
		s.all.Wait()
	})
}

func TestABroadcastWakesAllWhoWaitInTheOrderOfArrival(t *testing.T) {
	within(t, func(w *world) {
		s, ctx := w.sleepers(), context.Background()
		signals, _ := w.process("signals")
		names := []string{"a", "b", "c", "d", "e"}
		for _, name := range names {
			c, _ := w.process(name)
			s.wait(ctx, c, name, 10*time.Second) // under the lock
			time.Sleep(time.Second)
		}
		broadcast(w, signals)
		broadcast(w, signals) // this changes nothing
		time.Sleep(5 * time.Second)
		late, _ := w.process("late")
		s.wait(ctx, late, "late", 0)
		time.Sleep(10 * time.Minute)
		s.want(names...)
		for i, name := range names[1:] {
			if pause := s.at[name].Sub(s.at[names[i]]); pause < 10*time.Second || pause > 11*time.Second {
				w.Errorf("%s came %v after the one before it, who had the lock for 10s", name, pause)
			}
		}
		broadcast(w, signals)
		s.all.Wait()
		s.want(append(names, "late")...)
	})
}

// The packets of the waiter are slow. The next holder of the lock gives its signal at once.
func TestThePlaceIsThereBeforeTheLockIsGivenBack(t *testing.T) {
	within(t, func(w *world) {
		ctx := context.Background()
		slow, _ := w.processAt(100*time.Millisecond, "slow")
		fast, _ := w.process("fast")
		lock, err := slow.Acquire(ctx, "work")
		if err != nil {
			w.Fatal(err)
		}
		signals := make(chan time.Time)
		go func() {
			lock, err := fast.Acquire(ctx, "work")
			if err != nil {
				w.Error(err)
			}
			signal(w, fast)
			if err := lock.Release(ctx); err != nil {
				w.Error(err)
			}
			signals <- time.Now()
		}()
		waiting, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		lock, err = barrier.NewCondition(slow, "ready").Wait(waiting, lock)
		if took := time.Since(<-signals); err != nil || took > 2*time.Second {
			w.Errorf("woken %v after the signal, %v", took, err)
		}
		if err := lock.Release(ctx); err != nil {
			w.Error(err)
		}
	})
}

// A buffer of size one, with several producers and several consumers, one of which has slow packets.
func TestABufferOfOneGoesOnFromSignalToSignal(t *testing.T) {
	within(t, func(w *world) {
		const each = 12
		ctx := context.Background()
		full, taken := false, 0 // guarded by the lock "buffer"
		var all sync.WaitGroup
		run := func(name string, delay time.Duration, waits, signals string, can func() bool, do func()) {
			c, _ := w.processAt(delay, name)
			all.Go(func() {
				for range each {
					lock, err := c.Acquire(ctx, "buffer")
					for err == nil && !can() {
						lock, err = barrier.NewCondition(c, waits).Wait(ctx, lock)
					}
					if err != nil {
						w.Error(err)
						return
					}
					do()
					if err := errors.Join(barrier.NewCondition(c, signals).Signal(ctx), lock.Release(ctx)); err != nil {
						w.Error(err)
					}
				}
			})
		}
		begun := time.Now()
		for i := range 2 {
			run(fmt.Sprint("puts-", i), time.Millisecond, "not full", "not empty", func() bool { return !full }, func() { full = true })
			run(fmt.Sprint("takes-", i), time.Duration(i*20+1)*time.Millisecond, "not empty", "not full", func() bool { return full }, func() { full, taken = false, taken+1 })
		}
		all.Wait()
		if took := time.Since(begun); taken != 2*each || took > 9*time.Second {
			w.Errorf("%d were taken in %v", taken, took)
		}
	})
}

// The first of three dies at some moment of its waking, and two signals were given. Both signals wake one of the others, unless the
// first had its lock again.
func TestAWaiterThatDiesSwallowsNoSignal(t *testing.T) {
	die := func(before, after time.Duration, held bool) {
		within(t, func(w *world) {
			s, ctx := w.sleepers(), context.Background()
			signals, _ := w.process("signals")
			dies, n := w.process("dies")
			dying, stop := context.WithCancel(ctx)
			s.wait(dying, dies, "dies", time.Minute)
			time.Sleep(time.Second)
			for _, name := range []string{"lives", "lives too"} {
				c, _ := w.process(name)
				s.wait(ctx, c, name, 0)
				time.Sleep(time.Second)
			}
			time.Sleep(20 * time.Second)
			if before > 0 {
				n.Cut()
				time.Sleep(before)
			}
			if held { // the second signal is recorded, and the woken one passes it on
				lock, err := signals.Acquire(ctx, "work")
				if err != nil {
					w.Fatal(err)
				}
				signal(w, signals)
				signal(w, signals)
				time.AfterFunc(after, n.Cut)
				if err := lock.Release(ctx); err != nil {
					w.Error(err)
				}
			} else {
				time.AfterFunc(after, n.Cut)
				signal(w, signals)
				signal(w, signals)
			}
			time.Sleep(40 * time.Second)
			s.mu.Lock()
			woken := len(s.woken)
			if errors.Is(s.errs["dies"], redislock.ErrLost) { // it had its lock again
				woken++
			}
			s.mu.Unlock()
			if woken < 2 {
				w.Errorf("cut %v before, %v after: of two signals %d were heard, by %v", before, after, woken, s.has())
			}
			broadcast(w, signals) // the dead one does not block the others
			stop()
			n.Mend() // its remaining requests end
			s.all.Wait()
		})
	}
	for before := time.Duration(0); before < 8*time.Second; before += coarse(2 * time.Second) {
		die(before, 0, false)
	}
	for after := time.Millisecond; after < 25*time.Millisecond; after += coarse(2 * time.Millisecond) {
		die(0, after, false)
	}
	for after := time.Millisecond; after < 15*time.Millisecond; after += coarse(time.Millisecond) {
		die(0, after, true)
	}
}

func TestASignalThatNobodyWaitsForAnyMoreWakesNobodyLater(t *testing.T) {
	within(t, func(w *world) {
		s, ctx := w.sleepers(), context.Background()
		signals, _ := w.process("signals")
		a, _ := w.process("a")
		s.wait(ctx, a, "a", 0)
		time.Sleep(time.Second)
		bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		b, _ := w.process("b")
		s.wait(bounded, b, "b", 0)
		time.Sleep(time.Second)
		lock, err := signals.Acquire(ctx, "work")
		if err != nil {
			w.Fatal(err)
		}
		signal(w, signals)
		signal(w, signals)
		time.Sleep(time.Minute)
		if err := lock.Release(ctx); err != nil {
			w.Error(err)
		}
		s.all.Wait()
		s.want("a")
		s.wait(ctx, b, "c", 0)
		time.Sleep(time.Minute)
		s.want("a")
		signal(w, signals)
		s.all.Wait()
	})
}

// The signaller gets no answers for a while, from some moment on.
func TestASignalWhoseAnswersAreLostIsGivenAllTheSame(t *testing.T) {
	for at := time.Duration(0); at < 20*time.Millisecond; at += coarse(2 * time.Millisecond) {
		for _, busy := range []bool{false, true} { // busy: the waiter that was woken before does not have its lock yet
			within(t, func(w *world) {
				s, ctx := w.sleepers(), context.Background()
				signals, n := w.process("signals")
				other, _ := w.process("other")
				for _, name := range []string{"a", "b"} {
					c, _ := w.process(name)
					s.wait(ctx, c, name, 0)
					time.Sleep(time.Second)
				}
				lock, err := other.Acquire(ctx, "work")
				if err != nil {
					w.Fatal(err)
				}
				want := 1
				if busy {
					signal(w, other)
					want = 2
				}
				time.AfterFunc(at, n.Cut)
				time.AfterFunc(at+time.Second, n.Mend)
				signal(w, signals)
				if err := lock.Release(ctx); err != nil {
					w.Error(err)
				}
				time.Sleep(time.Second)
				if got := s.has(); len(got) < want {
					w.Errorf("cut after %v: woken were %v", at, got)
				}
				broadcast(w, other)
				s.all.Wait()
				s.want("a", "b")
			})
		}
	}
}

// The context of the first one ends at some moment: while it takes its place, while it gives its lock back, while it waits, when the
// signal comes, while it waits for its lock.
func TestAWaitWhoseContextEndsLeavesNothingAndPassesItsSignalOn(t *testing.T) {
	for at := time.Duration(0); at < 40*time.Millisecond; at += coarse(time.Millisecond) {
		within(t, func(w *world) {
			s, ctx := w.sleepers(), context.Background()
			signals, _ := w.process("signals")
			ends, _ := w.process("ends")
			stays, _ := w.process("stays")
			ending, end := context.WithCancel(ctx)
			defer end()
			begins := at < 20*time.Millisecond
			if begins {
				time.AfterFunc(at, end)
			}
			s.wait(ending, ends, "ends", 0)
			time.Sleep(time.Second)
			s.wait(ctx, stays, "stays", 0)
			time.Sleep(time.Second)
			if !begins {
				lock, err := signals.Acquire(ctx, "work") // so that a woken waiter must wait for it
				if err != nil {
					w.Fatal(err)
				}
				time.AfterFunc(at-20*time.Millisecond, end)
				signal(w, signals)
				time.Sleep(50 * time.Millisecond)
				if err := lock.Release(ctx); err != nil {
					w.Error(err)
				}
			} else {
				signal(w, signals)
			}
			s.all.Wait()
			s.want("stays")
			if err := s.errs["ends"]; !errors.Is(err, context.Canceled) {
				w.Errorf("ended after %v: %v", at, err)
			}
			if held, waits := ends.Held(), ends.Waiting(); len(held)+len(waits) > 0 {
				w.Errorf("ended after %v: it holds %v and waits for %v", at, held, waits)
			}
		})
	}
}

func TestAWaitOfAClientThatIsClosedEndsAndPassesItsSignalOn(t *testing.T) {
	for _, woken := range []bool{false, true} {
		within(t, func(w *world) {
			s, ctx := w.sleepers(), context.Background()
			signals, _ := w.process("signals")
			closes, _ := w.process("closes")
			stays, _ := w.process("stays")
			s.wait(ctx, closes, "closes", 0)
			time.Sleep(time.Second)
			s.wait(ctx, stays, "stays", 0)
			time.Sleep(time.Second)
			lock, err := signals.Acquire(ctx, "work")
			if err != nil {
				w.Fatal(err)
			}
			if woken {
				signal(w, signals)
				time.Sleep(time.Second)
			}
			if err := closes.Close(ctx); err != nil {
				w.Error(err)
			}
			if !woken {
				signal(w, signals)
			}
			if err := lock.Release(ctx); err != nil {
				w.Error(err)
			}
			s.all.Wait()
			s.want("stays")
			if err := s.errs["closes"]; !errors.Is(err, redislock.ErrClosed) {
				w.Error(err)
			}
		})
	}
}

// A waiter that cannot be reached does not get a signal that comes meanwhile. So it checks by itself when it is back.
func TestAWaiterThatLostItsPlaceReturns(t *testing.T) {
	within(t, func(w *world) {
		s, ctx := w.sleepers(), context.Background()
		signals, _ := w.process("signals")
		away, n := w.process("away")
		s.wait(ctx, away, "away", 0)
		time.Sleep(time.Second)
		n.Cut()
		stays, _ := w.process("stays")
		s.wait(ctx, stays, "stays", 0) // its requests remove the place of the other one
		time.Sleep(20 * time.Second)
		signal(w, signals)
		time.Sleep(time.Second)
		s.want("stays")
		time.Sleep(time.Minute)
		n.Mend()
		s.all.Wait()
		s.want("stays", "away")
	})
}

func TestALockThatWasLostIsNotWaitedWith(t *testing.T) {
	within(t, func(w *world) {
		ctx := context.Background()
		a, _ := w.process("a")
		b, n := w.process("b")
		lost, err := a.Acquire(ctx, "work")
		if err != nil {
			w.Fatal(err)
		}
		if _, err := b.Break(ctx, "work", "a test"); err != nil {
			w.Error(err)
		}
		if _, err := barrier.NewCondition(a, "ready").Wait(ctx, lost); !errors.Is(err, redislock.ErrNotHeld) {
			w.Error(err)
		}
		// The lock is lost when it is given back.
		unheard, err := b.Acquire(ctx, "work", redislock.WithLease(10*time.Second))
		if err != nil {
			w.Fatal(err)
		}
		n.Cut()
		time.AfterFunc(time.Minute, n.Mend)
		got, err := barrier.NewCondition(b, "ready").Wait(ctx, unheard)
		if got != unheard || err == nil || got.Err() == nil {
			w.Errorf("%v, %v", got.Err(), err)
		}
		time.Sleep(2 * time.Minute)
		if waits := b.Waiting(); len(waits) > 0 {
			w.Errorf("it waits for %v", waits)
		}
	})
}

// Holders that share the lock wait in the mode in which they held it, and one of them may signal while the others
// hold it.
func TestAWaitHoldsTheLockAfterwardsAsBefore(t *testing.T) {
	within(t, func(w *world) {
		ctx := context.Background()
		var all sync.WaitGroup
		for i := range 2 {
			c, _ := w.process(fmt.Sprint("reads-", i))
			all.Go(func() {
				lock, err := c.Acquire(ctx, "table", redislock.WithMode(redislock.Read))
				if err == nil {
					lock, err = barrier.NewCondition(c, "ready").Wait(ctx, lock)
				}
				if err != nil {
					w.Error(err)
					return
				}
				if lock.Mode() != redislock.Read {
					w.Errorf("it is held in %v", lock.Mode())
				}
				time.Sleep(time.Minute)
				if err := lock.Release(ctx); err != nil {
					w.Error(err)
				}
			})
		}
		c, _ := w.process("signals", redislock.WithDefaults(redislock.WithTurn(time.Second), redislock.WithLinger(50*time.Millisecond),
			redislock.WithWait(time.Second)))
		lock, err := c.Acquire(ctx, "table", redislock.WithMode(redislock.Read))
		if err != nil {
			w.Fatal(err)
		}
		time.Sleep(time.Second)
		begun := time.Now()
		broadcast(w, c)
		all.Wait()
		if took := time.Since(begun); took > time.Minute+time.Second {
			w.Errorf("two who read one minute took %v: one after the other", took)
		}
		if err := lock.Release(ctx); err != nil {
			w.Error(err)
		}
	})
}

// An observer panics at one of the events of a wait. After a recover nothing is left behind, and the signal goes to the next
// waiter.
func TestAWaitThatPanicsLeavesNothingBehind(t *testing.T) {
	for at := range 12 {
		within(t, func(w *world) {
			s, ctx := w.sleepers(), context.Background()
			events, armed := 0, false // for one caller at a time, as only that one is armed
			var mu sync.Mutex
			c, _ := w.process("panics", redislock.WithObserver(redislock.ObserverFunc(func(e redislock.Event) {
				mu.Lock()
				defer mu.Unlock()
				if armed && e.Kind != redislock.EventRenewed {
					if events++; events == at+1 {
						panic("the observer")
					}
				}
			})))
			signals, _ := w.process("signals")
			lock, err := c.Acquire(ctx, "work")
			if err != nil {
				w.Fatal(err)
			}
			mu.Lock()
			armed = true
			mu.Unlock()
			s.all.Go(func() {
				defer func() {
					_ = recover()
					mu.Lock()
					armed = false
					mu.Unlock()
					_ = lock.Release(ctx) // the lock from before the wait, or the new one
				}()
				again, err := barrier.NewCondition(c, "ready").Wait(ctx, lock)
				if err != nil {
					w.Error(err)
				}
				lock = again
			})
			time.Sleep(time.Second)
			stays, _ := w.process("stays")
			s.wait(ctx, stays, "stays", 0)
			time.Sleep(time.Second)
			signal(w, signals)
			time.Sleep(time.Minute)
			signal(w, signals)
			s.all.Wait()
			time.Sleep(10 * time.Second)
			if held, waits := c.Held(), c.Waiting(); len(held)+len(waits) > 0 {
				w.Errorf("panicked at event %d: it holds %v and waits for %v", at, held, waits)
			}
		})
	}
}

func TestAConditionThatCannotBeIsRefusedAndTheLockStays(t *testing.T) {
	within(t, func(w *world) {
		ctx := context.Background()
		a, _ := w.process("a")
		b, _ := w.process("b")
		lock, err := a.Acquire(ctx, "work")
		if err != nil {
			w.Fatal(err)
		}
		inner, err := a.Acquire(lock.With(ctx), "work")
		if err != nil {
			w.Fatal(err)
		}
		ready := barrier.NewCondition(a, "ready")
		second := func(_ any, err error) error { return err }
		var none context.Context
		for what, err := range map[string]error{
			"a nested handle":             second(ready.Wait(ctx, inner)),
			"one with others nested":      second(ready.Wait(ctx, lock)),
			"under its own context":       second(ready.Wait(lock.With(ctx), lock)),
			"another Client":              second(barrier.NewCondition(b, "ready").Wait(ctx, lock)),
			"no lock":                     second(ready.Wait(ctx, nil)),
			"no name":                     second(barrier.NewCondition(a, "").Wait(ctx, lock)),
			"no context":                  second(ready.Wait(none, lock)),
			"a nil condition":             second((*barrier.Condition)(nil).Wait(ctx, lock)),
			"an option that cannot be":    second(barrier.NewCondition(a, "ready", redislock.WithLease(1)).Wait(ctx, lock)),
			"a signal of no condition":    (*barrier.Condition)(nil).Signal(ctx),
			"a signal without a name":     barrier.NewCondition(a, "").Signal(ctx),
			"a broadcast without context": ready.Broadcast(none),
			"a signal without a Client":   barrier.NewCondition(nil, "ready").Signal(ctx),
		} {
			if !errors.Is(err, redislock.ErrInvalid) && !errors.Is(err, redislock.ErrOrder) {
				w.Errorf("%s: %v", what, err)
			}
		}
		if err := errors.Join(inner.Err(), lock.Err(), inner.Release(ctx)); err != nil {
			w.Error(err)
		}
		for what, err := range map[string]error{
			"under its own context":    second(ready.Wait(lock.With(ctx), lock)),
			"an option that cannot be": second(barrier.NewCondition(a, "ready", redislock.WithLease(1)).Wait(ctx, lock)),
		} {
			if !errors.Is(err, redislock.ErrInvalid) {
				w.Errorf("%s: %v", what, err)
			}
		}
		if err := errors.Join(lock.Err(), lock.Release(ctx)); err != nil {
			w.Error(err)
		}
	})
}
