//go:build unix

package main

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// hasSignals reports whether a process can be sent signals.
const hasSignals = true

// Those that pause a process, and have it go on.
const (
	stopSignal = unix.SIGSTOP
	wakeSignal = unix.SIGCONT
)

// passedOn are the signals that the command gets in our place.
var passedOn = []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2}

// stops reports whether a signal is a request to end.
func stops(sig os.Signal) bool { return sig != unix.SIGUSR1 && sig != unix.SIGUSR2 }

func signalName(sig syscall.Signal) string { return unix.SignalName(sig) }

// signalNum is 0 if no signal has that name.
func signalNum(name string) syscall.Signal { return unix.SignalNum(name) }
