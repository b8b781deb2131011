package redislock_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

func TestAStaleHoldIsStolenFromALiveHolderWithinAMessage(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		owner, thief := e.client(), e.client()
		e.release(e.acquire(thief, "warm"))
		l := e.acquire(owner, "x")
		granted := time.UnixMicro(l.Fence())
		got := make(chan *redislock.Lock)
		go func() { got <- e.acquire(thief, "x", redislock.WithStealAfter(5*time.Second)) }()

		<-l.Context().Done()
		// A hold of 5s is stale; a packet carries the check, one the message.
		if late := time.Since(granted.Add(5 * time.Second)); late < 0 || late > 10*time.Millisecond {
			e.Errorf("the holder was told %v after its hold had become stale", late)
		}
		if cause := context.Cause(l.Context()); !errors.Is(cause, redislock.ErrStolen) || !errors.Is(cause, redislock.ErrLost) {
			e.Errorf("cause %v", cause)
		}
		told := time.Now()
		next := <-got
		if took := time.Since(told); took > 5*time.Millisecond {
			e.Errorf("the holder's Client gave the lock up after %v", took)
		}
		if next.Fence() <= l.Fence() {
			e.Errorf("fence %d after %d", next.Fence(), l.Fence())
		}
		if err := l.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrStolen) {
			e.Errorf("the robbed release: %v", err)
		}
		if next.Err() != nil {
			e.Errorf("the robbed release hurt the new owner: %v", next.Err())
		}
		e.release(next)
		e.untouched("x")
	})
}

func TestWhatIsStolenGoesToTheHeadOfTheQueue(t *testing.T) {
	both(t, func(e *env) {
		owner, patient, thief := e.client(), e.client(), e.client()
		l := e.acquire(owner, "x")
		order := make(chan string, 2)
		go func() {
			l := e.acquire(patient, "x")
			order <- "patient"
			e.release(l)
		}()
		e.queued(owner, "x", 1)
		go func() {
			l := e.acquire(thief, "x", redislock.WithStealAfter(300*time.Millisecond))
			order <- "thief"
			e.release(l)
		}()
		<-l.Context().Done()
		if !errors.Is(l.Err(), redislock.ErrStolen) {
			e.Errorf("the holder says %v", l.Err())
		}
		if first, second := <-order, <-order; first != "patient" || second != "thief" {
			e.Errorf("served %s, then %s", first, second)
		}
		e.untouched("x")
	})
}

func TestAPausedHolderKeepsARevokedLockUntilTheDeadlineItKnows(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, n *fakenet.Network) {
		thief := e.client()
		e.release(e.acquire(thief, "warm"))
		// The holder does not hear, and its renewals do not arrive: its network is cut, the thief's is not.
		cut := &fakenet.Network{Dial: e.mini.Dial, Delay: time.Millisecond}
		paused := e.clientOn(cut)
		l := e.acquire(paused, "x", redislock.WithLease(10*time.Second))
		deadline := time.UnixMicro(l.Fence()).Add(10 * time.Second)
		cut.Cut()
		next := e.acquire(thief, "x", redislock.WithStealAfter(time.Second))
		if now := time.Now(); now.Before(deadline) || now.After(deadline.Add(50*time.Millisecond)) {
			e.Errorf("taken over %v from the deadline", now.Sub(deadline))
		}
		if err := l.Err(); !errors.Is(err, redislock.ErrLost) {
			e.Errorf("the paused holder says %v", err)
		}
		e.release(next)
		cut.Mend()
		_ = l.Release(context.Background())
		e.untouched("x")
	})
}

func TestARevokedHoldIsNotRenewed(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, n *fakenet.Network) {
		owner := e.client()
		l := e.acquire(owner, "x", redislock.WithLease(30*time.Second))
		time.Sleep(time.Second)
		// The message does not reach the holder: it learns of the theft by its next renewal.
		e.raw.Do(context.Background(), "client", "kill", "type", "pubsub")
		info, err := owner.Inspect(context.Background(), "x")
		if err != nil {
			e.Fatal(err)
		}
		e.revoke("x")
		<-l.Context().Done()
		if !errors.Is(l.Err(), redislock.ErrStolen) || !time.Now().Before(info.Holds[0].Deadline) {
			e.Errorf("ended with %v at %v, deadline %v", l.Err(), time.Now(), info.Holds[0].Deadline)
		}
		_ = l.Release(context.Background())
		e.untouched("x")
	})
}

func TestTryAcquireOfAStaleLockGetsItInOneTryWhileItsHolderLives(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		owner, thief := e.client(), e.client()
		e.release(e.acquire(owner, "warm")) // the owner is subscribed
		l := e.acquire(owner, "x")
		time.Sleep(150 * time.Millisecond)
		if _, err := thief.TryAcquire(ctx, "x", redislock.WithStealAfter(time.Hour)); !errors.Is(err, redislock.ErrHeld) || l.Err() != nil {
			e.Errorf("a young hold: %v, the holder says %v", err, l.Err())
		}
		e.eventually("the owner hears", func() bool {
			told, err := thief.Ask(ctx, "x", "a trial")
			return err == nil && told == 1
		})
		next, err := thief.TryAcquire(ctx, "x", redislock.WithStealAfter(100*time.Millisecond))
		if err != nil {
			e.Fatalf("a stale hold: %v", err)
		}
		if !errors.Is(l.Err(), redislock.ErrStolen) || next.Fence() <= l.Fence() {
			e.Errorf("the holder says %v; fence %d after %d", l.Err(), next.Fence(), l.Fence())
		}
		_ = l.Release(ctx)
		e.release(next)
		e.untouched("x")
	})
}

func TestTryAcquireWaitsAQuarterOfASecondForAHolderThatDoesNotAnswer(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		thief, waiter := e.client(), e.client()
		e.release(e.acquire(thief, "warm"))
		cut := &fakenet.Network{Dial: e.mini.Dial, Delay: time.Millisecond}
		paused := e.clientOn(cut)
		l := e.acquire(paused, "x", redislock.WithLease(10*time.Second))
		cut.Cut()
		time.Sleep(time.Second)
		try := func() (time.Duration, error) {
			began := time.Now()
			_, err := thief.TryAcquire(ctx, "x", redislock.WithStealAfter(time.Second))
			return time.Since(began), err
		}
		took, err := try()
		if held, ok := errors.AsType[*redislock.HeldError](err); !ok || held.Holder.Client == "" || errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("the error is %v", err)
		}
		if took < 240*time.Millisecond || took > 270*time.Millisecond {
			e.Errorf("it took %v", took)
		}
		info, err := thief.Inspect(ctx, "x")
		if err != nil || info.Waiting != 0 || !info.Holds[0].Revoked {
			e.Errorf("it left %+v, %v", info, err)
		}
		ended, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		if _, err := thief.TryAcquire(ended, "x", redislock.WithStealAfter(time.Second)); !errors.Is(err, redislock.ErrHeld) || !errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("under a context that ends: %v", err)
		}
		// The lock would go to the waiter in the queue, so there is nothing to wait for.
		got := make(chan *redislock.Lock)
		go func() { got <- e.acquire(waiter, "x") }()
		e.queued(thief, "x", 1)
		if took, err := try(); !errors.Is(err, redislock.ErrHeld) || took > 10*time.Millisecond {
			e.Errorf("behind a waiter: %v after %v", err, took)
		}
		e.release(<-got)
		cut.Mend()
		_ = l.Release(ctx)
		e.untouched("x")
	})
}

func TestBreakIsImmediate(t *testing.T) {
	both(t, func(e *env) {
		owner, waiter, operator := e.client(), e.client(), e.client()
		if fence, err := operator.Break(context.Background(), "x", "nobody has it"); fence != 0 || err != nil {
			e.Errorf("breaking a free lock: %d, %v", fence, err)
		}
		l := e.acquire(owner, "x")
		got := make(chan *redislock.Lock)
		go func() { got <- e.acquire(waiter, "x") }()
		e.queued(owner, "x", 1)
		fence, err := operator.Break(context.Background(), "x", "node-3 is on fire")
		if err != nil || fence != l.Fence() {
			e.Errorf("Break: fence %d of %d, %v", fence, l.Fence(), err)
		}
		next := <-got
		<-l.Context().Done()
		if cause := context.Cause(l.Context()); !errors.Is(cause, redislock.ErrStolen) || !strings.Contains(cause.Error(), "node-3 is on fire") {
			e.Errorf("the holder learns %v", cause)
		}
		if next.Fence() <= l.Fence() {
			e.Errorf("fence %d after %d", next.Fence(), l.Fence())
		}
		if err := l.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) {
			e.Errorf("its release: %v", err)
		}
		e.release(next)
		e.untouched("x")
	})
}

func TestI9ForgedAndReplayedMessagesAreIgnored(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		l := e.acquire(a, "x", redislock.WithLease(5*time.Second))
		got := make(chan *redislock.Lock, 1)
		go func() { got <- e.acquire(b, "x") }()
		e.queued(a, "x", 1)
		channels := e.channels()
		token := e.raw.HGet(ctx, "redislock:{x}", "s").Val()[:22] // the first of the holds
		record := e.raw.HGet(ctx, "redislock:{x}", "h"+token).Val()
		for _, channel := range channels {
			for _, forged := range []string{
				"g" + strings.Repeat("A", 22) + record[60:76] + record[76:92] + "00005000", // a token nobody waits by
				"g" + token + record[60:76] + record[76:92] + "00005000",                   // the holder's own token
				"s" + token + strings.Repeat("A", 16) + "by a guess",                       // a nonce nobody knows
				"g", "s", "", strings.Repeat("g", 63), strings.Repeat("s", 500),
			} {
				e.publish(channel, forged)
			}
		}
		time.Sleep(100 * time.Millisecond)
		select {
		case <-got:
			e.Error("a forged message granted the lock")
		default:
		}
		if l.Err() != nil {
			e.Errorf("a forged message took the lock: %v", l.Err())
		}
		e.release(l)
		next := <-got
		e.release(next)
	})
}

func TestBreakHoldsEndsThoseThatWereSeenAndNoOthers(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		var scripts atomic.Int32
		a, b, operator := e.client(), e.client(), e.tapped(&tap{before: func(text string) error {
			scripts.Add(int32(strings.Count(text, digest("break"))))
			return nil
		}})
		l := e.acquire(a, "x")
		seen, err := operator.Inspect(ctx, "x")
		if err != nil {
			e.Fatal(err)
		}
		e.release(l)
		next := e.acquire(b, "x")
		if fence, err := operator.BreakHolds(ctx, seen, "meant for a"); fence != 0 || err != nil {
			e.Errorf("broke the fence %d, %v", fence, err)
		}
		e.settle()
		if next.Err() != nil {
			e.Errorf("another holder was hit: %v", next.Err())
		}
		if seen, err = operator.Inspect(ctx, "x"); err != nil {
			e.Fatal(err)
		}
		if fence, err := operator.BreakHolds(ctx, seen, "meant for b"); fence != next.Fence() || err != nil {
			e.Errorf("broke the fence %d, %v", fence, err)
		}
		e.eventually("the holder knows", func() bool { return ended(next.Context()) })
		if fence, err := operator.BreakHolds(ctx, seen, "again"); fence != 0 || err != nil {
			e.Errorf("broke the fence %d again, %v", fence, err)
		}

		// Of several holders some.
		var readers []*redislock.Lock
		for range 40 {
			readers = append(readers, e.acquire(a, "x", redislock.WithMode(redislock.Read)))
		}
		if seen, err = operator.Inspect(ctx, "x"); err != nil {
			e.Fatal(err)
		}
		seen.Holds = seen.Holds[:35]
		scripts.Store(0)
		if fence, err := operator.BreakHolds(ctx, seen, "some"); fence != readers[34].Fence() || err != nil {
			e.Errorf("broke the fence %d, %v", fence, err)
		}
		if n := scripts.Load(); n != 2 { // at most 32 each, so that none keeps Redis long
			e.Errorf("35 holds by %d scripts", n)
		}
		e.eventually("they know", func() bool { return ended(readers[34].Context()) })
		for i, l := range readers {
			if gone := l.Err() != nil; gone != (i < 35) {
				e.Errorf("reader %d is gone: %v", i, gone)
			}
			_ = l.Release(ctx)
		}
		for what, err := range map[string]error{
			"no reason": second(operator.BreakHolds(ctx, seen, "")),
			"no name":   second(operator.BreakHolds(ctx, redislock.Info{}, "why")),
		} {
			if !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("%s: %v", what, err)
			}
		}
		e.untouched("x")
	})
}

func second[T any](_ T, err error) error { return err }

func TestAHoldThatIsKeptIsSeenAsSuch(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c := e.client()
		if err := e.acquire(c, "x").ReleaseAfter(ctx, 5*time.Second); err != nil {
			e.Fatal(err)
		}
		info, err := c.Inspect(ctx, "x")
		if err != nil || len(info.Holds) != 1 || !info.Holds[0].Kept || info.Holds[0].Revoked {
			e.Errorf("%+v, %v", info.Holds, err)
		}
		if told, err := c.Ask(ctx, "x", "why"); told != 0 || err != nil {
			e.Errorf("told %d, %v: nobody is there", told, err)
		}
	})
}

// heard is the request that a holder hears of, within a second.
func (e *env) heard(l *redislock.Lock) redislock.Request {
	e.Helper()
	select {
	case r := <-l.Asked():
		return r
	case <-time.After(time.Second):
		e.stop(errors.New("the holder does not hear of it"))
	}
	panic("unreachable")
}

// subscribed waits until that many Clients hear what they are told.
func (e *env) subscribed(n int) {
	e.Helper()
	e.eventually("the Clients are subscribed", func() bool {
		clients := map[string]bool{}
		for _, c := range e.channels() {
			if !c.sharded {
				clients[c.name] = true
			}
		}
		return len(clients) == n
	})
}

func TestAskTellsTheHolderAndTakesNothing(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		var told recorder
		holder, other := e.client(redislock.WithObserver(&told)), e.client(redislock.WithName("other"))
		if n, err := other.Ask(ctx, "x", "why"); n != 0 || err != nil {
			e.Errorf("nobody holds it: %d, %v", n, err)
		}
		l := e.acquire(holder, "x", redislock.WithMetadata("import"))
		e.subscribed(1)
		nested, err := holder.Acquire(l.Context(), "x")
		if err != nil {
			e.Fatal(err)
		}
		if n, err := other.Ask(ctx, "x", "a deploy\nis due"); n != 1 || err != nil {
			e.Errorf("asked %d, %v", n, err)
		}
		r := e.heard(l)
		if r.Why != "a deploy\nis due" || r.By.Client != "other" || r.By.PID == 0 || r.By.Metadata != "" {
			e.Errorf("heard %+v", r)
		}
		e.eventually("the observer is told", func() bool { return told.count(redislock.EventRequested) == 1 })
		if l.Err() != nil {
			e.Errorf("the lock: %v", l.Err())
		}
		for _, why := range []string{"one", "two", "three"} { // the latest that nobody has read
			if _, err := other.Ask(ctx, "x", why); err != nil {
				e.Fatal(err)
			}
		}
		e.eventually("all were told", func() bool { return told.count(redislock.EventRequested) == 4 })
		if r := e.heard(nested); r.Why != "three" {
			e.Errorf("the latest is %+v", r)
		}
		select {
		case r := <-l.Asked():
			e.Errorf("one request comes twice: %+v", r)
		default:
		}
		e.release(nested)
		e.release(l)
		e.untouched("x")
	})
}

func TestAskReachesEveryHolderAndNoWaiter(t *testing.T) {
	both(t, func(e *env) {
		one, two := e.client(), e.client()
		a := e.acquire(one, "x", redislock.WithMode(redislock.Read))
		b := e.acquire(two, "x", redislock.WithMode(redislock.Read))
		writer := make(chan *redislock.Lock)
		go func() { writer <- e.acquire(one, "x", redislock.WithMode(redislock.Write)) }()
		e.queued(one, "x", 1)
		e.subscribed(2)
		if n, err := one.Ask(context.Background(), "x", "why"); n != 2 || err != nil {
			e.Errorf("asked %d, %v", n, err)
		}
		e.heard(a)
		e.heard(b)
		e.release(a)
		e.release(b)
		w := <-writer
		e.settle()
		select {
		case r := <-w.Asked():
			e.Errorf("who waited was asked: %+v", r)
		default:
		}
		e.release(w)
		e.untouched("x")
	})
}

func TestAForgedRequestIsIgnored(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		var told recorder
		c := e.client(redislock.WithObserver(&told))
		l := e.acquire(c, "x")
		var token string
		for field := range e.raw.HGetAll(ctx, "redislock:{x}").Val() {
			if len(field) == 22 {
				token = field
			}
		}
		for _, channel := range e.channels() {
			for _, forged := range []string{"a", "a" + token, "a" + token + strings.Repeat("n", 16) + "why", "a" + strings.Repeat("t", 38)} {
				e.raw.Publish(ctx, channel.name, forged)
			}
		}
		time.Sleep(time.Second)
		if n := told.count(redislock.EventRequested); n != 0 || len(l.Asked()) != 0 {
			e.Errorf("%d forged requests were believed", n)
		}
		e.release(l)
	})
}

func TestAskRefusesWhatCannotWork(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		var none context.Context
		ctx := context.Background()
		c := e.client()
		for what, ask := range map[string]func() (int, error){
			"no name":     func() (int, error) { return c.Ask(ctx, "", "why") },
			"no reason":   func() (int, error) { return c.Ask(ctx, "x", "") },
			"long reason": func() (int, error) { return c.Ask(ctx, "x", strings.Repeat("w", redislock.MaxReason+1)) },
			"no context":  func() (int, error) { return c.Ask(none, "x", "why") },
		} {
			if _, err := ask(); !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("%s: %v", what, err)
			}
		}
		if err := c.Close(ctx); err != nil {
			e.Fatal(err)
		}
		if _, err := c.Ask(ctx, "x", "why"); !errors.Is(err, redislock.ErrClosed) {
			e.Errorf("a closed Client: %v", err)
		}
	})
}

// lost says which of some holds have been stolen.
func lost(locks []*redislock.Lock) (numbers []int) {
	for i, l := range locks {
		if errors.Is(l.Err(), redislock.ErrStolen) {
			numbers = append(numbers, i)
		}
	}
	return numbers
}

func TestAStealRevokesOnlyTheHoldsWhoseEndLetsTheCallerIn(t *testing.T) {
	pool, large := redislock.Semaphore(100), redislock.NewMode("large", redislock.CompatibleWith("small", "large"))
	small := redislock.NewMode("small", redislock.CompatibleWith("small", "large"))
	four := []redislock.Mode{pool, pool, pool, pool}
	for _, test := range []struct {
		name   string
		held   []redislock.Mode
		young  int // so many of them, the last, are not stale
		limit  []redislock.Rule
		mode   redislock.Mode
		weight int
		lost   []int
		got    bool
	}{
		{name: "a limit of nobody", held: four, limit: []redislock.Rule{redislock.AtMost(0, "semaphore")}, mode: pool, weight: 1},
		{name: "more than the limit", held: four, limit: []redislock.Rule{redislock.AtMost(4, "semaphore")}, mode: pool, weight: 5},
		{name: "a lower limit", held: four, limit: []redislock.Rule{redislock.AtMost(2, "semaphore")}, mode: pool, weight: 1, lost: []int{0, 1, 2}, got: true},
		{name: "a lower limit, and too few are stale", held: four, young: 3, limit: []redislock.Rule{redislock.AtMost(2, "semaphore")}, mode: pool, weight: 1},
		{name: "a limit that leaves room", held: four, limit: []redislock.Rule{redislock.AtMost(5, "semaphore")}, mode: redislock.Write, weight: 1, lost: []int{0, 1, 2, 3}, got: true},
		{name: "a full semaphore", held: four, mode: redislock.Semaphore(4), weight: 1, lost: []int{0}, got: true},
		{name: "two units", held: four, mode: redislock.Semaphore(4), weight: 2, lost: []int{0, 1}, got: true},
		{name: "a limit of another mode", held: []redislock.Mode{small, large, small, large}, limit: []redislock.Rule{redislock.AtMost(2, "large")}, mode: large, weight: 1, lost: []int{1}, got: true},
		{name: "exclusive under a limit", held: four, limit: []redislock.Rule{redislock.AtMost(0, "semaphore")}, mode: redislock.Exclusive, weight: 1, lost: []int{0, 1, 2, 3}, got: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			both(t, func(e *env) {
				ctx := context.Background()
				owner, thief := e.client(), e.client()
				e.release(e.acquire(owner, "warm")) // the owner is subscribed
				var locks []*redislock.Lock
				stale, between := len(test.held)-test.young, time.Time{}
				for i, m := range test.held {
					if i == stale {
						time.Sleep(time.Second)
						between = time.Now()
						time.Sleep(time.Second)
					}
					locks = append(locks, e.acquire(owner, "x", redislock.WithMode(m)))
				}
				if test.young == 0 {
					between = time.Now()
					time.Sleep(150 * time.Millisecond)
				}
				e.eventually("the owner hears", func() bool {
					told, err := thief.Ask(ctx, "x", "a trial")
					return err == nil && told == len(locks)
				})
				if test.limit != nil {
					if err := thief.SetLimit(ctx, "x", time.Minute, test.limit...); err != nil {
						e.Fatal(err)
					}
				}
				l, err := thief.TryAcquire(ctx, "x", redislock.WithMode(test.mode), redislock.WithWeight(test.weight), redislock.WithStealAfter(time.Since(between)))
				if got := err == nil; got != test.got || err != nil && !errors.Is(err, redislock.ErrHeld) {
					e.Errorf("the caller got %v", err)
				}
				info, inspectErr := thief.Inspect(ctx, "x")
				if inspectErr != nil {
					e.Fatal(inspectErr)
				}
				for _, h := range info.Holds {
					if h.Revoked {
						e.Errorf("%+v is being stolen still", h)
					}
				}
				if got := lost(locks); !slices.Equal(got, test.lost) {
					e.Errorf("stolen are %v, want %v", got, test.lost)
				}
				for _, l := range append(locks, l) {
					if l != nil {
						_ = l.Release(ctx)
					}
				}
				if info, err := thief.Inspect(ctx, "x"); info.Holders != 0 || info.Waiting != 0 || err != nil {
					e.Errorf("left behind: %+v, %v", info, err)
				}
			})
		})
	}
}

// A waiter finds only later, in a check, that holds are stale.
func TestAWaiterStealsWhatItNeedsAsSoonAsTheLimitLetsItIn(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		owner, thief, patient := e.client(), e.client(), e.client()
		pool := redislock.WithMode(redislock.Semaphore(100))
		limit := func(n int) {
			e.Helper()
			if err := patient.SetLimit(ctx, "x", time.Hour, redislock.AtMost(n, "semaphore")); err != nil {
				e.Fatal(err)
			}
		}
		locks := []*redislock.Lock{e.acquire(owner, "x", pool), e.acquire(owner, "x", pool), e.acquire(owner, "x", pool)}
		limit(0)
		first := e.waiter(patient, "x", pool)
		e.queued(patient, "x", 1)
		second := e.waiter(thief, "x", pool, redislock.WithStealAfter(5*time.Second))
		e.queued(patient, "x", 2)
		third := e.waiter(patient, "x", pool)
		e.queued(patient, "x", 3)
		time.Sleep(10 * time.Second)
		if got := lost(locks); got != nil {
			e.Errorf("under a limit of nobody %v are stolen", got)
		}
		limit(3)
		one, two := <-first, <-second
		e.none(third, "it does not steal, and the one before it needs no more")
		if got := lost(locks); !slices.Equal(got, []int{0, 1}) {
			e.Errorf("stolen are %v, want as many as two need", got)
		}
		e.release(one)
		e.release(<-third)
		e.release(two)
		e.release(locks[2])
	})
}

// A hold that is to change its mode waits before the others, and the limit does not keep it from that.
func TestAStealOfAWaiterBehindAnUpgradeRevokesNobodyForALimit(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		owner, thief := e.client(), e.client()
		for _, limited := range []string{"read", "write", ""} {
			upgrades, reads := e.acquire(owner, "x", reading), e.acquire(owner, "x", reading)
			if limited != "" {
				if err := thief.SetLimit(ctx, "x", time.Hour, redislock.AtMost(0, limited)); err != nil {
					e.Fatal(err)
				}
			}
			upgraded := make(chan error, 1)
			go func() { upgraded <- upgrades.Upgrade(ctx) }()
			e.queued(thief, "x", 1)
			got := e.waiter(thief, "x", reading, redislock.WithStealAfter(5*time.Second))
			e.queued(thief, "x", 2)
			time.Sleep(10 * time.Second)
			if limited == "read" {
				if got := lost([]*redislock.Lock{upgrades, reads}); got != nil {
					e.Errorf("stolen are %v for a reader that the limit refuses", got)
				}
				if err := thief.SetLimit(ctx, "x", time.Hour); err != nil {
					e.Fatal(err)
				}
			}
			<-reads.Context().Done() // it is in the way of the upgrade, and so of the reader behind that
			if err := <-upgraded; err != nil {
				e.Errorf("the upgrade: %v", err)
			}
			e.release(<-got)
			_, _ = upgrades.Release(ctx), reads.Release(ctx)
		}
	})
}
