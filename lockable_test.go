package redislock_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// meter is a type that embeds a Lockable. Its data is shared by all instances, and has no other protection.
type meter struct {
	redislock.Lockable
	*meterDial
	e *env
}

type meterDial struct {
	inside atomic.Int32
	total  int
}

// meter is an instance in that process.
func (e *env) meter(c *redislock.Client, d *meterDial, opts ...redislock.Option) *meter {
	e.Helper()
	m := &meter{meterDial: d, e: e}
	if err := m.Init(c, "meter", opts...); err != nil {
		e.stop(err)
	}
	return m
}

// add must not run twice at a time.
func (m *meter) add() error {
	defer m.inside.Add(-1)
	if m.inside.Add(1) != 1 {
		return errors.New("I1: two bodies at once")
	}
	total := m.total
	time.Sleep(100 * time.Microsecond)
	m.total = total + 1
	return nil
}

func (m *meter) addOne(ctx context.Context) error {
	return m.Locked(ctx, func(context.Context) error { return m.add() })
}

// addTwo calls another method.
func (m *meter) addTwo(ctx context.Context) error {
	return m.Locked(ctx, func(ctx context.Context) error { return errors.Join(m.addOne(ctx), m.addOne(ctx)) })
}

// addThree calls both.
func (m *meter) addThree(ctx context.Context) (err error) {
	ctx, err = m.Acquire(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Release(ctx)) }()
	return errors.Join(m.addOne(ctx), m.addTwo(ctx))
}

// soon is a context for calls that should return at once, so that a deadlock fails instead of hanging.
func (e *env) soon() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	e.Cleanup(cancel)
	return ctx
}

// enter is an Acquire that must succeed.
func (m *meter) enter(ctx context.Context, opts ...redislock.Option) context.Context {
	m.e.Helper()
	got, err := m.Acquire(ctx, opts...)
	if err != nil {
		m.e.stop(err)
	}
	return got
}

// leaves fails unless a Release of that context has the answer, nil or an error.
func (m *meter) leaves(ctx context.Context, want error, when string) {
	m.e.Helper()
	if err := m.Release(ctx); !errors.Is(err, want) {
		m.e.Errorf("%s: Release is %v, want %v", when, err, want)
	}
}

// meterTraffic counts the requests that are sent for the lock "meter", but for renewals: those come when they are due, and
// when the subscription begins.
type meterTraffic struct{ n atomic.Int32 }

func (t *meterTraffic) DialHook(next redis.DialHook) redis.DialHook { return next }

func (t *meterTraffic) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		t.note(cmd)
		return next(ctx, cmd)
	}
}

func (t *meterTraffic) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			t.note(cmd)
		}
		return next(ctx, cmds)
	}
}

func (t *meterTraffic) note(cmd redis.Cmder) {
	renew, whole := redislock.Script("renew")
	args := cmd.Args()
	script := len(args) > 3 && args[3] == "redislock:{meter}" && args[1] != renew && args[1] != whole
	if script || args[0] == "hdel" && args[1] == "redislock:{meter}" {
		t.n.Add(1)
	}
}

// counted is an instance of the application with a count of its requests.
func (e *env) counted() (*redislock.Client, *meterTraffic) {
	e.Helper()
	t := &meterTraffic{}
	rdb := e.connect()
	rdb.AddHook(t)
	return e.over(rdb), t
}

func TestMethodsOfALockableExcludeEachOtherInAllProcesses(t *testing.T) {
	both(t, func(e *env) {
		var d meterDial
		var all sync.WaitGroup
		for _, c := range []*redislock.Client{e.client(), e.client()} {
			m := e.meter(c, &d)
			for _, method := range []func(context.Context) error{m.addOne, m.addTwo, m.addThree} {
				all.Go(func() {
					for range 10 {
						if err := method(e.soon()); err != nil {
							e.Error(err)
						}
					}
				})
			}
		}
		all.Wait()
		if want := 2 * 10 * (1 + 2 + 4 - 1); d.total != want {
			e.Errorf("the total is %d, want %d", d.total, want)
		}
		e.untouched("meter")
	})
}

func TestMethodsOfALockableCallOneAnotherWithoutARoundTrip(t *testing.T) {
	both(t, func(e *env) {
		c, sent := e.counted()
		m := e.meter(c, &meterDial{})
		warm := e.acquire(c, "meter")
		time.Sleep(2 * redislock.Brief)
		e.release(warm) // the server knows the scripts now
		before := sent.n.Load()
		err := m.Locked(e.soon(), func(ctx context.Context) error {
			return errors.Join(m.addOne(ctx), m.addTwo(ctx), m.addThree(ctx))
		})
		if err != nil {
			e.Error(err)
		}
		if n := sent.n.Load() - before; n != 2 {
			e.Errorf("%d requests were sent for an acquire and a release", n)
		}
		if m.total != 6 {
			e.Errorf("%d bodies ran, want 6", m.total)
		}
		e.untouched("meter")
	})
}

func TestALockableNestsWithItsClientsAcquire(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		m := e.meter(c, &meterDial{})
		l := e.acquire(c, "meter")
		inner := m.enter(l.With(e.soon()))
		innermost, err := c.Acquire(inner, "meter")
		if err != nil {
			e.stop(err)
		}
		if innermost.Fence() != l.Fence() {
			e.Errorf("fences %d and %d of what should be one hold", innermost.Fence(), l.Fence())
		}
		if err := m.addOne(innermost.With(inner)); err != nil {
			e.Error(err)
		}
		m.leaves(inner, redislock.ErrOrder, "before a handle that is nested in it")
		e.release(innermost)
		m.leaves(inner, nil, "in order")
		e.release(l)
		e.untouched("meter")
	})
}

func TestLockableAcquireWaitsAsItIsTold(t *testing.T) {
	both(t, func(e *env) {
		here, there := e.meter(e.client(), &meterDial{}), e.meter(e.client(), &meterDial{}, redislock.WithWait(0))
		held := here.enter(e.soon())

		start := time.Now()
		if ctx, err := there.Acquire(e.soon()); !errors.Is(err, redislock.ErrHeld) || ctx != nil {
			e.Errorf("without waiting, as Init said: %v, %v", ctx, err)
		}
		if took := time.Since(start); e.mini != nil && took != 0 {
			e.Errorf("it waited for %v, and should not", took)
		}
		start = time.Now()
		if ctx, err := there.Acquire(e.soon(), redislock.WithWait(500*time.Millisecond)); !errors.Is(err, redislock.ErrHeld) || ctx != nil {
			e.Errorf("with a time-out: %v, %v", ctx, err)
		}
		if took := time.Since(start); took < 500*time.Millisecond {
			e.Errorf("it waited for %v of 500ms", took)
		}
		short, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		if _, err := there.Acquire(short, redislock.WithWait(time.Minute)); !errors.Is(err, redislock.ErrHeld) || !errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("until its context ended: %v", err)
		}

		got := make(chan context.Context)
		go func() { got <- there.enter(e.soon(), redislock.WithWait(time.Minute)) }()
		e.queued(e.client(), "meter", 1)
		here.leaves(held, nil, "with a waiter")
		there.leaves(<-got, nil, "after it waited")
		e.untouched("meter")
	})
}

func TestALockablesContextEndsWithItsParentAndWithTheLock(t *testing.T) {
	both(t, func(e *env) {
		m := e.meter(e.client(), &meterDial{})
		parent, cancel := context.WithCancelCause(context.Background())
		defer cancel(nil)
		ctx := m.enter(parent)
		cause := errors.New("the request is over")
		cancel(cause)
		<-ctx.Done()
		if got := context.Cause(ctx); !errors.Is(got, cause) {
			e.Errorf("it ended with %v", got)
		}
		if _, err := e.meter(e.client(), &meterDial{}).Acquire(e.soon(), redislock.WithWait(0)); !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("the lock should be held still: %v", err)
		}
		m.leaves(ctx, nil, "after its context has ended")

		outer := m.enter(e.soon())
		inner := m.enter(outer)
		m.leaves(inner, nil, "the inner one")
		<-inner.Done()
		if got := context.Cause(inner); !errors.Is(got, redislock.ErrReleased) || ended(outer) {
			e.Errorf("the inner one ended with %v, the outer one is %v", got, outer.Err())
		}
		m.leaves(outer, nil, "the outer one")
		<-outer.Done()
		if got := context.Cause(outer); !errors.Is(got, redislock.ErrReleased) {
			e.Errorf("the outer one ended with %v", got)
		}
		e.untouched("meter")
	})
}

func TestLockableReleaseTakesTheContextOfItsAcquireOnly(t *testing.T) {
	both(t, func(e *env) {
		c, sent := e.counted()
		m, other := e.meter(c, &meterDial{}), e.meter(e.client(), &meterDial{})
		ctx := m.enter(e.soon())
		before := sent.n.Load()
		m.leaves(e.soon(), redislock.ErrNotHeld, "a context of no acquire")
		other.leaves(ctx, redislock.ErrNotHeld, "by another process")
		namesake := &meter{e: e}
		if err := namesake.Init(c, "another meter"); err != nil {
			e.Error(err)
		}
		namesake.leaves(ctx, redislock.ErrNotHeld, "of another name")
		if sent.n.Load() != before {
			e.Error("a release of what is not held was sent")
		}
		type key struct{}
		child, cancel := context.WithCancel(context.WithValue(ctx, key{}, "of a descendant"))
		defer cancel()
		m.leaves(child, nil, "a descendant")

		// Handles that others took are theirs to release.
		l := e.acquire(c, "meter")
		m.leaves(l.Context(), redislock.ErrNotHeld, "a hold of Client.Acquire")
		if err := l.Err(); err != nil {
			e.Errorf("that one is %v", err)
		}
		e.release(l)
		err := m.Locked(e.soon(), func(ctx context.Context) error {
			m.leaves(ctx, redislock.ErrNotHeld, "a hold of Locked")
			return ctx.Err()
		})
		if err != nil {
			e.Error(err)
		}
		ctx = m.enter(e.soon())
		err = m.Locked(ctx, func(ctx context.Context) error {
			m.leaves(ctx, redislock.ErrOrder, "under Locked")
			return ctx.Err()
		})
		if err != nil {
			e.Error(err)
		}
		m.leaves(ctx, nil, "after Locked")
		e.untouched("meter")
	})
}

func TestLockableReleaseTooOftenIsNotHeldAndHurtsNobody(t *testing.T) {
	both(t, func(e *env) {
		c, sent := e.counted()
		m := e.meter(c, &meterDial{})
		outer := m.enter(e.soon())
		inner := m.enter(outer)
		innermost := m.enter(inner)
		m.leaves(innermost, nil, "the innermost")
		m.leaves(inner, nil, "the inner one")
		before := sent.n.Load()
		m.leaves(innermost, redislock.ErrNotHeld, "the innermost twice")
		m.leaves(inner, redislock.ErrNotHeld, "the inner one twice")
		if ended(outer) {
			e.Error("the release of an inner one released the outer one")
		}
		if sent.n.Load() != before {
			e.Error("a second release was sent")
		}
		m.leaves(outer, nil, "the outer one")
		before = sent.n.Load()
		m.leaves(outer, redislock.ErrNotHeld, "the outer one twice")
		m.leaves(inner, redislock.ErrNotHeld, "the inner one three times")
		if sent.n.Load() != before {
			e.Error("a second release was sent")
		}
		e.untouched("meter")
	})
}

func TestOfSeveralReleasesOfALockableAtATimeOneReleasesIt(t *testing.T) {
	both(t, func(e *env) {
		m := e.meter(e.client(), &meterDial{})
		once := func(what string, ctx context.Context) {
			e.Helper()
			var released atomic.Int32
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					if err := m.Release(ctx); err == nil {
						released.Add(1)
					} else if !errors.Is(err, redislock.ErrNotHeld) {
						e.Error(err)
					}
				})
			}
			all.Wait()
			if n := released.Load(); n != 1 {
				e.Errorf("%s: %d of 4 released it", what, n)
			}
		}
		for range 20 {
			outer := m.enter(e.soon())
			for range 50 {
				once("a nested one", m.enter(outer))
			}
			once("the outermost", outer)
		}
		e.untouched("meter")
	})
}

func TestLockableReleaseOutOfOrderChangesNothing(t *testing.T) {
	both(t, func(e *env) {
		m := e.meter(e.client(), &meterDial{})
		outer := m.enter(e.soon())
		inner := m.enter(outer)
		for range 2 {
			m.leaves(outer, redislock.ErrOrder, "the outer one first")
		}
		if ended(outer) || ended(inner) {
			e.Errorf("a release out of order ended %v, %v", outer.Err(), inner.Err())
		}
		if err := m.addThree(inner); err != nil {
			e.Error(err)
		}
		m.leaves(inner, nil, "the inner one")
		m.leaves(outer, nil, "then the outer one")
		e.untouched("meter")
	})
}

func TestLockableReleaseAfterALossSaysSo(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c, operator := e.client(), e.client()
		m := e.meter(c, &meterDial{})
		outer := m.enter(ctx)
		inner := m.enter(outer)
		if _, err := operator.Break(ctx, "meter", "node-3 is on fire"); err != nil {
			e.Fatal(err)
		}
		<-outer.Done()
		<-inner.Done()
		for _, ctx := range []context.Context{outer, inner} {
			if cause := context.Cause(ctx); !errors.Is(cause, redislock.ErrStolen) {
				e.Errorf("the context ended with %v", cause)
			}
		}
		again := m.enter(context.WithoutCancel(inner)) // the hold is gone, so this is another one
		for _, lost := range []context.Context{outer, inner} {
			err := m.Release(lost)
			if !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrStolen) || !strings.Contains(err.Error(), "node-3 is on fire") {
				e.Errorf("the release of what was lost: %v", err)
			}
			m.leaves(lost, redislock.ErrNotHeld, "twice")
		}
		if ended(again) {
			e.Error("the release of what was lost took the lock from its owner")
		}
		m.leaves(again, nil, "the next hold")
		e.untouched("meter")

		err := m.Locked(ctx, func(ctx context.Context) error {
			_, err := operator.Break(ctx, "meter", "again")
			<-ctx.Done()
			return err
		})
		if !errors.Is(err, redislock.ErrLost) {
			e.Errorf("Locked, of a lock that was lost: %v", err)
		}
	})
}

func TestALockableBeforeItsInitIsRefused(t *testing.T) {
	ctx := context.Background()
	var m meter
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, redislock.ErrInvalid) || !strings.Contains(err.Error(), "Init") {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("Locked", m.Locked(ctx, func(context.Context) error { t.Error("ran"); return nil }))
	_, err := m.Acquire(ctx)
	refused("Acquire", err)
	refused("Release", m.Release(ctx))
}

func TestALockablesBadInputIsRefusedBeforeAnythingIsSent(t *testing.T) {
	both(t, func(e *env) {
		c, sent := e.counted()
		var m meter
		refused := func(names string, err error) {
			e.Helper()
			if !errors.Is(err, redislock.ErrInvalid) || !strings.Contains(err.Error(), names) {
				e.Errorf("%q: %v", names, err)
			}
		}
		refused("nil Client", m.Init(nil, "meter"))
		refused("empty name", m.Init(c, ""))
		refused("name of 513 bytes", m.Init(c, strings.Repeat("n", redislock.MaxName+1)))
		refused("nil Option", m.Init(c, "meter", nil))
		refused("WithLease(1ms)", m.Init(c, "meter", redislock.WithLease(time.Millisecond)))
		refused("WithFailOpen", m.Init(c, "meter", redislock.WithFailOpen()))
		refused("clock margin", m.Init(e.client(redislock.WithClockMargin(time.Second)), "meter", redislock.WithLease(time.Second)))
		refused("WithWeight(2)", m.Init(c, "meter", redislock.WithWeight(2)))

		closed := e.client()
		if err := errors.Join(closed.Close(e.soon()), m.Init(closed, "meter")); !errors.Is(err, redislock.ErrClosed) {
			e.Errorf("a closed Client: %v", err)
		}

		refused("Init", m.Release(e.soon())) // what failed changed nothing
		if err := m.Init(c, "meter"); err != nil {
			e.Fatal(err)
		}
		refused("second Init", m.Init(c, "another meter"))
		var none context.Context
		refused("nil context", m.Release(none))
		refused("nil context", m.Locked(none, func(context.Context) error { return nil }))
		refused("nil function", m.Locked(e.soon(), nil))
		_, err := m.Acquire(none)
		refused("nil context", err)
		_, err = m.Acquire(e.soon(), redislock.WithWait(-1))
		refused("WithWait(-1ns)", err)
		if n := sent.n.Load(); n > 0 {
			e.Errorf("%d requests were sent", n)
		}
	})
}

func TestANonReentrantLockableIsADeadlockAtOnce(t *testing.T) {
	both(t, func(e *env) {
		m := e.meter(e.client(), &meterDial{}, redislock.NonReentrant())
		if err := m.addTwo(e.soon()); !errors.Is(err, redislock.ErrDeadlock) || m.total != 0 {
			e.Errorf("a method that calls another: %v, %d bodies ran", err, m.total)
		}
		ctx := m.enter(e.soon())
		if nested, err := m.Acquire(ctx); !errors.Is(err, redislock.ErrDeadlock) || nested != nil {
			e.Errorf("a nested acquire: %v, %v", nested, err)
		}
		m.leaves(ctx, nil, "after it")
		e.untouched("meter")
	})
}

func TestALockablesOptionsAreDefaultsOfItsAcquires(t *testing.T) {
	both(t, func(e *env) {
		opts := []redislock.Option{redislock.WithMode(redislock.Read), redislock.WithMetadata("default")}
		m := e.meter(e.client(), &meterDial{}, opts...)
		opts[0] = redislock.WithMode(redislock.Write) // the Lockable has its own copy
		shared := m.enter(e.soon())
		if _, err := m.Acquire(shared, redislock.WithMode(redislock.Write)); !errors.Is(err, redislock.ErrDeadlock) {
			e.Errorf("more than the hold gives: %v", err)
		}
		beside := m.enter(e.soon(), redislock.WithWait(0), redislock.WithMetadata("beside"))
		info, err := e.client().Inspect(context.Background(), "meter")
		if err != nil || info.Holders != 2 || info.Holds[0].Owner.Metadata != "default" || info.Holds[1].Owner.Metadata != "beside" {
			e.Errorf("%+v, %v", info, err)
		}
		m.leaves(shared, nil, "the first reader")
		err = m.Locked(e.soon(), func(context.Context) error { return nil }, redislock.WithMode(redislock.Write), redislock.WithWait(0))
		if !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("a writer beside a reader: %v", err)
		}
		m.leaves(beside, nil, "the second reader")
		e.untouched("meter")
	})
}

// panicked is the error that f panics with, nil if it does not.
func panicked(f func()) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = value.(error)
		}
	}()
	f()
	return nil
}

func TestGoroutinesShareALockerLikeAMutex(t *testing.T) {
	both(t, func(e *env) {
		m := meter{meterDial: &meterDial{}}
		var all sync.WaitGroup
		for _, c := range []*redislock.Client{e.client(), e.client()} {
			mu := c.Locker(e.soon(), "x")
			for range 4 {
				all.Go(func() {
					for range 10 {
						mu.Lock()
						if err := m.add(); err != nil {
							e.Error(err)
						}
						mu.Unlock()
					}
				})
			}
		}
		all.Wait()
		if m.total != 80 {
			e.Errorf("the total is %d, want 80", m.total)
		}
		e.untouched("x")
	})
}

func TestALockersLockPanicsWithTheErrorOfTheAcquire(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(), e.client()
		e.warm(c)
		l := e.acquire(other, "x")
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err := panicked(c.Locker(ctx, "x").Lock)
		if !errors.Is(err, redislock.ErrHeld) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `acquire "x"`) {
			e.Errorf("when its context ends: %v", err)
		}
		if err := panicked(c.Locker(e.soon(), "x", redislock.WithWait(0)).Lock); !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("without waiting: %v", err)
		}
		e.release(l)
		if err := panicked(c.Locker(e.soon(), "x", redislock.WithLease(0)).Lock); !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("an option that cannot work: %v", err)
		}
		e.untouched("x")
	})
}

func TestALockIsNeverNestedInAHoldOfTheLockersContext(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		l := e.acquire(c, "x")
		mu := c.Locker(l.With(e.soon()), "x")
		if err := panicked(mu.Lock); !errors.Is(err, redislock.ErrDeadlock) {
			e.Errorf("under a hold of the same lock: %v", err)
		}
		e.release(l)
		e.untouched("x")
	})
}

func TestALockersUnlockPanicsWhenNothingIsLocked(t *testing.T) {
	both(t, func(e *env) {
		mu := e.client().Locker(e.soon(), "x")
		for range 2 {
			if err := panicked(mu.Unlock); !errors.Is(err, redislock.ErrNotHeld) {
				e.Errorf("an Unlock too many: %v", err)
			}
			if err := errors.Join(panicked(mu.Lock), panicked(mu.Unlock)); err != nil {
				e.Error(err)
			}
		}
		e.untouched("x")
	})
}

func TestALockersUnlockWorksWhenTheContextHasEnded(t *testing.T) {
	both(t, func(e *env) {
		ctx, cancel := context.WithCancel(context.Background())
		mu := e.client().Locker(ctx, "x")
		mu.Lock()
		cancel()
		if err := panicked(mu.Unlock); err != nil {
			e.Error(err)
		}
		if err := panicked(mu.Lock); !errors.Is(err, context.Canceled) {
			e.Errorf("a Lock after it: %v", err)
		}
		e.untouched("x")
	})
}

func TestALockersUnlockPanicsWhenTheLockWasLost(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		var seen recorder
		c, other := e.client(redislock.WithObserver(&seen)), e.client()
		mu := c.Locker(e.soon(), "x")
		for _, known := range []bool{true, false} {
			mu.Lock()
			if known {
				if _, err := other.Break(ctx, "x", "node-3 is on fire"); err != nil {
					e.Fatal(err)
				}
				e.eventually("the loss is known", func() bool { return seen.count(redislock.EventStolen) == 1 })
			} else {
				e.raw.Del(ctx, "redislock:{x}") // no message tells of it
			}
			mu.Lock() // of another goroutine, which may be quicker than the one that lost its lock
			if err := panicked(mu.Unlock); !errors.Is(err, redislock.ErrNotHeld) || errors.Is(err, redislock.ErrStolen) != known {
				e.Errorf("the Unlock of what was lost, known %v: %v", known, err)
			}
			if _, err := other.TryAcquire(ctx, "x"); !errors.Is(err, redislock.ErrHeld) {
				e.Errorf("I1: that Unlock gave back the lock of another goroutine, known %v: %v", known, err)
			}
			if err := panicked(mu.Unlock); err != nil {
				e.Errorf("the Unlock of what was not lost, known %v: %v", known, err)
			}
		}
		e.untouched("x")
	})
}

func TestALockerInASharedModeGivesBackLostHoldsFirst(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		var seen recorder
		c, writer := e.client(redislock.WithObserver(&seen)), e.client()
		mu := c.Locker(e.soon(), "x", redislock.WithMode(redislock.Read), redislock.WithLease(1500*time.Millisecond))
		excluded := func(when string) {
			e.Helper()
			if _, err := writer.TryAcquire(ctx, "x", redislock.WithMode(redislock.Write)); !errors.Is(err, redislock.ErrHeld) {
				e.Errorf("I1: a writer %s: %v", when, err)
			}
		}
		mu.Lock()
		if err := errors.Join(panicked(mu.Lock), panicked(mu.Unlock)); err != nil { // beside the other one
			e.Error(err)
		}
		excluded("beside the first of two readers")

		mu.Lock()
		_, release := redislock.Script("release")
		second := e.raw.HGet(ctx, "redislock:{x}", "s").Val()[22:44] // the last of the holds
		if err := e.raw.Eval(ctx, release, []string{"redislock:{x}"}, second).Err(); err != nil {
			e.Fatal(err)
		}
		e.eventually("the loss is noticed by a renewal", func() bool { return seen.count(redislock.EventLost) == 1 })
		if err := panicked(mu.Unlock); !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrLost) {
			e.Errorf("the first Unlock after the loss: %v", err)
		}
		excluded("beside a reader that has not lost its hold")
		if err := panicked(mu.Unlock); err != nil {
			e.Errorf("the Unlock of what was not lost: %v", err)
		}
		l := e.acquire(writer, "x", redislock.WithMode(redislock.Write), redislock.WithWait(0))
		e.release(l)
		e.untouched("x")
	})
}

func TestALockersUnlockDoesNotPanicWhenRedisDoesNotAnswer(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, n *fakenet.Network) {
		mu := e.client().Locker(e.soon(), "x")
		mu.Lock()
		n.Cut()
		if err := panicked(mu.Unlock); err != nil {
			e.Error(err)
		}
		if e.raw.HLen(context.Background(), "redislock:{x}").Val() < 2 {
			e.Error("the release arrived, so this test shows nothing")
		}
		if err := panicked(mu.Unlock); !errors.Is(err, redislock.ErrNotHeld) {
			e.Errorf("an Unlock too many: %v", err)
		}
		n.Mend()
		e.untouched("x") // it is given back in the background
	})
}
