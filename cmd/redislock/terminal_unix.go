//go:build unix

package main

import "golang.org/x/sys/unix"

// terminal is the controlling terminal of this process, by which a person steers it with Ctrl-C and Ctrl-Z, wherever
// its standard streams lead.
type terminal struct{ fd int }

// openTerminal is nil for a process without one: under cron, a service manager, in a container or a pipeline of CI. It
// stays open as long as the process lives.
func openTerminal() *terminal {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	return &terminal{fd}
}

// inForeground reports whether the keyboard's signals go to our process group now. Where a signal came from is not
// known in Go, so INT and QUIT that reach us in the foreground are taken for the keyboard's.
func (t *terminal) inForeground() bool {
	if t == nil {
		return false
	}
	group, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
