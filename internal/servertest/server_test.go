package servertest_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/servertest"
)

func impatient(o *redis.Options) {
	o.ReadTimeout, o.MaxRetries = 500*time.Millisecond, -1
}

func TestAServerAnswersAndCountsItsCommands(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := servertest.Start(t, "--maxmemory", "64mb")
	rdb := s.Connect()
	if got := rdb.ConfigGet(ctx, "maxmemory").Val()["maxmemory"]; got != "67108864" {
		t.Errorf("maxmemory = %q, want that of the arguments", got)
	}
	s.ResetStats()
	for range 3 {
		rdb.Set(ctx, "k", "v", 0)
	}
	if got := s.Commands(t)["set"]; got != 3 {
		t.Errorf("%d SETs counted, want 3", got)
	}
	s.ResetStats()
	if got := s.Commands(t)["set"]; got != 0 {
		t.Errorf("%d SETs counted after the reset, want 0", got)
	}
}

func TestAPausedServerIsSilentUntilItResumes(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := servertest.Start(t)
	rdb := s.Connect(impatient)
	s.Pause()
	if err := rdb.Ping(ctx).Err(); err == nil {
		t.Error("a paused server answers")
	}
	s.Resume()
	for until := time.Now().Add(10 * time.Second); rdb.Ping(ctx).Err() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("no answer within ten seconds of Resume")
		}
	}
}

func TestAKilledServerComesBackEmptyOnItsPort(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := servertest.Start(t)
	addr, rdb := s.Addr(), s.Connect(impatient)
	rdb.Set(ctx, "k", "v", 0)
	s.Pause() // a paused one is killed too
	s.Kill()
	if conn, err := net.Dial("tcp", addr); err == nil {
		_ = conn.Close()
		t.Error("a killed server listens")
	}
	s.Restart()
	if s.Addr() != addr {
		t.Errorf("it came back at %s, not at %s", s.Addr(), addr)
	}
	if n, err := rdb.Exists(ctx, "k").Result(); err != nil || n != 0 {
		t.Errorf("EXISTS = %d, %v, want an empty server", n, err)
	}
}

func TestServersEndWithTheirTest(t *testing.T) {
	t.Parallel()
	var addr string
	t.Run("inner", func(t *testing.T) {
		s := servertest.Start(t)
		addr = s.Addr()
		s.Pause()
	})
	if conn, err := net.Dial("tcp", addr); err == nil {
		_ = conn.Close()
		t.Error("the server outlived its test")
	}
}
