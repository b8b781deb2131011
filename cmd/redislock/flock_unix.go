//go:build unix

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// flock waits until the file is this process's alone, until it is closed.
func flock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX) }
