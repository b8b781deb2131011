package main

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel kill the process when this one is gone, however that came.
func dieWithParent(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}
