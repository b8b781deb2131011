package main

import (
	"os"
	"syscall"
)

// Windows has neither; a test that sends one fails there.
const (
	sigUSR1 = syscall.Signal(0xa)
	sigUSR2 = syscall.Signal(0xc)
)

func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func killSession(p *os.Process) { _ = p.Kill() }

func kill(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}
