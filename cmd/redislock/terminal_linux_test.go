package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/redislock"
	"example.com/redislock/ui/history"
)

// screen is a program at its own terminal, as a person sees it.
type screen struct {
	f      *fixture
	cmd    *exec.Cmd
	tty    *os.File // the person's side
	read   *bufio.Reader
	before *unix.Termios // the settings of the terminal before
}

func (f *fixture) atTerminal(args ...string) *screen {
	f.Helper()
	tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = tty.Close() })
	if err := unix.IoctlSetPointerInt(int(tty.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		f.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPTN)
	if err != nil {
		f.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 60}); err != nil {
		f.Fatal(err)
	}
	line, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		f.Fatal(err)
	}
	defer line.Close()
	s := &screen{f: f, tty: tty, read: bufio.NewReader(tty), cmd: exec.Command(os.Args[0], args...)}
	s.cmd.Env = append(os.Environ(), asProgram+"=1", "REDIS_URL="+f.url, "GORACE=atexit_sleep_ms=0", "TERM=xterm-256color", "NO_COLOR=")
	s.cmd.Env = append(s.cmd.Env, f.env...)
	s.cmd.Dir = f.dir
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = line, line, line
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if s.before, err = unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS); err != nil {
		f.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = unix.Kill(-s.cmd.Process.Pid, unix.SIGKILL) })
	return s
}

func (s *screen) typed(keys string) {
	s.f.Helper()
	if _, err := io.WriteString(s.tty, keys); err != nil {
		s.f.Fatal(err)
	}
}

// shows reads the screen up to this text, and returns what was before it.
func (s *screen) shows(text string) string {
	s.f.Helper()
	var seen strings.Builder
	for !strings.HasSuffix(seen.String(), text) {
		b, err := s.read.ReadByte()
		if err != nil {
			s.f.Fatalf("the screen does not show %q: %q, %v", text, seen.String(), err)
		}
		seen.WriteByte(b)
	}
	return seen.String()
}

// ends reads the screen to its end and checks the exit status.
func (s *screen) ends(want int) string {
	s.f.Helper()
	rest, _ := io.ReadAll(s.read) // ends with an error when no process has the terminal any more
	_ = s.cmd.Wait()
	if got := s.cmd.ProcessState.ExitCode(); got != want {
		s.f.Errorf("exit status %d, want %d; the screen shows %q", got, want, rest)
	}
	return string(rest)
}

func TestCommandCanReadItsTerminal(t *testing.T) {
	f := setUp(t)
	s := f.atTerminal("run", "--prefix", f.prefix, "x", "--", "sh", "-c", "echo ready; read line; echo got $line; exit 4")
	s.shows("ready")
	s.typed("through\n")
	s.shows("got through")
	s.ends(4)
}

func TestKeyboardReachesTheCommand(t *testing.T) {
	f := setUp(t)
	s := f.atTerminal("run", "--prefix", f.prefix, "x", "--", "sh", "-c", "trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.02; done")
	s.shows("ready")
	s.typed("\x03")
	s.shows("interrupted")
	s.ends(5)
}

func TestKeyboardIsNotPassedOnASecondTime(t *testing.T) {
	f := setUp(t)
	// In its own session the command gets no signal of the keyboard, so any signal comes from redislock.
	s := f.atTerminal("run", "--prefix", f.prefix, "x", "--", "setsid", "sh", "-c",
		"trap 'echo interrupted' INT; trap 'echo ended; exit 6' TERM; echo ready; while :; do sleep 0.02; done")
	s.shows("ready")
	s.typed("\x03")
	s.shows("^C") // the terminal has sent the signal
	if err := s.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if shown := s.shows("ended"); strings.Contains(shown, "interrupted") {
		t.Errorf("the command was interrupted by us: %q", shown)
	}
	s.ends(6)
}

func TestCommandSharesTheForegroundOfTheTerminal(t *testing.T) {
	f := setUp(t)
	s := f.atTerminal("run", "--prefix", f.prefix, "x", "--", "sh", "-c", `echo "pid $$ ready"; while :; do sleep 0.02; done`)
	var pid int
	shown := s.shows("ready")
	if _, err := fmt.Sscanf(shown, "pid %d ready", &pid); err != nil {
		t.Fatalf("%q: %v", shown, err)
	}
	group, err := unix.IoctlGetInt(int(s.tty.Fd()), unix.TIOCGPGRP)
	if err != nil {
		t.Fatal(err)
	}
	if of, err := unix.Getpgid(pid); err != nil || of != group || group != s.cmd.Process.Pid {
		t.Errorf("the command is in group %d (%v), the foreground is %d, the program's group %d", of, err, group, s.cmd.Process.Pid)
	}
	s.typed("\x1c") // Ctrl-\ ends the command, and redislock stays to report how
	s.ends(128 + int(unix.SIGQUIT))
}

func TestPersonAtATerminalIsToldWhatTheWaitIsFor(t *testing.T) {
	f := setUp(t)
	f.hold("x")
	s := f.atTerminal("run", "--prefix", f.prefix, "x", "--", "true")
	s.shows(`redislock: waiting for "x", held since `)
	s.shows("by the-test (pid ")
	s.typed("\x03")
	s.ends(128 + int(unix.SIGINT))
}

func TestPersonAtATerminalIsToldWhatATickWaitsFor(t *testing.T) {
	f := setUp(t)
	f.hold("cron:x")
	tick, _ := ticks()
	s := f.atTerminal("run", "--prefix", f.prefix, "--tick", tick, "--overlap", "wait", "x", "--", "true")
	s.shows(`redislock: waiting for "x", held since `)
	s.shows("by the-test (pid ")
	s.typed("\x03")
	s.ends(128 + int(unix.SIGINT))
}

func TestPersonAtATerminalIsNotToldOfAWaitThatIsOver(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	tick, _ := ticks()
	for _, way := range [][]string{nil, {"--once"}, {"--tick", tick}} {
		args := append(append([]string{"run", "--prefix", f.prefix}, way...), "x", "--", "sh", "-c", "sleep 1.5; echo done") // longer than the patience of redislock
		if screen := f.atTerminal(args...).ends(0); strings.Contains(screen, "waiting for") || !strings.Contains(screen, "done") {
			t.Errorf("%v: the screen shows %q", way, screen)
		}
	}
}

func TestDemoDrawsInPlaceOnATerminal(t *testing.T) {
	t.Parallel() // it takes its time
	f := setUp(t)
	s := f.atTerminal("demo", "--slack", loadedMachine)
	s.shows("\r\033[KA holder is killed: process ")
	if screen := s.ends(0); !strings.Contains(screen, "VERDICT") {
		t.Errorf("the screen shows %q", screen)
	}
}

func TestBreakAsksThePersonAtTheTerminal(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	lock := f.hold("x", redislock.WithMetadata("the import"))
	f.queue("x", 0, redislock.WithMetadata("the next"))
	for _, answer := range []string{"\n", "no\n", "\x04"} {
		s := f.atTerminal("break", "--prefix", f.prefix, "--reason", "why", "x")
		if shown := s.shows("Break it? [y/N] "); !strings.Contains(shown, "the import") || !strings.Contains(shown, "the next") {
			t.Errorf("it shows %q", shown)
		}
		s.typed(answer)
		s.shows("nothing was broken")
		s.ends(1)
	}
	if err := lock.Err(); err != nil {
		t.Fatalf("it was broken: %v", err)
	}
	s := f.atTerminal("break", "--prefix", f.prefix, "--reason", "why", "x")
	s.shows("[y/N] ")
	s.typed("y\n")
	s.shows("x was broken")
	s.ends(0)

	other := f.hold("y")
	s = f.atTerminal("break", "--prefix", f.prefix, "--reason", "why", "y")
	s.shows("[y/N] ")
	if err := other.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.hold("y") // meanwhile another process has the lock
	s.typed("y\n")
	s.shows("have changed meanwhile")
	s.ends(75)
}

func TestWatchIsLiveOnATerminalAndRestoresIt(t *testing.T) {
	t.Parallel()
	const enters, leaves = "\x1b[?1049h", "\x1b[?1049l"
	for how, end := range map[string]func(*screen) int{
		"q":       func(s *screen) int { s.typed("q"); return 0 },
		"Ctrl-C":  func(s *screen) int { s.typed("\x03"); return 130 },
		"SIGTERM": func(s *screen) int { _ = s.cmd.Process.Signal(unix.SIGTERM); return 143 },
		"SIGHUP":  func(s *screen) int { _ = s.cmd.Process.Signal(unix.SIGHUP); return 129 },
	} {
		f := setUp(t)
		f.hold("first" + hostile)
		args := []string{"watch", "--prefix", f.prefix, "--interval", "100ms"}
		if how == "Ctrl-C" {
			args = append(args, "another")
		}
		s := f.atTerminal(args...)
		s.shows(enters)
		if how != "Ctrl-C" {
			s.shows("first")
		}
		f.hold("another")
		shown := s.shows("another")
		if strings.Contains(shown, "\x1b[2J\x1b]0;title") || strings.Contains(shown, "\u202e") {
			t.Errorf("%s: the name steers the terminal: %q", how, shown)
		}
		status := end(s)
		if rest := s.ends(status); !strings.Contains(rest, leaves) {
			t.Errorf("%s: the screen is left as it was: %q", how, rest)
		}
		after, err := unix.IoctlGetTermios(int(s.tty.Fd()), unix.TCGETS)
		if err != nil || after.Lflag != s.before.Lflag || after.Iflag != s.before.Iflag {
			t.Errorf("%s: the terminal is not as before: %+v, was %+v (%v)", how, after, s.before, err)
		}
	}
}

func TestTerminalsThatCannotOrMayNot(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.hold("x")
	for env, colourful := range map[string]bool{"TERM=xterm-256color": true, "TERM=dumb": false, "NO_COLOR=1": false} {
		f.env = []string{"TERM=xterm-256color", env}
		shown := f.atTerminal("ls", "--prefix", f.prefix).ends(0)
		if !strings.Contains(shown, "NAME") || !strings.Contains(shown, fmt.Sprint("pid ", os.Getpid())) {
			t.Errorf("%s: shows %q", env, shown)
		}
		if got := regexp.MustCompile(`\x1b\[[0-9;]*3[0-9]`).MatchString(shown); got != colourful {
			t.Errorf("%s: colours %t, want %t: %q", env, got, colourful, shown)
		}
	}
	f.env = nil
	if shown := f.atTerminal("ls", "--prefix", f.prefix, "--color", "never").ends(0); strings.Contains(shown, "\x1b") || !strings.Contains(shown, "NAME") {
		t.Errorf("--color never: shows %q", shown)
	}
	f.env = []string{"TERM=dumb"}
	s := f.atTerminal("watch", "--prefix", f.prefix)
	if line := s.shows("\n"); strings.Contains(line, "\x1b") || !strings.Contains(line, "\tthe-test") && !strings.Contains(line, "the-test") {
		t.Errorf("a dumb terminal gets %q", line)
	}
	s.typed("\x03")
	s.ends(130)
}

func TestTopAsksAndBreaksAtATerminal(t *testing.T) {
	f := setUp(t)
	f.wants(64, []string{"top"}, "top needs a terminal")
	lock := f.hold("orders/7")
	s := f.atTerminal("top", "--prefix", f.prefix, "--interval", "100ms")
	s.shows("orders/7")
	s.typed("\r")
	s.shows("A ask  B break")
	s.typed("A")
	s.shows("why? ")
	s.typed("the hotfix\r")
	s.shows("1 holder was told")
	if got := <-lock.Asked(); got.Why != "the hotfix" {
		t.Errorf("asked: %+v", got)
	}
	s.typed("B")
	s.shows("why? ")
	s.typed("stuck\r")
	s.shows("[y/N] ")
	s.typed("y\r")
	s.shows("was broken")
	<-lock.Context().Done()
	if err := lock.Err(); err == nil || !strings.Contains(err.Error(), "stuck") {
		t.Errorf("the holder saw %v", err)
	}
	s.typed("\x1b")
	// A loss that others report to the history is trouble here too.
	if err := history.Open(f.rdb, f.prefix).Add(t.Context(), history.Entry{Kind: "broken", Name: "far", Fence: 3, By: "anna", Why: "x", Told: true}); err != nil {
		t.Fatal(err)
	}
	s.shows("far: the lock of")
	s.typed("q")
	s.ends(0)
}

func TestTopSaysWhichSignalEndedIt(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.hold("orders/7")
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		s := f.atTerminal("top", "--prefix", f.prefix)
		s.shows("orders/7")
		if err := s.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		s.ends(128 + int(sig))
		after, err := unix.IoctlGetTermios(int(s.tty.Fd()), unix.TCGETS)
		if err != nil || after.Lflag != s.before.Lflag {
			t.Errorf("%v: the terminal is not as before: %+v, was %+v (%v)", sig, after, s.before, err)
		}
	}
}
