package fence_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/fence"
	"example.com/redislock/internal/servertest"
	"example.com/redislock/redislocktest"
)

const long = 10 * time.Second // for events that must come, on a busy machine

// both runs a test on a server in memory and on a real one.
func both(t *testing.T, test func(t *testing.T, rdb *redis.Client)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, redislocktest.New(t).Redis)
	})
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		test(t, servertest.Start(t).Connect())
	})
}

// everywhere runs a test on every register.
func everywhere(t *testing.T, test func(t *testing.T, r fence.Register)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		test(t, &fence.Memory{})
	})
	both(t, func(t *testing.T, rdb *redis.Client) { test(t, register(t, rdb)) })
}

func register(t *testing.T, rdb redis.UniversalClient, opts ...fence.RedisOption) *fence.Redis {
	t.Helper()
	r, err := fence.NewRedis(rdb, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// accepted fails the test unless the register accepts the fence.
func accepted(t *testing.T, r fence.Register, resource string, f int64) {
	t.Helper()
	if err := r.Accept(context.Background(), resource, f); err != nil {
		t.Errorf("fence %d of %q: %v, want it accepted", f, resource, err)
	}
}

// refused fails the test unless err says that this fence is stale and that the other one was seen.
func refused(t *testing.T, err error, resource string, f, seen int64) {
	t.Helper()
	stale, ok := errors.AsType[*fence.StaleError](err)
	if !ok || !errors.Is(err, fence.ErrStale) || *stale != (fence.StaleError{Resource: resource, Fence: f, Seen: seen}) {
		t.Errorf("fence %d of %q: %v, want it refused because %d was seen", f, resource, err, seen)
	}
}

func within(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(long):
		t.Fatalf("it did not happen in time that %s", what)
	}
}
