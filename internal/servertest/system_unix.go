//go:build !windows

package servertest

import (
	"os"
	"os/exec"
	"syscall"
)

// credential is whom a server runs as.
type credential = syscall.Credential

func runAs(cmd *exec.Cmd, as *credential) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
}

// lockFile waits until nobody else, in this process or in another, has locked the file. Closing it unlocks it.
func lockFile(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }

// These signals have a process stand still, and go on.
const (
	stopSignal     = syscall.SIGSTOP
	continueSignal = syscall.SIGCONT
)
