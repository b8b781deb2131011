package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

// caught are the signals that arrive from now on.
type caught struct{ c chan os.Signal }

// catchSignals begins to receive signals. One that was ignored when we were started, by nohup for instance, stays
// ignored, and the command inherits that.
func catchSignals() caught {
	s := caught{make(chan os.Signal, 16)}
	for _, sig := range passedOn {
		if !signal.Ignored(sig) {
			signal.Notify(s.c, sig)
		}
	}
	return s
}

func (s caught) stop() { signal.Stop(s.c) }

// child is the command that runs under the lock.
type child struct {
	cmd      *exec.Cmd // the command, or its keeper
	pid      int       // of the command
	release  func()    // lets go of what it has left running; it must have ended
	terminal *terminal // ours, which it shares; nil if it has a process group of its own

	ended chan struct{} // closed when it has ended and was waited for
	how   syscall.WaitStatus
}

// findCommand looks the command up as a shell does.
func findCommand(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil && !errors.Is(err, exec.ErrDot) { // a dot in $PATH was put there by its owner
		return "", cannotRun(name, err)
	}
	return path, nil
}

func cannotRun(name string, err error) error {
	cause := err
	if lookup := (*exec.Error)(nil); errors.As(cause, &lookup) {
		cause = lookup.Err
	}
	if path := (*fs.PathError)(nil); errors.As(cause, &path) {
		cause = path.Err
	}
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return exitWith(exitNotFound, "%s: %v; check its name and $PATH", name, cause)
	case errors.Is(err, errNoProgram):
		return exitWith(exitCannotRun, "%s cannot be run: %v; %s", name, cause, whatRuns)
	default:
		return exitWith(exitCannotRun, "%s cannot be run: %v; check that it is a program with permission to execute", name, cause)
	}
}

// startAlone starts the command itself. With a controlling terminal it stays in our process group: in one of its own it could
// not read the terminal, and given the terminal's foreground it would take it from the rest of a pipeline; Ctrl-Z would
// stop us, who keep the lock alive, and not it. Without a terminal none of this matters, and a group of its own lets
// signals reach all that it started.
//
// If redislock is killed, so is the command (if the system can do that), because nothing would keep its lock.
func (what *command) startAlone(env []string) (*child, error) {
	c := &child{
		cmd:      &exec.Cmd{Path: what.path, Args: what.argv, Env: env, Stdin: what.stdin, Stdout: what.stdout, Stderr: what.stderr},
		ended:    make(chan struct{}),
		terminal: what.terminal,
	}
	c.cmd.SysProcAttr = dieWithParent(inGroup(c.terminal == nil))
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the system takes the thread that starts a process for its parent
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_ = c.cmd.Wait()
			c.how, _ = c.cmd.ProcessState.Sys().(syscall.WaitStatus)
			close(c.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, cannotRun(what.argv[0], err)
	}
	c.pid, c.release = c.cmd.Process.Pid, func() {}
	return c, nil
}

// status is the exit status of a command that has ended, as a shell shows it.
func (c *child) status() int {
	if c.how.Signaled() {
		return exitSignal + int(c.how.Signal())
	}
	return c.how.ExitStatus()
}

// words are how it ended, as os.ProcessState has it.
func (c *child) words() string {
	switch {
	case c.how.Signaled() && c.how.CoreDump():
		return fmt.Sprintf("signal: %v (core dumped)", c.how.Signal())
	case c.how.Signaled():
		return fmt.Sprintf("signal: %v", c.how.Signal())
	}
	return fmt.Sprintf("exit status %d", c.how.ExitStatus())
}

// killed reports whether a signal ended the command, which has ended.
func (c *child) killed() bool { return c.how.Signaled() }
