package redislock_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
	"example.com/redislock/internal/servertest"
)

func TestCheckIsContentWithAServerThatServesLocks(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		for range 2 {
			if err := c.Check(ctx); err != nil {
				e.Error(err)
			}
		}
		for info, err := range c.List(ctx, "*") {
			e.Errorf("it left %v behind (%v)", info, err)
		}
		e.release(e.acquire(c, "x"))
	})
}

func TestCheckNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	e := &env{T: t}
	ctx := context.Background()
	for _, missing := range []string{"hset", "publish", "expireat", "subscribe", "evalsha"} {
		as := s.AddUser("app", redislock.ACL(redislock.DefaultPrefix)+" -"+missing)
		err := e.over(s.Connect(as)).Check(ctx)
		if !errors.Is(err, redislock.ErrPermission) || !strings.Contains(err.Error(), missing) {
			t.Errorf("without the right to %s: %v", missing, err)
		}
	}
	c := e.over(s.Connect(s.AddUser("app", redislock.ACL(redislock.DefaultPrefix))))
	if err := c.Check(ctx); err != nil {
		t.Error(err)
	}
	if err := s.Admin().ConfigSet(ctx, "min-replicas-to-write", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := c.Check(ctx); err == nil || !strings.Contains(err.Error(), "NOREPLICAS") {
		t.Errorf("where nothing can be written: %v", err)
	}
}

func TestCheckOfAServerThatIsGoneEndsWithItsContext(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		c := e.client()
		n.Cut()
		defer n.Mend()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		began := time.Now()
		if err := c.Check(ctx); err == nil || errors.Is(err, redislock.ErrPermission) || time.Since(began) > time.Second {
			e.Errorf("%v after %v", err, time.Since(began))
		}
		if err := c.Check(ctx); !errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("under a context that has ended: %v", err)
		}
		var nothing context.Context
		if err := c.Check(nothing); !errors.Is(err, redislock.ErrInvalid) {
			e.Error(err)
		}
	})
}

func TestCheckOfAClientThatTakesNoLocksSaysSo(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		c := e.client()
		if err := errors.Join(c.Check(ctx), c.Drain(ctx)); err != nil {
			e.Error(err)
		}
		if err := c.Check(ctx); !errors.Is(err, redislock.ErrDraining) {
			e.Error(err)
		}
		if err := c.Close(ctx); err != nil {
			e.Error(err)
		}
		if err := c.Check(ctx); !errors.Is(err, redislock.ErrClosed) || errors.Is(err, redislock.ErrDraining) {
			e.Error(err)
		}
	})
}

// What one master of a cluster refuses is found, and the master is named.
func TestCheckAsksEachMasterOfACluster(t *testing.T) {
	t.Parallel()
	cluster := servertest.StartCluster(t, 3)
	e := &env{T: t}
	ctx := context.Background()
	var user redis.Options
	for _, s := range cluster.Masters {
		s.AddUser("app", redislock.ACL(redislock.DefaultPrefix))(&user)
	}
	c := e.over(cluster.Connect(func(o *redis.ClusterOptions) { o.Username, o.Password = user.Username, user.Password }))
	if err := c.Check(ctx); err != nil {
		t.Fatal(err)
	}
	for _, missing := range []string{"hset", "spublish"} {
		one := cluster.Masters[1]
		one.AddUser("app", redislock.ACL(redislock.DefaultPrefix)+" -"+missing)
		err := c.Check(ctx)
		if !errors.Is(err, redislock.ErrPermission) || !strings.Contains(err.Error(), missing) || strings.Count(err.Error(), one.Addr()) != 1 {
			t.Errorf("where one master refuses %s: %v", missing, err)
		}
	}
}
