package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// write makes an executable file.
func (f *fixture) write(name, text string) {
	f.Helper()
	if err := os.WriteFile(f.path(name), []byte(text), 0o700); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) read(name string) string {
	f.Helper()
	text, err := os.ReadFile(f.path(name))
	if err != nil {
		f.Fatal(err)
	}
	return string(text)
}

func TestOnceTheNextOneRunsWhatFailed(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	var programs []*program
	for range 5 { // the first to run fails, the second succeeds
		programs = append(programs, f.run("--once", "x", "--", "sh", "-c", `echo run >>runs; sleep 0.1; [ $(wc -l <runs) -gt 1 ] || exit 3`))
	}
	statuses, told := map[int]int{}, 0
	for _, p := range programs {
		status, _, stderr := p.wait()
		statuses[status]++
		if strings.Contains(stderr, `"x" was done elsewhere, or before; the command was not run`) {
			told++
		}
	}
	if runs := f.read("runs"); statuses[3] != 1 || statuses[0] != 4 || told != 3 || runs != "run\nrun\n" {
		t.Errorf("exit statuses %v, %d were told that it was done, the runs are %q", statuses, told, runs)
	}
	f.run("--once", "x", "--", "touch", "ran").ends(0, "was not run")
	f.run("x", "--", "true").ends(0) // another lock
	if f.exists("ran") {
		t.Error("it was done twice")
	}
}

func TestOnceMayNotBeWaitedFor(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	p := f.run("--once", "x", "--", "sh", "-c", `echo "$REDISLOCK_NAME"; read line; [ "$REDISLOCK_FENCE" -gt 0 ]`)
	if name := p.line(); name != "x" {
		t.Errorf("its name is %q", name)
	}
	f.run("--once", "--no-wait", "x", "--", "touch", "ran").ends(75, "is held", "): sh;")
	f.run("--once", "--wait", "50ms", "x", "--", "touch", "ran").ends(75, "still held")
	q := f.run("--once", "x", "--", "touch", "ran")
	f.until("once:x", waiting(1))
	q.signal(syscall.SIGTERM)
	q.ends(128+15, "was not run")
	p.finish()
	p.ends(0)
	if f.exists("ran") {
		t.Error("the command ran")
	}
}

func TestOnceIsForgottenAsToldTo(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.run("--once", "--forget", "200ms", "x", "--", "true").ends(0)
	for done, deadline := true, time.Now().Add(10*time.Second); done; {
		var err error
		if done, err = f.client.OnceDone(t.Context(), "x"); err != nil || time.Now().After(deadline) {
			t.Fatalf("it is still known to be done: %v, %v", done, err)
		}
	}
	f.run("--once", "x", "--", "touch", "ran").ends(0)
	if !f.exists("ran") {
		t.Error("it was not run again")
	}
}

func TestOnceIsNotDoneByWhoLosesTheLock(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	p := f.run("--once", "x", "--", "sh", "-c", "exec 2>/dev/null; trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done")
	p.line()
	f.breakHold("once:x")
	p.ends(70, "stolen", "SIGTERM")
	p = f.run("--once", "--at-most", "200ms", "x", "--", "sleep", "1000")
	p.ends(70, "held for its longest time of 200ms")
	f.run("--once", "x", "--", "touch", "ran").ends(0)
	if !f.exists("ran") {
		t.Error("it counted as done")
	}
}
