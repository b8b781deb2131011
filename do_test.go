package redislock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"example.com/redislock"
)

func TestTryDoTellsALockThatIsHeldFromAFailure(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(), e.client()
		ctx := context.Background()
		runs := 0
		body := func(context.Context) error { runs++; return nil }
		if ran, err := b.TryDo(ctx, "x", body); !ran || err != nil || runs != 1 {
			e.Errorf("of a free lock: %v, %v, %d runs", ran, err, runs)
		}
		l := e.acquire(a, "x")
		for what, opts := range map[string][]redislock.Option{"no wait": nil, "a short wait": {redislock.WithWait(20 * time.Millisecond)}} {
			if ran, err := b.TryDo(ctx, "x", body, opts...); ran || err != nil || runs != 1 {
				e.Errorf("%s for a lock that is held: %v, %v, %d runs", what, ran, err, runs)
			}
		}
		waiting, leave := context.WithCancel(ctx)
		left := make(chan error, 1)
		go func() { _, err := a.Acquire(waiting, "x"); left <- err }()
		e.queued(a, "x", 1)
		if ran, err := b.TryDo(ctx, "x", body, redislock.WithWait(time.Minute), redislock.WithMaxQueue(1)); ran || err != nil || runs != 1 {
			e.Errorf("behind a queue that is full: %v, %v, %d runs", ran, err, runs)
		}
		leave()
		<-left
		ended, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		if ran, err := b.TryDo(ended, "x", body, redislock.WithWait(time.Hour)); ran || !errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("a context that ends: %v, %v", ran, err)
		}
		if ran, err := b.TryDo(ctx, "x", nil); ran || !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("without a function: %v, %v", ran, err)
		}
		if ran, err := b.TryDo(ctx, "y", func(ctx context.Context) error {
			_, err := b.TryAcquire(ctx, "x")
			return err
		}); !ran || !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("a function that finds another lock held: %v, %v", ran, err)
		}
		if ran, err := a.TryDo(l.With(ctx), "x", body); !ran || err != nil {
			e.Errorf("under the lock itself: %v, %v", ran, err)
		}
		e.release(l)
		if ran, err := b.TryDo(ctx, "x", func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		}, redislock.WithMaxHold(100*time.Millisecond)); !ran || !errors.Is(err, redislock.ErrLost) {
			e.Errorf("a lock that is lost: %v, %v", ran, err)
		}
	})
}

func TestDoValueReturnsWhatTheFunctionReturned(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(), e.client()
		ctx := context.Background()
		seven := func(context.Context) (int, error) { return 7, nil }
		if n, err := redislock.DoValue(ctx, a, "x", seven); n != 7 || err != nil {
			e.Errorf("of a free lock: %v, %v", n, err)
		}
		l := e.acquire(b, "x")
		if n, err := redislock.WrapValue(a, "x", seven, redislock.WithWait(0))(ctx); n != 0 || !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("of a lock that is held: %v, %v", n, err)
		}
		e.release(l)
		if n, err := redislock.DoValue(ctx, a, "x", func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 8, nil
		}, redislock.WithMaxHold(100*time.Millisecond)); n != 8 || !errors.Is(err, redislock.ErrLost) {
			e.Errorf("of a lock that is lost: %v, %v", n, err)
		}
		failed := errors.New("failed")
		if n, err := redislock.DoValue(ctx, a, "x", func(context.Context) (int, error) { return 9, failed }); n != 9 || !errors.Is(err, failed) {
			e.Errorf("of a function that fails: %v, %v", n, err)
		}
		if _, err := redislock.DoValue[int](ctx, a, "x", nil); !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("without a function: %v", err)
		}
	})
}

func TestDoWeakRunsAloneAndSaysThatItsLeaseWasTooShort(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(), e.client()
		ctx := context.Background()
		if err := a.DoWeak(ctx, "x", func(context.Context) error {
			ran := false
			err := b.WrapWeak("x", func(context.Context) error { ran = true; return nil }, redislock.WithWait(0))(ctx)
			if ran || !errors.Is(err, redislock.ErrHeld) {
				e.Errorf("beside it: ran %v, %v", ran, err)
			}
			return nil
		}); err != nil {
			e.Error(err)
		}
		err := b.DoWeak(ctx, "x", func(ctx context.Context) error {
			<-ctx.Done()
			if cause := context.Cause(ctx); !errors.Is(cause, redislock.ErrLost) {
				e.Errorf("its context ended with %v", cause)
			}
			return nil
		}, redislock.WithLease(200*time.Millisecond))
		if !errors.Is(err, redislock.ErrLost) {
			e.Errorf("after its lease: %v", err)
		}
		if _, err := b.AcquireWeak(ctx, "x", redislock.WithFenceFloor(1)); !errors.Is(err, redislock.ErrInvalid) {
			e.Error(err)
		}
		if err := a.DoWeak(ctx, "x", nil); !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("without a function: %v", err)
		}
		func() {
			defer func() { _ = recover() }()
			_ = a.DoWeak(ctx, "y", func(context.Context) error { panic("on purpose") })
		}()
		w, err := b.AcquireWeak(ctx, "y", redislock.WithWait(0))
		if err != nil {
			e.Fatalf("after a panic: %v", err)
		}
		given, cancel := context.WithCancel(ctx)
		with, other := w.With(given), w.With(ctx)
		cancel()
		<-with.Done()
		if other.Err() != nil || w.Err() != nil {
			e.Error("the end of the caller's context ended the lock")
		}
		if err := w.Release(ctx); err != nil {
			e.Error(err)
		}
		<-other.Done()
		if cause := context.Cause(other); !errors.Is(cause, redislock.ErrReleased) {
			e.Errorf("after the release: %v", cause)
		}
		if err := context.Cause((*redislock.WeakLock)(nil).With(ctx)); !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("of no lock: %v", err)
		}
		var nothing context.Context
		if err := context.Cause(w.With(nothing)); !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("under no context: %v", err)
		}
	})
}

func TestStripesGuardAFunction(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		mine, theirs := e.client().Stripes("p", 16), e.client().Stripes("p", 16)
		if err := mine.DoKey(ctx, "k", func(under context.Context) error {
			if _, err := theirs.TryAcquireKey(ctx, "k"); !errors.Is(err, redislock.ErrHeld) {
				e.Errorf("TryAcquireKey of a stripe that is held: %v", err)
			}
			if _, err := theirs.TryAcquire(ctx, theirs.Index("k")+16); !errors.Is(err, redislock.ErrHeld) {
				e.Errorf("TryAcquire of a stripe that is held: %v", err)
			}
			ran := false
			if err := mine.Do(under, mine.Index("k"), func(context.Context) error { ran = true; return nil }); err != nil || !ran {
				e.Errorf("nested: ran %v, %v", ran, err)
			}
			return nil
		}); err != nil {
			e.Error(err)
		}
		for _, none := range []*redislock.Stripes{nil, e.client().Stripes("p", 0)} {
			_, err := none.TryAcquire(ctx, 1)
			_, byKey := none.TryAcquireKey(ctx, "k")
			for _, err := range []error{err, byKey, none.Do(ctx, 1, nil), none.DoKey(ctx, "k", nil)} {
				if !errors.Is(err, redislock.ErrInvalid) {
					e.Errorf("a pool that cannot be: %v", err)
				}
			}
		}
		if err := mine.Do(ctx, 1, nil); !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("without a function: %v", err)
		}
	})
}
