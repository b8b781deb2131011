package quorum_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
	"example.com/redislock/quorum"
)

// realLocker is a process over real servers. Each Client has only the rights of quorum.ACL.
func realLocker(t *testing.T, servers []*servertest.Server, users []func(*redis.Options), opts ...quorum.Option) *quorum.Locker {
	t.Helper()
	var all []*redislock.Client
	for i, s := range servers {
		c, err := redislock.New(s.Connect(users[i]))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = c.Close(ctx) // it would wait for servers that are gone
		})
		all = append(all, c)
	}
	q, err := quorum.New(all, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// inside counts the holders of a name, as far as they know.
type inside struct {
	mu    sync.Mutex
	lock  *quorum.Lock
	fence int64
}

// enter records that somebody has acquired the lock.
func (in *inside) enter(l *quorum.Lock) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.lock != nil && in.lock.Err() == nil && l.Err() == nil {
		return fmt.Errorf("two holders: %d and %d", in.lock.Fence(), l.Fence())
	}
	if l.Fence() <= in.fence {
		return fmt.Errorf("fence %d after %d", l.Fence(), in.fence)
	}
	in.lock, in.fence = l, l.Fence()
	return nil
}

func TestRealServersAreAQuorum(t *testing.T) {
	t.Parallel()
	var servers []*servertest.Server
	var users []func(*redis.Options)
	for range 3 {
		s := servertest.Start(t)
		servers, users = append(servers, s), append(users, s.AddUser("app", quorum.ACL(redislock.DefaultPrefix)))
	}
	longest := quorum.WithLongestLease(2 * time.Second)
	lease := redislock.WithLease(2 * time.Second)
	all := []*quorum.Locker{realLocker(t, servers, users, longest), realLocker(t, servers, users, longest)}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()

	if _, err := all[0].TryAcquire(ctx, "a", lease); err == nil {
		t.Log("the servers have been up for 2 s already")
	} else if errors.Is(err, redislock.ErrPermission) {
		t.Fatal(err)
	}
	in := &inside{}
	run := func(n int) {
		var group sync.WaitGroup
		for _, q := range all {
			for range 4 {
				group.Go(func() {
					for range n {
						l, err := q.Acquire(ctx, "a", lease)
						if err != nil {
							t.Error(err)
							return
						}
						if err := in.enter(l); err != nil {
							t.Error(err)
						}
						if err := l.Release(ctx); err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		group.Wait()
	}
	run(20)
	servers[1].Kill()
	run(20)
	servers[1].Restart()
	run(20)
	l, err := all[0].Acquire(ctx, "a", lease)
	if err != nil {
		t.Fatal(err)
	}
	servers[0].Kill()
	servers[2].Kill()
	begun := time.Now()
	<-l.Context().Done()
	if took := time.Since(begun); took > 2*time.Second || !errors.Is(l.Err(), redislock.ErrLost) {
		t.Errorf("%v: %v", took, l.Err())
	}
	short, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	if _, err := all[1].Acquire(short, "b", lease); err == nil || errors.Is(err, redislock.ErrHeld) {
		t.Errorf("without a majority: %v", err)
	}
}

func TestTwoAddressesOfOneRealServerAreFoundOut(t *testing.T) {
	t.Parallel()
	a, b := servertest.Start(t), servertest.Start(t)
	var all []*redislock.Client
	for _, rdb := range []*redis.Client{a.Connect(), b.Connect(), a.Connect(func(o *redis.Options) { o.Addr = "localhost" + o.Addr[len("127.0.0.1"):] })} {
		c, err := redislock.New(rdb)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(context.Background()) })
		all = append(all, c)
	}
	q, err := quorum.New(all)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		l, err := q.Acquire(ctx, "a")
		if errors.Is(err, redislock.ErrInvalid) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Release(ctx); err != nil { // one of the two servers has not named itself yet
			t.Fatal(err)
		}
	}
}

// Redis 6.0 accepts the rule that is made for it, and a user with it can do everything that a lock over several nodes needs.
func TestTheRuleForAnOldServerIsEnough(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes an old server from Debian's packages")
	}
	t.Parallel()
	const old = "redis 6.0"
	rule, err := quorum.ACLFor(old, redislock.DefaultPrefix)
	if err != nil {
		t.Fatal(err)
	}
	var servers []*servertest.Server
	var users []func(*redis.Options)
	for range 3 {
		s := servertest.Start(servertest.Named(t, old), "--appendonly", "yes", "--appendfsync", "always")
		servers, users = append(servers, s), append(users, s.AddUser("app", rule))
	}
	q := realLocker(t, servers, users)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for range 3 {
		l, err := q.Acquire(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Release(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := quorum.ACLFor("redis 5.0", redislock.DefaultPrefix); !errors.Is(err, redislock.ErrServer) {
		t.Error(err)
	}
}
