package main

import (
	"syscall"
	"time"

	"golang.org/x/sys/windows"
)

// errNoProgram is the error of the system for a file that it cannot execute, and whatRuns says what helps.
const (
	errNoProgram = windows.ERROR_BAD_EXE_FORMAT
	whatRuns     = "it must be a program for this machine, or a .bat or .cmd file"
)

// inGroup starts a process that shares our console: Windows has no process groups that signals reach.
func inGroup(bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

// pass does nothing: the console has told the command as well, of Ctrl-C and that it is closed.
func (c *child) pass(syscall.Signal) {}

// ask does nothing: --on-ask takes no signal here.
func (c *child) ask(syscall.Signal) {}

// terminate ends the command at once: nothing would ask it to end, and with the lock lost it must not go on for the grace.
func (c *child) terminate() { c.kill() }

// ending is how a command is ended before its time.
func ending(time.Duration) string {
	return "at once, for Windows has no signal that asks it to end; what it has started goes on"
}

// kill reaches the command alone.
func (c *child) kill() { _ = c.cmd.Process.Kill() } // it may have ended

// groupAlive reports false: what the command has started is not known here.
func (c *child) groupAlive() bool { return false }
