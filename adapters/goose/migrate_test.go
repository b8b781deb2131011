package gooselock_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	gooselock "example.com/redislock/adapters/goose"
	"example.com/redislock/internal/servertest"
)

func TestEachMigrationIsAppliedOnceByAllInstances(t *testing.T) {
	t.Parallel()
	for name, option := range lockers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			const clients, providers = 3, 3
			server := servertest.Start(t)
			watcher := newClient(t, server.Connect())
			dir := t.TempDir()
			s := &schema{in: func(_ context.Context, version int64) error {
				if version > 1 {
					return nil
				}
				return waiting(watcher, clients*providers-1) // all are here
			}}

			var all sync.WaitGroup
			var count atomic.Int64
			for range clients {
				l := gooselock.New(newClient(t, server.Connect()), lockName) // shared by the providers of a process
				for range providers {
					db := open(t, dir)
					p := s.provider(t, db, option(l, l))
					all.Go(func() {
						results, err := p.Up(ctx)
						if err != nil {
							t.Error(err)
						}
						count.Add(int64(len(results)))
					})
				}
			}
			all.Wait()
			once(t, open(t, dir))
			if n := count.Load(); n != 6 {
				t.Errorf("the providers say that they applied %d migrations, not 6", n)
			}
		})
	}
}

// TestMain is also the main function of the process that TestAKilledHoldersLockGoesToTheNext kills.
func TestMain(m *testing.M) {
	if addr := os.Getenv("GOOSELOCK_TEST_REDIS"); addr != "" {
		dieInMigration(addr, os.Getenv("GOOSELOCK_TEST_DIR"))
	}
	os.Exit(m.Run())
}

const lease = time.Second

// dieInMigration does not come back from the third migration.
func dieInMigration(addr, dir string) {
	client, err := redislock.New(redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true}))
	if err != nil {
		panic(err)
	}
	s := &schema{in: func(_ context.Context, version int64) error {
		if version == 3 {
			_, _ = os.Stdout.WriteString("3")
			select {}
		}
		return nil
	}}
	db, err := connect(dir)
	if err != nil {
		panic(err)
	}
	p, err := s.newProvider(db, goose.WithLocker(gooselock.New(client, lockName, redislock.WithLease(lease))))
	if err != nil {
		panic(err)
	}
	_, err = p.Up(context.Background())
	panic(err)
}

func TestAKilledHoldersLockGoesToTheNext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server := servertest.Start(t)
	dir := t.TempDir()
	process := exec.CommandContext(ctx, os.Args[0])
	process.Env = append(os.Environ(), "GOOSELOCK_TEST_REDIS="+server.Addr(), "GOOSELOCK_TEST_DIR="+dir)
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // it is in the third
		t.Fatal(err)
	}

	s := &schema{}
	client := newClient(t, server.Connect())
	db := open(t, dir)
	p := s.provider(t, db, goose.WithLocker(gooselock.New(client, lockName)))
	done := make(chan int, 1)
	go func() {
		results, err := p.Up(ctx)
		if err != nil {
			t.Error(err)
		}
		done <- len(results)
	}()
	if err := waiting(client, 1); err != nil {
		t.Error(err)
	}
	select {
	case <-done:
		t.Error("the next did not wait for a live holder")
	default:
	}
	_ = process.Process.Kill()
	_ = process.Wait()
	if n := <-done; n != 4 {
		t.Errorf("the next applied %d migrations, not the 4 that were left", n)
	}
	once(t, db)
}

func TestALostLockIsAnErrorOfUp(t *testing.T) {
	t.Parallel()
	for name, option := range lockers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			server := servertest.Start(t)
			operator := newClient(t, server.Connect())
			stolen := make(chan struct{})
			s := &schema{in: func(ctx context.Context, version int64) error {
				if version < 5 {
					return nil
				}
				_, err := operator.Break(ctx, lockName, "wrong branch")
				<-stolen
				return err
			}}
			l := gooselock.New(newClient(t, server.Connect(), redislock.WithObserver(redislock.ObserverFunc(func(e redislock.Event) {
				if e.Kind == redislock.EventStolen {
					close(stolen)
				}
			}))), lockName)
			db := open(t, t.TempDir())
			_, err := s.provider(t, db, option(l, l)).Up(ctx)
			if !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrStolen) {
				t.Errorf("Up: %v", err)
			}
			once(t, db) // goose goes on to the end
		})
	}
}

func TestUnderEndOnLossAMigrationIsRolledBackForTheNext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server := servertest.Start(t)
	dir := t.TempDir()
	next := newClient(t, server.Connect())
	s := &schema{}
	s.in = func(ctx context.Context, version int64) error {
		if version != 3 {
			return nil
		}
		s.in = nil
		if _, err := next.Break(context.WithoutCancel(ctx), lockName, "wrong branch"); err != nil {
			return err
		}
		<-ctx.Done()
		return context.Cause(ctx)
	}
	bound, stop := gooselock.EndOnLoss(ctx)
	defer stop()
	db := open(t, dir)
	results, err := s.provider(t, db, goose.WithLocker(gooselock.New(newClient(t, server.Connect()), lockName))).Up(bound)
	if !errors.Is(err, redislock.ErrStolen) || len(results) != 0 {
		t.Errorf("Up: %v, %v", results, err)
	}
	if partial, ok := errors.AsType[*goose.PartialError](err); !ok || len(partial.Applied) != 2 || !errors.Is(partial.Err, redislock.ErrStolen) {
		t.Errorf("the third migration did not fail by the loss: %v", err)
	}
	if all := applied(t, db); len(all) != 2 {
		t.Errorf("applied: %v", all)
	}

	left, err := s.provider(t, open(t, dir), goose.WithLocker(gooselock.New(next, lockName))).Up(ctx)
	if err != nil || len(left) != 4 {
		t.Errorf("the next: %v, %v", left, err)
	}
	once(t, db)
}

// The end of a hold by its own Unlock is no loss.
func TestEndOnLossOutlivesOneRun(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server := servertest.Start(t)
	s := &schema{}
	bound, stop := gooselock.EndOnLoss(ctx)
	db := open(t, t.TempDir())
	p := s.provider(t, db, goose.WithLocker(gooselock.New(newClient(t, server.Connect()), lockName)))
	for range 2 {
		if _, err := p.UpTo(bound, 2); err != nil {
			t.Error(err)
		}
		if _, err := p.Down(bound); err != nil {
			t.Error(err)
		}
	}
	if err := bound.Err(); err != nil {
		t.Errorf("the context ended: %v", context.Cause(bound))
	}
	stop()
	if bound.Err() == nil {
		t.Error("the context did not end with its CancelFunc")
	}
}

func TestWithWaitAProviderGivesUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server := servertest.Start(t)
	client := newClient(t, server.Connect())
	s := &schema{}
	db := open(t, t.TempDir())
	p := s.provider(t, db, goose.WithLocker(gooselock.New(client, lockName, redislock.WithWait(0))))
	err := newClient(t, server.Connect()).Do(ctx, lockName, func(context.Context) error {
		_, err := p.Up(ctx)
		return err
	})
	if !errors.Is(err, redislock.ErrHeld) {
		t.Errorf("Up: %v", err)
	}
	if _, err := p.Up(ctx); err != nil {
		t.Errorf("Up, when the lock is free: %v", err)
	}
	once(t, db)
}

// I10: nothing is migrated without the lock.
func TestWithoutRedisNothingIsApplied(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	server := servertest.Start(t)
	client := newClient(t, server.Connect(func(o *redis.Options) { o.ReadTimeout, o.MaxRetries = 100*time.Millisecond, -1 }))
	server.Pause()
	defer server.Resume()
	s := &schema{}
	db := open(t, t.TempDir())
	l := gooselock.New(client, lockName)
	if _, err := s.provider(t, db, goose.WithLocker(l)).Up(ctx); err == nil {
		t.Error("Up succeeded without a lock")
	}
	var tables int
	if err := db.QueryRow("SELECT COUNT(*) FROM sqlite_master WHERE name = 'ran'").Scan(&tables); err != nil || tables != 0 {
		t.Errorf("the first migration was applied: %d, %v", tables, err)
	}
	if err := l.Unlock(ctx, db); !errors.Is(err, redislock.ErrNotHeld) {
		t.Errorf("Unlock without a Lock: %v", err)
	}
}

// If providers of a process share a Locker, the one that lost the lock does not release the hold of the next.
func TestTheUnlockAfterALossLeavesTheNextHoldAlone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server := servertest.Start(t)
	operator := newClient(t, server.Connect())
	l := gooselock.New(newClient(t, server.Connect()), lockName)
	if err := l.Lock(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := operator.Break(ctx, lockName, "test"); err != nil {
		t.Fatal(err)
	}
	if err := l.Lock(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if err := l.Unlock(ctx, nil); !errors.Is(err, redislock.ErrNotHeld) {
		t.Errorf("the first: %v", err)
	}
	if _, err := operator.TryAcquire(ctx, lockName); !errors.Is(err, redislock.ErrHeld) {
		t.Errorf("the second's hold is gone: %v", err)
	}
	if err := l.Unlock(ctx, nil); err != nil {
		t.Errorf("the second: %v", err)
	}
}

// goose relies on one holder at a time. So the mode stays exclusive, whatever the options or the Client's defaults
// say.
func TestALockIsExclusiveWhateverTheOptions(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := newClient(t, servertest.Start(t).Connect())
	l := gooselock.New(client, lockName, redislock.WithMode(redislock.Semaphore(3)), redislock.WithWeight(2), redislock.WithWait(0))
	if err := l.Lock(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if err := l.Lock(ctx, nil); !errors.Is(err, redislock.ErrHeld) {
		t.Errorf("a second one: %v", err)
	}
	if err := l.Unlock(ctx, nil); err != nil {
		t.Error(err)
	}
	// An acquire under the context of a hold of the same lock does not nest in it either.
	if err := client.Do(ctx, lockName, func(ctx context.Context) error { return l.Lock(ctx, nil) }); !errors.Is(err, redislock.ErrDeadlock) {
		t.Errorf("under its own hold: %v", err)
	}
}
