package servertest

import (
	"os/exec"
	"syscall"
)

// endWithParent has the server end with the test binary also where no cleanup runs: at the panic of a test's timeout.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
