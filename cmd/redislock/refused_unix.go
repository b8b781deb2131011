//go:build unix

package main

import "syscall"

// errRefused is the system's word for an address where nobody listens.
const errRefused = syscall.ECONNREFUSED
