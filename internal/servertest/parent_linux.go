package servertest

import (
	"os/exec"
	"syscall"
)

// endWithParent has the server end with the test binary also where no cleanup runs: at the panic of a test's timeout.
func endWithParent(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}
