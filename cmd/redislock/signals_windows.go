package main

import (
	"os"
	"syscall"
)

// hasSignals reports whether a process can be sent signals: Windows can only end it.
const hasSignals = false

// Those that would pause a process, and have it go on. There are none.
const (
	stopSignal = syscall.Signal(0)
	wakeSignal = syscall.Signal(0)
)

// passedOn are what the console tells us and the command: Ctrl-C or Ctrl-Break, and that it is closed, the user logs off or
// the machine is shut down.
var passedOn = []os.Signal{syscall.SIGINT, syscall.SIGTERM}

// stops reports whether a signal is a request to end.
func stops(os.Signal) bool { return true }

func signalName(sig syscall.Signal) string { return sig.String() }

// signalNum is 0: there is no signal to send.
func signalNum(string) syscall.Signal { return 0 }
