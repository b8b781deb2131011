package servertest

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// Windows has none of this: a test that needs it says so.

type credential struct{ Uid, Gid uint32 }

func runAs(*exec.Cmd, *credential) {}

func lockFile(*os.File) error { return errors.ErrUnsupported }

// A process of Windows takes neither.
const (
	stopSignal     = syscall.Signal(0x13)
	continueSignal = syscall.Signal(0x12)
)
