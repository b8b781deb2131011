package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// flock waits until the file is this process's alone, until it is closed. Windows locks bytes: one far behind the text
// stands for the file.
func flock(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, &windows.Overlapped{OffsetHigh: 1})
}
