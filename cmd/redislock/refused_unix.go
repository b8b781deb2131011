//go:build unix

package main

import "syscall"

// errRefused is the error of the system for an address at which no program listens.
const errRefused = syscall.ECONNREFUSED
