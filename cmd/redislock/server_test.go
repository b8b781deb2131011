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
