//go:build unix

package main

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// errNoProgram is the error of the system for a file that it cannot execute, and whatRuns says what helps.
const (
	errNoProgram = unix.ENOEXEC
	whatRuns     = "a script must begin with a line such as #!/bin/sh"
)

// inGroup starts a process in a group of its own, or in ours.
func inGroup(own bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: own} }

// signal reaches the command alone, unless it has ended.
func (c *child) signal(sig syscall.Signal) {
	select {
	case <-c.ended:
	default:
		_ = unix.Kill(c.pid, sig) // it may have ended since
	}
}

// pass hands on a signal that we got. Those that end a program go to the whole group, as they do from a terminal:
// what the command started must not go on when the lock is given back. USR1 and USR2 mean something to the command
// alone.
func (c *child) pass(sig syscall.Signal) {
	switch sig {
	case unix.SIGINT, unix.SIGQUIT:
		if c.terminal.inForeground() {
			return // the keyboard has sent it to the command as well
		}
		c.signalGroup(sig)
	case unix.SIGTERM, unix.SIGHUP:
		c.signalGroup(sig)
	default:
		c.signal(sig)
	}
}

// ask hands on the signal of --on-ask, as pass does.
func (c *child) ask(sig syscall.Signal) {
	if stops(sig) {
		c.signalGroup(sig)
		return
	}
	c.signal(sig)
}

// terminate asks the command to end. If it is stopped it is woken up, or it could not.
func (c *child) terminate() {
	c.signalGroup(unix.SIGTERM)
	c.signalGroup(unix.SIGCONT)
}

// ending is how a command is ended before its time.
func ending(grace time.Duration) string {
	return fmt.Sprintf("by SIGTERM now and by SIGKILL in %v", grace)
}

func (c *child) kill() { c.signalGroup(unix.SIGKILL) }

// signalGroup reaches all of the command's group if that is its own, else the command.
func (c *child) signalGroup(sig syscall.Signal) {
	if c.terminal == nil {
		_ = unix.Kill(-c.pid, sig) // it may be empty
		return
	}
	c.signal(sig)
}

// groupAlive reports whether anything is left of the command's own group. The command itself must have ended. What became
// our own child by the death of its parent, as in a container whose first process we are, is collected: nobody else would,
// and it would look alive.
func (c *child) groupAlive() bool {
	if c.terminal != nil {
		return false
	}
	group := -c.pid
	for {
		pid, err := unix.Wait4(group, nil, unix.WNOHANG, nil)
		if pid <= 0 && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return !errors.Is(unix.Kill(group, 0), unix.ESRCH)
}
