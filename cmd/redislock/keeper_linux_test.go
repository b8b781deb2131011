package main

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// escapes starts a worker that leaves the group and the session of its command, and does not end by itself.
const escapes = `setsid sh -c 'trap "" TERM HUP INT; echo ready; while :; do sleep 0.02; done' & wait`

func TestNothingOutlivesAProgramThatIsKilled(t *testing.T) {
	t.Parallel()
	for how, script := range map[string]string{"in its group": stubborn(""), "in a session of its own": escapes} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			f := setUp(t)
			p := f.run("x", "--", "sh", "-c", script)
			p.line()
			p.signal(unix.SIGKILL)
			if status, _, _ := p.wait(); status != -9 { // standard output ends only with the worker
				t.Errorf("exit status %d", status)
			}
		})
	}
}

func TestNothingAtATerminalOutlivesAProgramThatIsKilled(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	s := f.atTerminal("run", "--prefix", f.prefix, "x", "--", "sh", "-c", escapes)
	s.shows("ready")
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.ends(-1) // the screen ends only with the worker
}

func TestACommandEndsWithItsKeeper(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	// The keeper closes its standard input when the command has started.
	p := f.run("--grace", "1m", "x", "--", "sh", "-c", "while [ -e /proc/$PPID/fd/0 ]; do :; done; echo $PPID; exec sleep 1000")
	keeper, err := strconv.Atoi(p.line())
	if err != nil || keeper == p.cmd.Process.Pid {
		t.Fatalf("the keeper is %d (%v), the program %d", keeper, err, p.cmd.Process.Pid)
	}
	if err := syscall.Kill(keeper, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := p.wait(); status != 128+9 {
		t.Errorf("exit status %d; %q", status, stderr)
	}
}

func TestDescriptorsOfTheUserReachTheCommand(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	if err := os.WriteFile(f.path("file"), []byte("through\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := f.launch("sh", "-c", `exec "$0" run --prefix `+f.prefix+` x -- sh -c 'cat <&3; ls /proc/self/fd' 3<file`, os.Args[0])
	with := p.ends(0)
	without := f.launch("sh", "-c", `exec sh -c 'cat <&3; ls /proc/self/fd' 3<file`).ends(0)
	if !strings.HasPrefix(with, "through\n") || with != without {
		t.Errorf("the command has %q, without redislock %q", with, without)
	}
}
