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
	"example.com/redislock/internal/servertest"
)

// Close never takes a lock from under a running body; what the body then did counts.
func TestASuccessOfOnceWhileTheClientClosesIsKept(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		closed := make(chan error, 1)
		err := a.Once(ctx, "init", func(inner context.Context) error {
			go func() { closed <- a.Close(ctx) }()
			<-inner.Done()
			return nil // it came to its end, under its lock
		})
		if err != nil {
			t.Errorf("the lock was held to the end, and Once says %v", err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if err := b.Once(ctx, "init", func(context.Context) error { t.Error("it ran again"); return nil }); err != nil {
			t.Error(err)
		}
	})
}

// A cluster client may send what only reads to replicas, which may be behind.
func TestOnceAsksTheMasterAlone(t *testing.T) {
	t.Parallel()
	master, replica := servertest.Start(t), servertest.Start(t)
	host, port, _ := strings.Cut(master.Addr(), ":")
	admin := replica.Connect()
	if err := admin.ReplicaOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	e := &env{T: t}
	e.eventually("the replica is in step", func() bool {
		return strings.Contains(admin.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	connect := func() redis.UniversalClient {
		rdb := redis.NewClusterClient(&redis.ClusterOptions{
			ReadOnly: true,
			ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) {
				return []redis.ClusterSlot{{Start: 0, End: 16383, Nodes: []redis.ClusterNode{{Addr: master.Addr()}, {Addr: replica.Addr()}}}}, nil
			},
		})
		t.Cleanup(func() { _ = rdb.Close() })
		return rdb
	}
	a, b := e.over(connect()), e.over(connect())
	if err := admin.ReplicaOf(t.Context(), "127.0.0.1", "1").Err(); err != nil { // its link breaks: it serves what it has
		t.Fatal(err)
	}
	runs := 0
	for _, c := range []*redislock.Client{a, b} {
		if err := c.Once(context.Background(), "init", func(context.Context) error { runs++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if runs != 1 {
		t.Errorf("it ran %d times to success", runs)
	}
	done, err := b.OnceDone(context.Background(), "init")
	if !done || err != nil {
		t.Errorf("OnceDone says %v, %v", done, err)
	}
}

// Between the grant and the function a record is looked at, which may take longer than the lease lasts.
func TestOnceDoesNotBeginAfterItsLockIsLost(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		var looks atomic.Int32
		a := e.tapped(&tap{after: func(text string) error {
			if strings.Contains(text, digest("recall")) && looks.Add(1) == 2 { // the look under the lock
				time.Sleep(900 * time.Millisecond)
			}
			return nil
		}})
		b := e.client()
		lease := redislock.WithLease(500 * time.Millisecond)
		wide := redislock.WithoutRenewal() // as if the process stood still
		var runs atomic.Int32
		var all sync.WaitGroup
		all.Go(func() {
			err := a.Once(ctx, "init", func(context.Context) error { runs.Add(1); return nil }, lease, wide)
			if runs.Load() > 1 {
				t.Errorf("it began without its lock, and so ran to success twice (%v)", err)
			}
		})
		all.Go(func() {
			time.Sleep(100 * time.Millisecond)
			if err := b.Once(ctx, "init", func(context.Context) error { runs.Add(1); return nil }); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
	})
}

// A success that is written down late, when another has got the lock and runs, is a loss: it is that one's turn.
func TestALateNoteOfOnceDoesNotCountWhileAnotherRuns(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		slow := once(t)
		a := e.tapped(&tap{before: func(text string) error {
			if strings.Contains(text, digest("record")) && slow() {
				time.Sleep(2 * time.Second) // the process was paused before it left
			}
			return nil
		}})
		b, c := e.client(), e.client()
		if err := c.Once(ctx, "warm", idle); err != nil { // the script is loaded
			t.Fatal(err)
		}
		lease := redislock.WithLease(500 * time.Millisecond)
		var running atomic.Bool
		var all sync.WaitGroup
		all.Go(func() {
			err := a.Once(ctx, "init", idle, lease, redislock.WithoutRenewal())
			if running.Load() && !errors.Is(err, redislock.ErrLost) {
				t.Errorf("another runs it, and this one says %v", err)
			}
		})
		all.Go(func() {
			time.Sleep(100 * time.Millisecond)
			err := b.Once(ctx, "init", func(context.Context) error {
				running.Store(true)
				defer running.Store(false)
				time.Sleep(5 * time.Second)
				if done, err := c.OnceDone(ctx, "init"); done {
					t.Errorf("done while it runs: %v", err)
				}
				return errors.New("it fails")
			})
			if err == nil {
				t.Error("the failure was lost")
			}
		})
		all.Wait()
	})
}

// WithWait bounds the whole.
func TestOnceDoesNotWaitLongerThanItWasTold(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		line := &fakenet.Network{Dial: n.Dial}
		c := e.clientOn(line)
		e.release(e.acquire(c, "x"))
		line.Cut()
		begun := time.Now()
		err := c.Once(context.Background(), "init", idle, redislock.WithWait(200*time.Millisecond))
		if took := time.Since(begun); err == nil || took > time.Second {
			t.Errorf("%v after %v", err, took)
		}
		line.Mend()
		time.Sleep(time.Minute)
	})
}

// What is idempotent is sent again.
func TestAResetSurvivesALostReply(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	x := newScene(t, s)
	ctx := context.Background()
	c := x.behind(3)
	if err := c.Once(ctx, x.name, idle); err != nil {
		t.Fatal(err)
	}
	x.proxy.SwallowReplyAndClose(requests("erase", "redislock:r:{once:"+x.name+"}"), 1)
	if err := c.OnceReset(ctx, x.name); err != nil {
		t.Errorf("a lost reply: %v", err)
	}
}

// A Client's default mode is about its locks. What is done once has an exclusive lock whatever they are.
func TestOnceWorksWhateverTheDefaultModeIs(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client(redislock.WithDefaults(redislock.WithMode(redislock.Read)))
		if err := c.Once(context.Background(), "init", idle); err != nil {
			t.Errorf("Once: %v", err)
		}
		if o, err := c.Cron("job").Run(context.Background(), e.tick(), idle); o != redislock.OutcomeRan {
			t.Errorf("Cron: %v, %v", o, err)
		}
	})
}

// A process that cannot be told of resets does not rely on what it knows.
func TestAProcessThatHearsOfNoResetsAsks(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	ctx := context.Background()
	if err := s.Connect().Do(ctx, "acl", "setuser", "app", "on", ">pw", "+@all", "~*", "resetchannels", "&redislock:c:*").Err(); err != nil {
		t.Fatal(err)
	}
	e := &env{T: t}
	deaf := e.over(s.Connect(func(o *redis.Options) { o.Username, o.Password = "app", "pw" }))
	other := e.over(s.Connect())
	for _, c := range []*redislock.Client{other, deaf} {
		if err := c.Once(ctx, "init", idle); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.OnceReset(ctx, "init"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	ran := false
	if err := deaf.Once(ctx, "init", func(context.Context) error { ran = true; return nil }); err == nil && !ran {
		t.Error("it was reset, and nothing ran")
	}
}
