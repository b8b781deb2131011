package main

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"

	"example.com/redislock"
)

var signalNames = map[syscall.Signal]string{
	syscall.SIGINT: "INT", syscall.SIGTERM: "TERM", syscall.SIGHUP: "HUP", syscall.SIGQUIT: "QUIT", sigUSR1: "USR1", sigUSR2: "USR2",
}

func TestRunPassesSignalsOn(t *testing.T) {
	for sig, name := range signalNames {
		t.Run(name, func(t *testing.T) {
			f := setUp(t)
			p := f.runScript(nil, "trap 'echo got it; exit 9' "+name)
			p.signal(sig)
			if out := p.ends(9); out != "got it\n" {
				t.Errorf("the command said %q", out)
			}
		})
	}
}

func TestRunShowsTheSignalThatEndedItsCommand(t *testing.T) {
	f := setUp(t)
	p := f.run("x", "--", "sh", "-c", "echo ready; exec sleep 1000")
	p.line()
	p.signal(syscall.SIGTERM)
	p.ends(128 + 15)
}

func TestSignalsThatEndReachWhatTheCommandStarted(t *testing.T) {
	f := setUp(t)
	p := f.run("x", "--", "sh", "-c", "sleep 1000 & echo ready; wait")
	p.line()
	p.signal(syscall.SIGTERM)
	p.ends(128 + 15) // standard output ends only when the sleep does
}

func TestSignalEndsTheWait(t *testing.T) {
	for sig, name := range signalNames {
		t.Run(name, func(t *testing.T) {
			f := setUp(t)
			f.hold("x")
			p := f.run("x", "--", "touch", "ran")
			f.until("x", waiting(1))
			p.signal(sig)
			p.ends(128+int(sig), "was not run")
			f.until("x", waiting(0))
			if f.exists("ran") {
				t.Error("the command ran without the lock")
			}
		})
	}
}

func TestLockIsGivenBackAfterTheCommandHasEnded(t *testing.T) {
	f := setUp(t)
	p := f.runScript(nil, "trap 'sleep 0.2; echo done >ended; exit 3' TERM")
	released := make(chan error, 1)
	go func() {
		lock, err := f.client.Acquire(context.Background(), "x")
		if err == nil {
			if !f.exists("ended") {
				err = fmt.Errorf("the lock was given back before the command ended")
			}
			_ = lock.Release(context.Background())
		}
		released <- err
	}()
	f.until("x", waiting(1))
	p.signal(syscall.SIGTERM)
	p.ends(3)
	if err := <-released; err != nil {
		t.Error(err)
	}
}

func TestCommandFindsSignalsAsTheProgramDid(t *testing.T) {
	f := setUp(t)
	p := f.run("x", "--", "sh", "-c", `trap - HUP; kill -HUP $$; echo survived`)
	p.ends(128 + 1)

	p = f.launch("sh", "-c", `trap "" HUP; exec "$0" run --prefix `+f.prefix+` x -- sh -c 'kill -HUP $$; echo survived'`, os.Args[0])
	if out := p.ends(0); out != "survived\n" {
		t.Errorf("under nohup the command said %q", out)
	}
}

func TestBreakIsSeenByAProgramThatWaits(t *testing.T) {
	f := setUp(t)
	f.hold("x")
	p := f.run("x", "--", "sh", "-c", `echo "$REDISLOCK_FENCE"`)
	f.until("x", waiting(1))
	if _, err := f.client.Break(t.Context(), "x", "the test says so"); err != nil {
		t.Fatal(err)
	}
	p.line()
	p.ends(0)
	f.until("x", func(info redislock.Info) bool { return len(info.Holds) == 0 })
}
