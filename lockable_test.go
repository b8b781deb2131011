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
)

// meter is an instance of a type that embeds a Lockable. What it reads is shared by all instances, and unprotected.
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

// add is what must not run beside itself.
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

// soon is a context for what should take no time, so that a deadlock fails instead of hanging.
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

// counted is an instance of the application, and what it sends.
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
