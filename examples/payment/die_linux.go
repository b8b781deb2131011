package main

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel kill the process when this one has ended, for whatever reason.
func dieWithParent(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}
