package main

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
)

// stubborn is a shell in whose group a worker goes on after the shell has ended. After TERM the worker writes the file
// and ends; or it ignores TERM and goes on for ever.
func stubborn(atTerm string) string {
	return `exec 2>/dev/null; sh -c 'trap "` + atTerm + `" TERM; echo ready; while :; do sleep 0.02; done' & wait`
}

const endsLate = "sleep 0.3; echo done >ended; exit"

// next takes the lock as soon as it is free, and reports whether the worker had ended by then.
func (f *fixture) next(name string) <-chan error {
	f.Helper()
	released := make(chan error, 1)
	go func() {
		lock, err := f.client.Acquire(context.Background(), name)
		if err == nil {
			if !f.exists("ended") {
				err = errors.New("the lock was given back while the worker went on")
			}
			_ = lock.Release(context.Background())
		}
		released <- err
	}()
	f.until(name, waiting(1))
	return released
}

func TestLockIsGivenBackWhenAllThatTheCommandStartedHasEnded(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	p := f.run("--grace", "1m", "x", "--", "sh", "-c", stubborn(endsLate))
	p.line()
	released := f.next("x")
	p.signal(syscall.SIGTERM)
	p.ends(128 + 15)
	if err := <-released; err != nil {
		t.Error(err)
	}
}

func TestLockOfATickIsGivenBackWhenAllThatTheCommandStartedHasEnded(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	p := f.start("cron", "--prefix", f.prefix, "--grace", "1m", "--schedule", "1s", "x", "--", "sh", "-c", stubborn(endsLate))
	p.line()
	released := f.next("cron:x")
	p.signal(syscall.SIGTERM)
	p.ends(0, "the next tick is")
	if err := <-released; err != nil {
		t.Error(err)
	}
}

func TestWhatTheCommandLeftIsKilledAfterTheGrace(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	p := f.run("--grace", "200ms", "x", "--", "sh", "-c", stubborn(""))
	p.line()
	p.signal(syscall.SIGTERM)
	p.ends(128+15, "not all that it has started: that gets SIGKILL now") // standard output ends only with both
}

func TestWhatAKilledCommandLeftIsEnded(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	p := f.run("--grace", "1m", "x", "--", "sh", "-c", "echo $$; "+stubborn(endsLate))
	pid := 0
	for _, digit := range p.line() {
		pid = 10*pid + int(digit-'0')
	}
	p.line()
	released := f.next("x")
	if err := kill(pid); err != nil {
		t.Fatal(err)
	}
	p.ends(128+9, "the command was killed, but not all that it has started")
	if err := <-released; err != nil {
		t.Error(err)
	}
}

func TestWhatACommandLeavesBehindByItselfIsLeftAlone(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	p := f.run("x", "--", "sh", "-c", `exec 3<&0; (echo ready; read line <&3; echo goes on) & exit 0`)
	p.line()
	f.until("x", waiting(0))
	if lock, err := f.client.Acquire(t.Context(), "x"); err != nil {
		t.Error(err)
	} else {
		_ = lock.Release(t.Context())
	}
	p.finish()
	if out := p.ends(0); !strings.Contains(out, "goes on") {
		t.Errorf("it says %q", out)
	}
}
