package fence_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/fence"
	"example.com/redislock/internal/servertest"
)

// holds fails the test unless the resource has this value and fence.
func holds(t *testing.T, r *fence.Redis, resource, value string, f int64) {
	t.Helper()
	got, seen, err := r.Get(context.Background(), resource)
	if err != nil || string(got) != value || seen != f {
		t.Errorf("%q is %q with fence %d, %v, want %q with %d", resource, got, seen, err, value, f)
	}
}

func set(t *testing.T, r *fence.Redis, resource, value string, f int64) {
	t.Helper()
	if err := r.Set(context.Background(), resource, []byte(value), f); err != nil {
		t.Errorf("set %q to %q with %d: %v", resource, value, f, err)
	}
}

func TestALateSetWritesNothing(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, rdb *redis.Client) {
		ctx := context.Background()
		r := register(t, rdb)
		holds(t, r, "a", "", 0)
		if value, _, err := r.Get(ctx, "a"); value != nil || err != nil {
			t.Errorf("a resource that is not there has the value %q, %v, want nil", value, err)
		}
		set(t, r, "a", "first", 5)
		set(t, r, "a", "second", 5)
		holds(t, r, "a", "second", 5)
		accepted(t, r, "a", 9) // the next holder's fence was accepted, and it has not yet written
		holds(t, r, "a", "second", 9)
		refused(t, r.Set(ctx, "a", []byte("late"), 5), "a", 5, 9)
		holds(t, r, "a", "second", 9)
		set(t, r, "a", "third", 9)
		refused(t, r.Accept(ctx, "a", 8), "a", 8, 9)
		holds(t, r, "a", "third", 9)
		if f, err := r.Highest(ctx, "a"); f != 9 || err != nil {
			t.Errorf("highest %d, %v", f, err)
		}
		if err := r.Set(ctx, "a", nil, 0); !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("set with 0: %v, want ErrInvalid", err)
		}
	})
}

func TestTheLastValueIsThatOfTheGreatestFence(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, rdb *redis.Client) {
		var all sync.WaitGroup
		for f := range int64(64) {
			r := register(t, rdb) // as in a process of its own
			all.Go(func() {
				err := r.Set(context.Background(), "a", fmt.Append(nil, f+1), f+1)
				if err != nil && !errors.Is(err, fence.ErrStale) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		holds(t, register(t, rdb), "a", "64", 64)
	})
}

func TestEveryKeyExpiresAndIsOnlyEverKeptLonger(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, rdb *redis.Client) {
		ctx := context.Background()
		left := func(want time.Duration) {
			t.Helper()
			keys := rdb.Keys(ctx, "*").Val()
			if len(keys) != 1 || keys[0] != "shop:{a}:fence" {
				t.Fatalf("the keys are %q, want one", keys)
			}
			if got := rdb.PTTL(ctx, keys[0]).Val(); got > want || got < want-time.Minute {
				t.Errorf("%v left, want %v", got, want)
			}
		}
		with := func(opts ...fence.RedisOption) *fence.Redis {
			return register(t, rdb, append(opts, fence.WithPrefix("shop"))...)
		}
		accepted(t, with(fence.WithRetention(2*time.Hour)), "a", 1)
		left(2 * time.Hour)
		set(t, with(fence.WithRetention(3*time.Hour)), "a", "value", 1)
		left(3 * time.Hour)
		accepted(t, with(fence.WithRetention(2*time.Hour)), "a", 9)
		left(3 * time.Hour)
		accepted(t, with(), "a", 9) // also where the fence is an old one
		left(fence.DefaultRetention)
		refused(t, with(fence.WithRetention(fence.MaxRetention)).Accept(ctx, "a", 8), "a", 8, 9)
		left(fence.DefaultRetention) // a refused fence changes nothing
	})
}

func TestAResendIsTheSameRequest(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	p := servertest.NewProxy(t, s.Addr())
	impatient := func(o *redis.Options) { o.ReadTimeout = 200 * time.Millisecond }
	r := register(t, p.Connect(impatient))
	accepted(t, r, "a", 5) // the script is loaded
	lost := p.SwallowReply(func(args []string) bool { return args[0] == "evalsha" }, 1)
	set(t, r, "a", "value", 9) // the client sends it again
	within(t, "the reply is lost", lost.Executed())
	holds(t, r, "a", "value", 9)
}

func TestALateCopyOfASetDoesNotUndoALaterOne(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	p := servertest.NewProxy(t, s.Addr())
	r := register(t, p.Connect(func(o *redis.Options) { o.ReadTimeout = 200 * time.Millisecond }))
	accepted(t, r, "a", 5)
	held := p.HoldRequest(func(args []string) bool { return args[0] == "evalsha" })
	set(t, r, "a", "first", 9) // its first copy is held up, the second gets through
	within(t, "a copy is held up", held.Caught())
	set(t, r, "a", "second", 9)
	held.Deliver()
	within(t, "the copy is executed", held.Executed())
	holds(t, r, "a", "second", 9)
}

func TestAServerThatForgotTheScriptGetsItAgain(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, rdb *redis.Client) {
		r := register(t, rdb)
		set(t, r, "a", "first", 5)
		if err := rdb.ScriptFlush(context.Background()).Err(); err != nil {
			t.Fatal(err)
		}
		set(t, r, "a", "second", 5)
		holds(t, r, "a", "second", 5)
	})
}

func TestOutOfMemoryChangesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	rdb := servertest.Start(t).Connect()
	r := register(t, rdb, fence.WithRetention(time.Hour))
	set(t, r, "a", "first", 5)
	rdb.ConfigSet(ctx, "maxmemory", "1")
	longer := register(t, rdb)
	for _, err := range []error{longer.Accept(ctx, "a", 9), longer.Set(ctx, "a", []byte("second"), 9), r.Accept(ctx, "new", 1)} {
		if !redis.HasErrorPrefix(err, "OOM") || errors.Is(err, fence.ErrStale) {
			t.Errorf("the error is %v, want the server's own", err)
		}
	}
	rdb.ConfigSet(ctx, "maxmemory", "0")
	holds(t, r, "a", "first", 5)
	if n, left := rdb.DBSize(ctx).Val(), rdb.TTL(ctx, "redislock:{a}:fence").Val(); n != 1 || left > time.Hour {
		t.Errorf("%d keys, %v left, want what was before", n, left)
	}
}

func TestTheRightsOfLocksSuffice(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := servertest.Start(t)
	args := []any{"ACL", "SETUSER", "app", "on", ">secret"}
	for _, rule := range strings.Fields(redislock.ACL(redislock.DefaultPrefix)) {
		args = append(args, rule)
	}
	if err := s.Connect().Do(ctx, args...).Err(); err != nil {
		t.Fatal(err)
	}
	r := register(t, s.Connect(func(o *redis.Options) { o.Username, o.Password = "app", "secret" }))
	set(t, r, "a", "value", 5)
	refused(t, r.Accept(ctx, "a", 4), "a", 4, 5)
	holds(t, r, "a", "value", 5)
}

func TestFencesAreKeptInACluster(t *testing.T) {
	t.Parallel()
	r := register(t, servertest.StartCluster(t, 3).Connect())
	for i := range 20 { // on all nodes
		name := fmt.Sprint("account/", i)
		set(t, r, name, name, 5)
		refused(t, r.Set(context.Background(), name, []byte("late"), 4), name, 4, 5)
		holds(t, r, name, name, 5)
	}
}

func TestWhatRedisSaysIsNotStale(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := servertest.Start(t)
	rdb := s.Connect(func(o *redis.Options) { o.MaxRetries = -1 })
	r := register(t, rdb)
	rdb.Set(ctx, "redislock:{a}:fence", "not a hash", 0)
	wrong := r.Accept(ctx, "a", 1)
	_, _, alsoWrong := r.Get(ctx, "a")
	s.Kill()
	_, unreachable := r.Highest(ctx, "a")
	for _, err := range []error{wrong, alsoWrong, unreachable, r.Accept(ctx, "a", 1), r.Set(ctx, "a", nil, 1)} {
		if err == nil || errors.Is(err, fence.ErrStale) || errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("the error is %v, want that of the server or the network", err)
		}
	}
}

func TestARegisterThatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{})
	t.Cleanup(func() { _ = rdb.Close() })
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}, HeartbeatFn: func(context.Context, *redis.Client) bool { return true }})
	t.Cleanup(func() { _ = ring.Close() })
	var none *redis.Client
	for name, attempt := range map[string]func() (*fence.Redis, error){
		"nil":          func() (*fence.Redis, error) { return fence.NewRedis(nil) },
		"a nil client": func() (*fence.Redis, error) { return fence.NewRedis(none) },
		"a Ring":       func() (*fence.Redis, error) { return fence.NewRedis(ring) },
		"a nil option": func() (*fence.Redis, error) { return fence.NewRedis(rdb, nil) },
		"no prefix":    func() (*fence.Redis, error) { return fence.NewRedis(rdb, fence.WithPrefix("")) },
		"a brace":      func() (*fence.Redis, error) { return fence.NewRedis(rdb, fence.WithPrefix("a{b")) },
		"short memory": func() (*fence.Redis, error) { return fence.NewRedis(rdb, fence.WithRetention(time.Second)) },
		"long memory":  func() (*fence.Redis, error) { return fence.NewRedis(rdb, fence.WithRetention(1<<62)) },
	} {
		if r, err := attempt(); r != nil || !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("%s: %v, %v, want ErrInvalid", name, r, err)
		}
	}
}

func TestARegisterWithoutAContextOrThatNobodyMadeIsInvalid(t *testing.T) {
	t.Parallel()
	made := register(t, redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}))
	var none context.Context
	for what, c := range map[string]struct {
		r   *fence.Redis
		ctx context.Context
	}{"no context": {made, none}, "a zero register": {&fence.Redis{}, context.Background()}} {
		_, _, get := c.r.Get(c.ctx, "a")
		_, highest := c.r.Highest(c.ctx, "a")
		for _, err := range []error{get, highest, c.r.Accept(c.ctx, "a", 1), c.r.Set(c.ctx, "a", nil, 1), c.r.Reset(c.ctx, "a")} {
			if !errors.Is(err, redislock.ErrInvalid) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}
