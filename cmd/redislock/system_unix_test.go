//go:build !windows

package main

import (
	"os"
	"syscall"
)

const (
	sigUSR1 = syscall.SIGUSR1
	sigUSR2 = syscall.SIGUSR2
)

// ownSession has a process lead a session, and so a group, of its own.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// killSession ends one that leads its session, and all that it has started.
func killSession(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }

func kill(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }
