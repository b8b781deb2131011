package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

func TestTheURLIsTakenAsPeopleAndFilesHaveIt(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	addr := strings.TrimPrefix(f.url, "redis://")
	for _, url := range []string{addr, f.url + "\n", " " + f.url + "\r\n", addr + "\n", addr + "/0"} {
		f.url = url
		f.start("run", "--prefix", f.prefix, "x", "--", "true").ends(0)
		if status, _, stderr := f.cli(url, "ls", "--all"); status != 0 {
			t.Errorf("--redis %q: %d, %q", url, status, stderr)
		}
	}
	s := server{url: "/run/redis.sock\n"}
	if text, _ := s.source(); text != "unix:///run/redis.sock" {
		t.Errorf("a path is taken for %q", text)
	}
	s.url = "rediss://host\n"
	if text, _ := s.source(); text != "rediss://host" || !s.tls() {
		t.Errorf("TLS: %q", text)
	}
}

func TestMessagesNameTheDatabase(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	addr := strings.TrimPrefix(f.url, "redis://")
	f.hold("x")
	f.url += "/2"
	f.wants(1, []string{"show", "x"}, "on Redis at "+addr+", database 2:")
	f.wants(1, []string{"cron-status", "x"}, "on Redis at "+addr+", database 2;")
	f.wants(0, []string{"ls", "--color", "always"}, "on Redis at "+addr+", database 2\n")
	if out := f.wants(1, []string{"doctor"}); !strings.HasPrefix(out, "Redis at "+addr+", database 2, for locks") {
		t.Errorf("doctor says %.100q", out)
	}
}

func TestTheReasonIsSaidAndNotThatTimeIsOver(t *testing.T) {
	l := &link{addr: "here"}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errSilent)
	refusal := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for err, want := range map[error]string{
		fmt.Errorf("%w: %w", context.DeadlineExceeded, refusal): "connection refused; start it there",
		context.DeadlineExceeded:                                "no answer within 5s; something is there and says nothing",
	} {
		if got := l.ended(ctx, err).Error(); !strings.Contains(got, want) {
			t.Errorf("says %q, want %q", got, want)
		}
	}
	// The advice to start it there, or to name another, is for a Redis that has never answered.
	l.answered = new(atomic.Int64)
	l.answered.Store(1)
	for sentinel, want := range map[bool]string{false: "it answered before: see whether it still runs", true: "its Sentinels make a replica the primary"} {
		l.sentinel = sentinel
		if got := l.explain(refusal).Error(); !strings.Contains(got, want) || strings.Contains(got, "--redis") {
			t.Errorf("says %q, want %q", got, want)
		}
	}
}

// TestAdviceLeadsToTheSameRedis looks at the flags of commands that are shown for copying, into a shell with any REDIS_URL.
func TestAdviceLeadsToTheSameRedis(t *testing.T) {
	for _, c := range []struct {
		variable string
		server   server
		want     string
	}{
		{"", server{}, "--redis 127.0.0.1:6379"},
		{"redis://me:hunter2@redis.example:6380", server{}, "--redis redis.example:6380"},
		{"redis://elsewhere:1", server{url: "redis.example:6380"}, "--redis redis.example:6380"},
		{"", server{url: "redis://redis.example:6380/2?client_name=x"}, "--redis redis://redis.example:6380/2"},
		{"", server{url: "redis://[::1]:6380"}, "--redis '[::1]:6380'"},
		{"", server{url: "/run/redis.sock"}, "--redis /run/redis.sock"},
		{"", server{url: "rediss://redis.example"}, ""},
		{"", server{cluster: true}, "--cluster"},
		{"", server{master: "m"}, "--sentinel-master m"},
		{"", server{context: "prod", url: "redis.example:6380", place: place{name: "prod"}}, "--context prod"},
	} {
		t.Setenv("REDIS_URL", c.variable)
		c.server.prefix = redislock.DefaultPrefix
		if got := c.server.again(); got != c.want {
			t.Errorf("%q, %+v: %q, want %q", c.variable, c.server, got, c.want)
		}
	}
	s := servertest.Start(t, "--requirepass", "geheim")
	t.Setenv("REDIS_URL", "redis://:geheim@"+s.Addr())
	run := func(want int, args ...string) string {
		t.Helper()
		var out, stderr strings.Builder
		if got := Run(args, strings.NewReader(""), &out, &stderr); got != want {
			t.Errorf("%q: exit status %d, want %d: %s", args, got, want, stderr.String())
		}
		return out.String() + stderr.String()
	}
	run(0, "run", "orders/7", "--", "true")
	if text := run(0, "show", "--redis", s.Addr(), "-o", "json", "orders/7"); strings.Contains(text, "geheim") {
		t.Errorf("a password is shown: %s", text)
	}
	t.Setenv("REDIS_URL", "redis://:geheim@127.0.0.1:1")
	if text := run(77, "show", "--redis", s.Addr(), "orders/7"); !strings.Contains(text, "put user and password into the URL") {
		t.Errorf("the password of another server is used: %s", text)
	}
}
