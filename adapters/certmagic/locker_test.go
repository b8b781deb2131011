package certmagiclock_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"example.com/redislock"
	certmagiclock "example.com/redislock/adapters/certmagic"
	"example.com/redislock/redislocktest"
)

func TestTwoOperationsOfOneProcessTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		l := certmagiclock.New(redislocktest.New(t).Client)
		if err := l.Lock(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		if ok, err := l.TryLock(ctx, "a"); ok || err != nil {
			t.Errorf("a second TryLock: %v, %v", ok, err)
		}
		got := make(chan error, 1)
		go func() { got <- l.Lock(ctx, "a") }()
		synctest.Wait()
		select {
		case err := <-got:
			t.Fatalf("two at once: %v", err)
		default:
		}
		if err := l.Unlock(ctx, "a"); err != nil {
			t.Error(err)
		}
		if err := <-got; err != nil {
			t.Error(err)
		}
		if err := l.Unlock(ctx, "a"); err != nil {
			t.Error(err)
		}
	})
}

// The operation that lost the lock unlocks while another of the same process has it.
func TestTheUnlockAfterALossLeavesTheNextHoldAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		server := redislocktest.New(t)
		l := certmagiclock.New(server.Client)
		if err := l.Lock(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		if _, err := server.NewClient().Break(ctx, certmagiclock.Prefix+"a", "test"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := l.Lock(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		if err := l.RenewLockLease(ctx, "a", time.Minute); !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrStolen) {
			t.Errorf("RenewLockLease did not tell of the loss: %v", err)
		}
		if err := l.Unlock(ctx, "a"); !errors.Is(err, redislock.ErrNotHeld) {
			t.Errorf("Unlock did not tell of the loss: %v", err)
		}
		if err := l.RenewLockLease(ctx, "a", time.Minute); err != nil {
			t.Errorf("the other's hold is gone: %v", err)
		}
		if err := l.Unlock(ctx, "a"); err != nil {
			t.Error(err)
		}
	})
}

func TestRenewLockLeaseTakesALostLockAnewOnlyWhenAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		server := redislocktest.New(t)
		other := server.NewClient()
		l := certmagiclock.New(server.Client)
		if err := l.Lock(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Break(ctx, certmagiclock.Prefix+"a", "test"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := l.RenewLockLease(ctx, "a", time.Minute); !errors.Is(err, redislock.ErrNotHeld) {
			t.Errorf("the loss was not told: %v", err)
		}
		taken, err := other.Acquire(ctx, certmagiclock.Prefix+"a")
		if err != nil {
			t.Fatal(err)
		}
		if err := l.RenewLockLease(ctx, "a", time.Minute); !errors.Is(err, redislock.ErrHeld) {
			t.Errorf("while another has it: %v", err)
		}
		if err := taken.Release(ctx); err != nil {
			t.Error(err)
		}
		if err := l.RenewLockLease(ctx, "a", time.Minute); err != nil {
			t.Errorf("not taken anew: %v", err)
		}
		if _, err := other.TryAcquire(ctx, certmagiclock.Prefix+"a"); !errors.Is(err, redislock.ErrHeld) {
			t.Errorf("not held: %v", err)
		}

		if _, err := other.Break(ctx, certmagiclock.Prefix+"a", "once more"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := l.RenewLockLease(ctx, "a", time.Minute); !errors.Is(err, redislock.ErrNotHeld) {
			t.Errorf("the second loss was not told: %v", err)
		}
		if err := l.Unlock(ctx, "a"); !errors.Is(err, redislock.ErrNotHeld) {
			t.Errorf("Unlock did not tell of the loss: %v", err)
		}
	})
}

func TestALockIsRenewedHoweverLongItIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		server := redislocktest.New(t)
		l := certmagiclock.New(server.Client)
		if err := l.Lock(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute) // many leases
		if err := l.RenewLockLease(ctx, "a", time.Minute); err != nil {
			t.Error(err)
		}
		if ok, err := certmagiclock.New(server.NewClient()).TryLock(ctx, "a"); ok || err != nil {
			t.Errorf("another got it: %v, %v", ok, err)
		}
		if err := l.Unlock(ctx, "a"); err != nil {
			t.Error(err)
		}
	})
}

func TestUnlockWorksWhenItsContextHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		server := redislocktest.New(t)
		l := certmagiclock.New(server.Client)
		if ok, err := l.TryLock(ctx, "a"); !ok || err != nil {
			t.Fatal(ok, err)
		}
		cancel()
		if err := l.Unlock(ctx, "a"); err != nil {
			t.Error(err)
		}
		if ok, err := l.TryLock(ctx, "a"); ok || !errors.Is(err, context.Canceled) {
			t.Errorf("TryLock under an ended context: %v, %v", ok, err)
		}
		if err := l.Lock(ctx, "a"); !errors.Is(err, context.Canceled) {
			t.Errorf("Lock under an ended context: %v", err)
		}
	})
}

func TestUnlockWithoutALockIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		l := certmagiclock.New(redislocktest.New(t).Client)
		for name, err := range map[string]error{
			"Unlock":         l.Unlock(ctx, "a"),
			"RenewLockLease": l.RenewLockLease(ctx, "a", time.Minute),
		} {
			if !errors.Is(err, redislock.ErrNotHeld) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// certmagic relies on one holder at a time. So the mode stays exclusive, whatever the options or the Client's
// defaults say.
func TestALockIsExclusiveWhateverTheOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		server := redislocktest.New(t, redislock.WithDefaults(redislock.WithMode(redislock.Read)))
		l := certmagiclock.New(server.Client, redislock.WithMode(redislock.Semaphore(3)), redislock.WithWeight(2))
		if err := l.Lock(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		if ok, err := l.TryLock(ctx, "a"); ok || err != nil {
			t.Errorf("a second one: %v, %v", ok, err)
		}
		if err := l.Unlock(ctx, "a"); err != nil {
			t.Error(err)
		}
		// An acquire under the context of a hold of the same lock does not nest in it either.
		err := server.Client.Do(ctx, certmagiclock.Prefix+"a", func(ctx context.Context) error { return l.Lock(ctx, "a") },
			redislock.WithMode(redislock.Exclusive))
		if !errors.Is(err, redislock.ErrDeadlock) {
			t.Errorf("under its own hold: %v", err)
		}
	})
}

// Two operations of one process lost the lock one after the other, and one of them has it again. The unlock of the
// other does not release that hold.
func TestTheUnlockAfterALossLeavesALockTakenAnewAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		server := redislocktest.New(t)
		other := server.NewClient()
		l := certmagiclock.New(server.Client)
		for range 2 {
			if err := l.Lock(ctx, "a"); err != nil {
				t.Fatal(err)
			}
			if _, err := other.Break(ctx, certmagiclock.Prefix+"a", "test"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if err := l.RenewLockLease(ctx, "a", time.Minute); !errors.Is(err, redislock.ErrNotHeld) {
			t.Errorf("the loss was not told: %v", err)
		}
		if err := l.RenewLockLease(ctx, "a", time.Minute); err != nil {
			t.Fatalf("not taken anew: %v", err)
		}
		if err := l.Unlock(ctx, "a"); !errors.Is(err, redislock.ErrNotHeld) {
			t.Errorf("the other operation: %v", err)
		}
		if _, err := other.TryAcquire(ctx, certmagiclock.Prefix+"a"); !errors.Is(err, redislock.ErrHeld) {
			t.Errorf("its unlock freed the lock: %v", err)
		}
		if err := l.Unlock(ctx, "a"); err != nil {
			t.Error(err)
		}
	})
}

func TestALockTakenAnewAfterItsUnlockIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		var l *certmagiclock.Locker
		granted := 0
		server := redislocktest.New(t, redislock.WithObserver(redislock.ObserverFunc(func(e redislock.Event) {
			if e.Kind != redislock.EventGranted {
				return
			}
			if granted++; granted == 2 { // RenewLockLease has the lock, and has not yet stored it
				if err := l.Unlock(ctx, "a"); !errors.Is(err, redislock.ErrNotHeld) {
					t.Errorf("Unlock did not tell of the loss: %v", err)
				}
			}
		})))
		l = certmagiclock.New(server.Client)
		other := server.NewClient()
		if err := l.Lock(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Break(ctx, certmagiclock.Prefix+"a", "test"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for range 2 {
			if err := l.RenewLockLease(ctx, "a", time.Minute); !errors.Is(err, redislock.ErrNotHeld) {
				t.Errorf("RenewLockLease: %v", err)
			}
		}
		next := certmagiclock.New(other)
		if ok, err := next.TryLock(ctx, "a"); !ok || err != nil {
			t.Fatalf("nobody gives it back any more: %v, %v", ok, err)
		}
		if err := next.Unlock(ctx, "a"); err != nil {
			t.Error(err)
		}
	})
}
